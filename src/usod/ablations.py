"""Ablation tables: which settings each row changes, and which trainings the rows can share.

A table is a YAML file of `Ablation`. Its rows are variants of the configuration in force. A variant's step whose
settings are those of the configuration itself, or of an earlier variant, is not computed again: `Variants` says under
which name it is found.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from usod.config import Config, deep_merge, parse_config
from usod.errors import UsageError
from usod.faults import explain
from usod.names import PATTERN, RULE, usable_name
from usod.sections import Section, read_yaml

SECTIONS = ("a2s", "deepusps", "ldps", "wss", "network")
"""What a row may change: anything else is made once for all rows."""

PUBLISHED_PRIORS = {"rbd": "wCtrO", "mbd": "MB+", "bsca": "BSCA"}
"""What the tables of LDPS call some handcrafted methods."""

_REPORT_FILES = re.compile(
    r"costs|provenance|report|(scores|stages|curves|examples|training|activations|changes|doubts|evolution|tags)-.+"
)


class Row(Section):
    """One variant: what it changes, and the system that is scored."""

    system: str = Field(
        description="deepusps (the fused networks of all seeds), a2s-stage1, a2s-stage2, wss-pretrain, wss-iter0, ..., "
        "a prior of LDPS ({prior}), ldps-{prior}, ldps_single-{prior} (trained on each image alone); raw- before the "
        "name of a network is without the CRF of the benchmark, crf- before any its dense CRF, spcrf- WSS's CRF"
    )
    config: dict[str, Any] = Field({}, description="Keys of the configuration that differ; {}: the system as it is")


class Ablation(Section):
    """A table of variants of one configuration."""

    title: str
    reference: str | None = Field(None, description="The published table (`usod.evaluation.published`)")
    score: Literal["train", "test"] = Field("test", description="The training set's labels, or on the test sets")
    f: Literal["f_fixed", "f_adaptive", "f_mean", "f_max"] = Field(
        "f_adaptive", description="The F of the table; it should be that of the published one"
    )
    scatter: tuple[str, str] | None = Field(
        None, description="Two rows: a figure sets their scores against each other, image by image (DeepUSPS, Fig. 9)"
    )
    curves: bool = Field(False, description="Draw the MAE of the watched images after every epoch (A2S, Fig. 9)")
    rows: dict[str, Row] = Field(
        min_length=1,
        description="Name, as in the published table -> variant; a row with {prior} is repeated for each prior of "
        "LDPS, one with {METHOD} for each handcrafted method and one with {ITERATION} for each iteration of "
        "self-supervision; {method} and {iteration} are what they are in its config",
    )


def find_tables(asked: Sequence[str], known: Mapping[str, Path]) -> dict[str, Path]:
    """Name -> file of all tables: `known`, and those of one's own among the names and paths `asked` for.

    Raises
    ------
    UsageError
        If one is neither, or its file cannot be called so.
    """
    tables = dict(known)
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
        if _REPORT_FILES.fullmatch(file.stem):
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

    def __init__(self, base: Config, tables: Mapping[str, Ablation], asked: Collection[str] | None = None):
        self.tables: dict[str, Ablation] = {}
        self.settings: dict[str, Config] = {"": base}
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
        for name, row in _for_each_method(ablation.rows, base).items():
            variant = f"{table}.{slug(name.replace('{prior}', ''))}"
            if variant in settings:
                raise UsageError(f"{table}: two rows are called {variant!r}, rename one of them")
            settings[variant] = parse_config(deep_merge(values, row.config), f"{table}: rows.{name}")
            for own, single in _for_each_prior(name, row, base.priors).items():
                try:
                    for system in _of_all_seeds(single.system, settings[variant]):
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
        """The names under which a row's system is trained and scored: `a2s-stage1`, or `a2s-stage1@TABLE.ROW`.

        Of deepusps there is one for each seed.
        """
        variant = self._variant[table, row]
        systems = _of_all_seeds(self.tables[table].rows[row].system, self.settings[variant])
        firsts = [self.first(system, variant) for system in systems]
        return [f"{system}@{first}" if first else system for system, first in zip(systems, firsts, strict=True)]

    def systems(self, table: str) -> dict[str, list[str]]:
        """Row -> names of its systems."""
        return {row: self.of_row(table, row) for row in self.tables[table].rows}


def identity(config: Config, system: str) -> list[Any]:
    """All settings that decide what a system's step gives; the data are the same for all variants.

    `ldps_train-PRIOR` is the relation network alone, which variants that differ in the merging share.

    Raises
    ------
    UsageError
        If the configuration has no such system.
    """
    kind, _, rest = system.partition("-")
    if kind in ("crf", "spcrf", "raw"):
        return [kind, identity(config, rest), config.wss.crf if kind == "spcrf" else None]
    if kind in ("deepusps", "oracle") or "-iter" in system.removeprefix("wss-iter"):
        return _identity_of_deepusps(config, system)
    if system == "a2s-stage1":
        return [system, config.encoder, config.a2s.stage1]
    if system == "a2s-stage2":
        labels = config.a2s.labels
        return [system, config.detector, config.a2s.stage2, identity(config, labels) if "a2s-" in labels else labels]
    if system == "wss-pretrain":
        return [system, config.tagger, config.wss.pretrain]
    if kind == "wss" and rest in [f"iter{k}" for k in range(config.wss.rounds)]:
        return [identity(config, "wss-pretrain"), config.wss.crf, config.wss.selftrain, rest]
    if kind.startswith("ldps") and rest not in {*config.priors, config.ldps.learn_from}:
        raise UsageError(f"no prior {rest!r} in ldps.priors")
    if kind == "ldps_train":
        return [kind, config.relation, config.ldps.train, config.ldps.learn_from or rest]
    if kind == "ldps":
        return [identity(config, f"ldps_train-{rest}"), rest, config.ldps.merge]
    if kind == "ldps_single":
        return [kind, config.relation, config.ldps.single, config.ldps.merge, rest]
    if system in config.priors or system in config.methods:
        return [system]
    raise UsageError(f"no {system!r} in this configuration")


def _identity_of_deepusps(config: Config, system: str) -> list[Any]:
    """Of a stage (rbd-iter1), a fused network (deepusps-seed0), or what is made with the ground truth."""
    stages = range(config.deepusps.refine.iterations + 1)
    method, _, stage = system.rpartition("-iter")
    if method in config.methods and stage in map(str, stages):
        before = f"{method}-iter{int(stage) - 1}" if int(stage) else method
        settings = config.refine_of(method).of_stage(int(stage))
        return [system, config.network, settings, identity(config, before)]
    if system in [f"deepusps-seed{seed}" for seed in config.deepusps.fuse.seeds]:
        fuse = config.deepusps.fuse.model_dump(exclude={"seeds"})
        return [system, config.network, fuse, [identity(config, label) for label in config.fused_labels]]
    if system == "oracle-masks":
        return [system]
    if system == "oracle-labels":
        return [system, [identity(config, label) for label in config.last_labels]]
    raise UsageError(f"no {system!r} in this configuration")


def _of_all_seeds(system: str, config: Config) -> list[str]:
    """`deepusps` -> `deepusps-seed0`, ...; other systems have one network."""
    if system.removeprefix("raw-").removeprefix("crf-") != "deepusps":
        return [system]
    return [f"{system}-seed{seed}" for seed in config.deepusps.fuse.seeds]


def _for_each_prior(name: str, row: Row, priors: list[str]) -> dict[str, Row]:
    """The row, or where it has {prior} one row for each prior, under the name that the paper has for it."""
    rows = {}
    for prior in priors:
        own = name.replace("{prior}", PUBLISHED_PRIORS.get(prior, prior))
        rows[own] = row.model_copy(update={"system": row.system.replace("{prior}", prior)})
    return rows


def _for_each_method(rows: Mapping[str, Row], base: Config) -> dict[str, Row]:
    """The rows; those with {METHOD} in their name once for each method, with {ITERATION} for each self-supervision."""
    found = {}
    for name, row in rows.items():
        iterations = range(1, base.deepusps.refine.iterations + 1) if "{ITERATION}" in name else [0]
        for method, iteration in product(base.methods if "{METHOD}" in name else [""], iterations):
            own = name.replace("{METHOD}", method.upper()).replace("{ITERATION}", str(iteration))
            names = {"{method}": method} if method else {}
            found[own] = row.model_copy(update={"config": _filled(row.config, names | {"{iteration}": str(iteration)})})
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
