"""Ablation tables: which settings each row changes, and which trainings the rows can share.

A table is a YAML file of `Ablation`. Its rows are variants of the configuration in force. A variant's step whose
settings are those of the configuration itself, or of an earlier variant, is not computed again: `Variants` says under
which name it is found.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from usod.errors import UsageError
from usod.settings.base import Settings, deep_merge
from usod.settings.config import parse_config
from usod.settings.faults import explain
from usod.settings.names import PATTERN, RULE, ProtocolName, usable_name
from usod.settings.sections import Section, read_yaml
from usod.systems.descriptions import SYSTEMS
from usod.systems.registry import Registry

_REPORT_FILES = ("costs", "provenance", "report")
_REPORT_PREFIXES = ("scores", "stages", "curves", "examples", "training", "doubts", "evolution", "leaks")


class Row(Section):
    """One variant: what it changes, and the system that is scored."""

    system: str = Field(
        description="A method (rbd), a part of a system (a2s-stage1, wss-iter0, ldps-{prior}), or a system: all that "
        "it ends with (deepusps: the fused networks of all seeds); raw- before the name of a network is without the "
        "benchmark's CRF, crf- before any its dense CRF, spcrf- WSS's CRF"
    )
    config: dict[str, Any] = Field({}, description="Keys of the configuration that differ; {}: the system as it is")


class Ablation(Section):
    """A table of variants of one configuration."""

    title: str
    reference: str | None = Field(None, description="The published table (`usod.reporting.published`)")
    score: Literal["train", "test"] = Field("test", description="The training set's labels, or on the test sets")
    protocol: ProtocolName = Field(
        "own", description="How the variants are scored; it should be the published table's protocol"
    )
    scatter: tuple[str, str] | None = Field(
        None,
        description="Two rows, x and y: a figure sets their scores against each other, image by image (DeepUSPS, Fig. "
        "9), and one shows the images where both fail and where either gains most (Fig. 5)",
    )
    pictures: Literal["maps", "epochs"] | None = Field(
        None,
        description="maps: show the rows' maps of some images side by side (A2S, Fig. 10; WSS, Fig. 2); epochs: show "
        "what their trainings make of the watched images after some epochs (A2S, Fig. 7)",
    )
    beside: list[str] = Field([], description="Systems of the configuration whose maps those pictures show, too")
    curves: bool = Field(False, description="Draw the MAE of the watched images after every epoch (A2S, Fig. 9)")
    rows: dict[str, Row] = Field(
        min_length=1,
        description="Name, as in the published table -> variant; a row with {prior} is repeated for each prior of "
        "LDPS, one with {METHOD} for each handcrafted method and one with {ITERATION} for each iteration of "
        "self-supervision; {method} and {iteration} are what they are in its config",
    )


def find_tables(asked: Sequence[str], known: Mapping[str, Path], registry: Registry = SYSTEMS) -> dict[str, Path]:
    """Name -> file of all tables: `known`, and those of one's own among the names and paths `asked` for.

    Raises
    ------
    UsageError
        If one is neither, or its file cannot be called so.
    """
    tables = dict(known)
    prefixes = {*_REPORT_PREFIXES, *(word for system in registry.values() for word in system.report_files)}
    for name in asked:
        file = Path(name).expanduser()
        if name in known:
            continue
        if not file.is_file():
            raise UsageError(
                f"ablations: no table {name!r}: no file {file.absolute()}, and none of {', '.join(sorted(known))}"
            )
        if not re.match(PATTERN, file.stem):
            raise UsageError(f"ablations: {name}: rename it, e.g. {usable_name(file.stem)}.yaml: {RULE}")
        if file.stem in _REPORT_FILES or (file.stem.partition("-")[0] in prefixes and "-" in file.stem):
            raise UsageError(f"ablations: {name}: rename it: results/report/{file.stem}.* are files of the report")
        if tables.get(file.stem, file) not in (file, known.get(file.stem)):
            raise UsageError(f"ablations: {name}: {tables[file.stem]} has the same name, rename one of them")
        tables[file.stem] = file
    return tables


def check_table_names(tables: Mapping[str, Path], taken: Collection[str]) -> None:
    """Raises UsageError where a table has a name that is `taken`, as by a rule of the workflow."""
    for name, file in tables.items():
        if name in taken:
            raise UsageError(f"ablations: {file}: rename it: {name!r} is a target of the workflow itself")


def read_ablation(path: str | Path, registry: Registry = SYSTEMS) -> Ablation:
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
            if key not in registry.sections():
                raise UsageError(f"{path}: rows.{name}.config.{key}: a row can change {', '.join(registry.sections())}")
    for name in table.scatter or ():
        if name not in table.rows:
            raise UsageError(f"{path}: scatter: no row {name!r}")
    return table


class Variants:
    """The configuration and its variants, named `TABLE.ROW`; "" is the configuration itself.

    Parameters
    ----------
    base : the configuration in force
    tables : name -> table
    asked : the tables that must fit the configuration; None: all

    Attributes
    ----------
    tables : name -> table, its rows repeated for priors and methods
    settings : variant -> its configuration
    unfit : name -> what is wrong with a table that does not fit and was not asked for

    Raises
    ------
    UsageError
        If a row of a table that was asked for does not fit the configuration.
    """

    def __init__(self, base: Settings, tables: Mapping[str, Ablation], asked: Collection[str] | None = None):
        self.tables: dict[str, Ablation] = {}
        self.settings: dict[str, Settings] = {"": base}
        self.unfit: dict[str, str] = {}
        self._variant: dict[tuple[str, str], str] = {}
        self._first: dict[tuple[str, str], str] = {}
        self._identity: dict[tuple[str, str], list[Any]] = {}
        values = base.model_dump(mode="json", exclude_unset=True)
        for table, ablation in tables.items():
            try:
                self._add(table, ablation, values)
            except UsageError as error:
                if asked is None or table in asked:
                    raise
                self.unfit[table] = str(error)

    def _add(self, table: str, ablation: Ablation, values: dict[str, Any]) -> None:
        base, repeated, settings = self.settings[""], {}, {}
        if ablation.protocol not in base.benchmark.protocols:
            raise UsageError(f"{table}: it is scored as {ablation.protocol}; add that to benchmark.protocols")
        for name, row in _for_each_variant(ablation.rows, base).items():
            variant = f"{table}.{slug(re.sub('{[a-z]+}', '', name))}"
            if variant in settings:
                raise UsageError(f"{table}: two rows are called {variant!r}, rename one of them")
            settings[variant] = parse_config(deep_merge(values, row.config), f"{table}: rows.{name}")
            for own, single in _for_each_system(name, row, base).items():
                try:
                    for system in _all_of(single.system, settings[variant]):
                        identity(settings[variant], system)
                except UsageError as error:
                    raise UsageError(f"{table}: rows.{name}.system: {error}") from error
                repeated[own] = single
                self._variant[table, own] = variant
        self.settings |= settings
        self.tables[table] = ablation.model_copy(update={"rows": repeated})

    def first(self, system: str, variant: str) -> str:
        """The first variant whose `system` is made exactly as that of `variant`."""
        if (system, variant) not in self._first:
            wanted = self._made_of(system, variant)
            self._first[system, variant] = next(v for v in self.settings if self._made_of(system, v) == wanted)
        return self._first[system, variant]

    def _made_of(self, system: str, variant: str) -> list[Any]:
        if (system, variant) not in self._identity:
            if variant not in self.settings:
                raise UsageError(f"{system}@{variant}: no such variant")
            try:
                found = identity(self.settings[variant], system)
            except UsageError:  # a variant may lack a seed or a round
                found = []
            self._identity[system, variant] = found
        return self._identity[system, variant]

    def has(self, system: str, variant: str) -> bool:
        """Whether the configuration of a variant has this system."""
        return bool(self._made_of(system, variant))

    def of_row(self, table: str, row: str) -> list[str]:
        """The names under which a row's system is made and scored: `a2s-stage1`, or `a2s-stage1@TABLE.ROW`.

        There are several where the row names a system that ends with several, as with one for each seed.
        """
        variant = self._variant[table, row]
        systems = _all_of(self.tables[table].rows[row].system, self.settings[variant])
        return [self.shared(system, variant) for system in systems]

    def shared(self, system: str, variant: str) -> str:
        """The name under which a variant's `system` is made; variants with the same settings share it."""
        first = self.first(system, variant)
        return f"{system}@{first}" if first else system

    def systems(self, table: str) -> dict[str, list[str]]:
        """Row -> names of its systems."""
        return {row: self.of_row(table, row) for row in self.tables[table].rows}


def identity(config: Settings, system: str) -> list[Any]:
    """All settings that decide what a system gives; the data are the same for all variants.

    Raises
    ------
    UsageError
        If the configuration has no such system.
    """
    name = config.registry.name(system)
    if name.post:
        return [
            name.post[0],
            config.registry.post_settings(name.post[0], config),
            identity(config, str(name.inner)),
        ]
    if name.part in config.methods:
        return [name.part]
    part = config.parts.get(name.part)
    if part is None:
        raise UsageError(f"no {system!r} in this configuration")
    sources = dict.fromkeys([*(read.name for read in part.reads), *filter(None, [part.network])])
    return [part.name, list(part.settings), [identity(config, source) for source in sources]]


def _all_of(system: str, config: Settings) -> list[str]:
    """`deepusps` -> `deepusps-seed0`, ...: all that a system ends with; of a part's name the name itself."""
    name = config.registry.name(system)
    if name.part not in config.registry:
        return [system]
    ends = [part.name for part in config.parts.values() if part.system == name.part and part.final]
    return [str(replace(name, part=end)) for end in ends]


def _for_each_system(name: str, row: Row, base: Settings) -> dict[str, Row]:
    """The row; one with {prior} once for each prior, under the name that the paper has for it."""
    found = {name: row}
    for placeholder, names in _placeholders(base, "repeats").items():
        word = f"{{{placeholder}}}"
        if word in name or word in row.system:
            found = {
                own.replace(word, shown): each.model_copy(update={"system": each.system.replace(word, value)})
                for own, each in found.items()
                for value, shown in names.items()
            }
    return found


def _for_each_variant(rows: Mapping[str, Row], base: Settings) -> dict[str, Row]:
    """The rows; those with {METHOD} in their name once for each method, with {ITERATION} for each iteration."""
    counts = {"method": list(base.methods), **_placeholders(base, "counts")}
    found = {}
    for name, row in rows.items():
        used = {key: values if f"{{{key.upper()}}}" in name else [""] for key, values in counts.items()}
        for chosen in product(*used.values()):
            values = {key: value for key, value in zip(used, chosen, strict=True) if value}
            own = name
            for key, value in values.items():
                own = own.replace(f"{{{key.upper()}}}", value.upper())
            names = {f"{{{key}}}": value for key, value in values.items()}
            found[own] = row.model_copy(update={"config": _filled(row.config, names)})
    return found


def _placeholders(base: Settings, kind: Literal["repeats", "counts"]) -> dict[str, Any]:
    """What the systems put into the rows of a table."""
    found: dict[str, Any] = {}
    for system in base.registry.values():
        found |= getattr(system, kind)(base)
    return found


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    """A row's config with the names in the place of {method} and {iteration}."""
    if isinstance(value, dict):
        return {key: _filled(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, names) for inner in value]
    for placeholder, name in names.items():
        value = value.replace(placeholder, name) if isinstance(value, str) else value
    return value


def slug(name: str) -> str:
    """A row's name as part of a path: `A0: unfrozen encoder` -> `A0-unfrozen-encoder`."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")
