"""Ablation tables: which settings each row changes, and which trainings the rows can share.

A table is a YAML file of `Ablation`. Its rows are variants of the configuration in force. A variant's step whose
settings are those of the configuration itself, or of an earlier variant, is not computed again: `Variants` says under
which name it is found.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from usod.config import Config, deep_merge, parse_config
from usod.errors import UsageError
from usod.sections import Section, explain, read_yaml

SYSTEMS = ("a2s-stage1", "a2s-stage2")
SECTIONS = ("a2s", "network")
"""What a row may change: anything else is made once for all rows."""


class Row(Section):
    """One variant: what it changes, and the system that is scored."""

    system: Literal["a2s-stage1", "a2s-stage2"]
    config: dict[str, Any] = Field({}, description="Keys of the configuration that differ; {}: the system as it is")


class Ablation(Section):
    """A table of variants of one configuration."""

    title: str
    reference: str | None = Field(None, description="The published table (`usod.evaluation.published`)")
    score: Literal["train", "test"] = Field("test", description="The training set's labels, or on the test sets")
    curves: bool = Field(False, description="Draw the MAE of the watched images after every epoch (A2S, Fig. 9)")
    rows: dict[str, Row] = Field(min_length=1, description="Name, as in the published table -> variant")


def read_ablation(path: str | Path) -> Ablation:
    """The table in a YAML file.

    Raises
    ------
    UsageError
        One line that names the wrong keys.
    """
    try:
        table = Ablation.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UsageError(f"{path}: {explain(error)}") from error
    for name, row in table.rows.items():
        for key in row.config:
            if key not in SECTIONS:
                raise UsageError(f"{path}: rows.{name}.config.{key}: a row can change {', '.join(SECTIONS)}")
    return table


class Variants:
    """The configuration and its variants, named `TABLE.ROW`; "" is the configuration itself.

    Parameters
    ----------
    base : the configuration in force
    tables : name -> table

    Raises
    ------
    UsageError
        If a row does not fit the configuration.
    """

    def __init__(self, base: Config, tables: Mapping[str, Ablation]):
        self.tables = dict(tables)
        self.settings: dict[str, Config] = {"": base}
        self._variant: dict[tuple[str, str], str] = {}
        values = base.model_dump(mode="json", exclude_unset=True)
        for table, ablation in tables.items():
            for name, row in ablation.rows.items():
                variant = f"{table}.{slug(name)}"
                if variant in self.settings:
                    raise UsageError(f"{table}: two rows are called {slug(name)!r}, rename one of them")
                self.settings[variant] = parse_config(deep_merge(values, row.config), f"{table}: rows.{name}")
                self._variant[table, name] = variant

    def first(self, system: str, variant: str) -> str:
        """The first variant whose `system` is trained exactly as that of `variant`."""
        wanted = identity(self.settings[variant], system)
        return next(name for name, config in self.settings.items() if identity(config, system) == wanted)

    def system(self, table: str, row: str) -> str:
        """The name under which a row's system is trained and scored: `a2s-stage1`, or `a2s-stage1@TABLE.ROW`."""
        system = self.tables[table].rows[row].system
        variant = self.first(system, self._variant[table, row])
        return f"{system}@{variant}" if variant else system

    def systems(self, table: str) -> dict[str, str]:
        """Row -> name of its system."""
        return {row: self.system(table, row) for row in self.tables[table].rows}


def identity(config: Config, system: str) -> list[Any]:
    """All settings that decide what a system's training gives; the data are the same for all variants."""
    if system == "a2s-stage1":
        return [system, config.encoder, config.a2s.stage1]
    if system == "a2s-stage2":
        labels = config.a2s.labels
        return [system, config.detector, config.a2s.stage2, identity(config, labels) if labels in SYSTEMS else labels]
    raise UsageError(f"no variants of {system!r}; there are those of {', '.join(SYSTEMS)}")


def slug(name: str) -> str:
    """A row's name as part of a path: `A0: unfrozen encoder` -> `A0-unfrozen-encoder`."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")
