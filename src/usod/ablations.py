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

SECTIONS = ("a2s", "ldps", "wss", "network")
"""What a row may change: anything else is made once for all rows."""

PUBLISHED_PRIORS = {"rbd": "wCtrO", "mbd": "MB+", "bsca": "BSCA"}
"""What the tables of LDPS call some handcrafted methods."""


class Row(Section):
    """One variant: what it changes, and the system that is scored."""

    system: str = Field(
        description="a2s-stage1, a2s-stage2, wss-pretrain, wss-iter0, ..., a prior of LDPS ({prior}), ldps-{prior}, "
        "ldps_single-{prior} (trained on each image alone); crf- before a name is its dense CRF, spcrf- WSS's CRF"
    )
    config: dict[str, Any] = Field({}, description="Keys of the configuration that differ; {}: the system as it is")


class Ablation(Section):
    """A table of variants of one configuration."""

    title: str
    reference: str | None = Field(None, description="The published table (`usod.evaluation.published`)")
    score: Literal["train", "test"] = Field("test", description="The training set's labels, or on the test sets")
    curves: bool = Field(False, description="Draw the MAE of the watched images after every epoch (A2S, Fig. 9)")
    rows: dict[str, Row] = Field(
        min_length=1,
        description="Name, as in the published table -> variant; a row with {prior} is repeated for each prior of LDPS",
    )


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
        self.tables: dict[str, Ablation] = {}
        self.settings: dict[str, Config] = {"": base}
        self._variant: dict[tuple[str, str], str] = {}
        self._first: dict[tuple[str, str], str] = {}
        values = base.model_dump(mode="json", exclude_unset=True)
        for table, ablation in tables.items():
            repeated: dict[str, Row] = {}
            for name, row in ablation.rows.items():
                variant = f"{table}.{slug(name.replace('{prior}', ''))}"
                if variant in self.settings:
                    raise UsageError(f"{table}: two rows are called {variant!r}, rename one of them")
                self.settings[variant] = parse_config(deep_merge(values, row.config), f"{table}: rows.{name}")
                for own, single in _for_each_prior(name, row, base.priors).items():
                    try:
                        identity(self.settings[variant], single.system)
                    except UsageError as error:
                        raise UsageError(f"{table}: rows.{name}.system: {error}") from error
                    repeated[own] = single
                    self._variant[table, own] = variant
            self.tables[table] = ablation.model_copy(update={"rows": repeated})

    def first(self, system: str, variant: str) -> str:
        """The first variant whose `system` is made exactly as that of `variant`."""
        if (system, variant) not in self._first:
            wanted = identity(self.settings[variant], system)
            same = (name for name, config in self.settings.items() if identity(config, system) == wanted)
            self._first[system, variant] = next(same)
        return self._first[system, variant]

    def system(self, table: str, row: str) -> str:
        """The name under which a row's system is trained and scored: `a2s-stage1`, or `a2s-stage1@TABLE.ROW`."""
        system = self.tables[table].rows[row].system
        variant = self.first(system, self._variant[table, row])
        return f"{system}@{variant}" if variant else system

    def systems(self, table: str) -> dict[str, str]:
        """Row -> name of its system."""
        return {row: self.system(table, row) for row in self.tables[table].rows}


def identity(config: Config, system: str) -> list[Any]:
    """All settings that decide what a system's step gives; the data are the same for all variants.

    `ldps_train-PRIOR` is the relation network alone, which variants that differ in the merging share.

    Raises
    ------
    UsageError
        If the configuration has no such system.
    """
    kind, _, prior = system.partition("-")
    if system == "a2s-stage1":
        return [system, config.encoder, config.a2s.stage1]
    if system == "a2s-stage2":
        labels = config.a2s.labels
        return [system, config.detector, config.a2s.stage2, identity(config, labels) if "a2s-" in labels else labels]
    if kind in ("crf", "spcrf"):
        return [kind, identity(config, prior), config.wss.crf if kind == "spcrf" else None]
    if system == "wss-pretrain":
        return [system, config.tagger, config.wss.pretrain]
    if kind == "wss" and prior in [f"iter{k}" for k in range(config.wss.rounds)]:
        return [identity(config, "wss-pretrain"), config.wss.crf, config.wss.selftrain, prior]
    if kind.startswith("ldps") and prior not in {*config.priors, config.ldps.learn_from}:
        raise UsageError(f"no prior {prior!r} in ldps.priors")
    if kind == "ldps_train":
        return [kind, config.relation, config.ldps.train, config.ldps.learn_from or prior]
    if kind == "ldps":
        return [identity(config, f"ldps_train-{prior}"), prior, config.ldps.merge]
    if kind == "ldps_single":
        return [kind, config.relation, config.ldps.single, config.ldps.merge, prior]
    if system in config.priors:
        return [system]
    raise UsageError(f"no {system!r} in this configuration")


def _for_each_prior(name: str, row: Row, priors: list[str]) -> dict[str, Row]:
    """The row, or where it has {prior} one row for each prior, under the name that the paper has for it."""
    rows = {}
    for prior in priors:
        own = name.replace("{prior}", PUBLISHED_PRIORS.get(prior, prior))
        rows[own] = row.model_copy(update={"system": row.system.replace("{prior}", prior)})
    return rows


def slug(name: str) -> str:
    """A row's name as part of a path: `A0: unfrozen encoder` -> `A0-unfrozen-encoder`."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")
