"""What a system says of itself, so that rules, tables, exports, the report and the ablations need not know it.

A system is a few *parts*: each is trained or computed from labels, maps or models of others and leaves some files. The
workflow makes the parts that are wanted and what they read; a part whose settings are those of another variant's, and
whose sources are too, is made once. Nothing here imports a network: the workflow reads it before every run.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from usod.models.config import NetworkConfig
    from usod.settings.sections import Section

FILES = {"labels": "labels.h5", "model": "model.safetensors", "history": "history.csv", "watched": "watched.h5"}
"""What a part can leave: labels of the training images, its network, a row per epoch, maps after every epoch."""


@dataclass(frozen=True)
class Read:
    """Something that a part is made from.

    Parameters
    ----------
    name : a method, or a part of any system
    key : the key of the configuration that named it, for the line that says there is none of that name
    what : its `labels` of the training images, its `maps` of any images, or its `model`
    """

    name: str
    key: str = ""
    what: Literal["labels", "maps", "model"] = "labels"


@dataclass(frozen=True, eq=False)
class Part:
    """One step of a system: what it reads, what decides it, what it leaves, and where it appears.

    Parameters
    ----------
    name : under which it is scored: `rbd-iter1`, `deepusps-seed0`
    folder : of its files below `results/DATASET`; `{variant}` stands for the folder of a variant
    leaves : keys of `FILES`
    settings : all that decides what it gives, beside the data and what it reads
    reads : what it is made from, of the same variant
    network : the part whose network makes its maps, if it is another one
    maps : predicted by its network on every data set; its `labels` on the training images and predicted elsewhere; or
        `made`: its rule makes labels of any data set
    scored : on every data set, as a `stage` only on the training images unless `benchmark.stages`, or never
    final : one of the networks or maps that the system ends with: has masks, is exported, named in the report
    column : shown in the pictures
    method : the method whose maps it refines; `heading`: of its column among the stages of that method
    trains : what its network is built from
    encoders : networks whose frozen encoders' features it reads, beside those of its own
    truth : made with the ground truth; only parts of the same system may read it
    title : its name in figures of trainings
    files : key -> file below `results/DATASET`, where `folder` does not say it
    """

    name: str
    folder: str
    leaves: tuple[str, ...] = ("labels", "model", "history")
    settings: Sequence[Any] = ()
    reads: tuple[Read, ...] = ()
    network: str | None = None
    maps: Literal["predicted", "labels", "made"] = "predicted"
    scored: Literal["always", "stage", "never"] = "always"
    final: bool = False
    column: bool = True
    method: str | None = None
    heading: str = ""
    trains: "NetworkConfig | None" = None
    encoders: "tuple[NetworkConfig, ...]" = ()
    truth: bool = False
    title: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    system: str = ""  # filled in by the registry

    def file(self, key: str, variant: str = "") -> str:
        """A file that it leaves, below `results/DATASET`; `variant` is a folder (`variants/TABLE.ROW/`) or empty."""
        pattern = self.files.get(key) or f"{self.folder}/{FILES[key]}"
        return pattern.replace("{variant}", variant)


@dataclass(frozen=True)
class Figure:
    """A picture or table that a system's rules put into the report.

    Parameters
    ----------
    chapter : under which it stands
    file : below `results/report`
    caption : name of a file of `workflow/report`; or `text`: the caption itself
    wildcards : what `{{ snakemake.wildcards.X }}` in the caption stands for
    """

    chapter: str
    file: str
    caption: str = ""
    title: str = ""
    wildcards: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


class System:
    """A system's description; a subclass gives what differs.

    Attributes
    ----------
    name : key of its section in the configuration, word in `systems`, beginning of the names of its parts
    settings : mixin of the configuration: its section, checks, and what is derived from both
    rules : its rules, a path from the folder of the Snakefile, or beside the description
    published : keys of the published tables that its scores stand beside
    needs : files of the training set, below `results/DATASET`, that its target names beside those of the parts
    report_files : what the names of its figures begin with, so that no table of variants takes them
    posts : words that may stand before the name of anything scored, where its rules offer to do something to maps
    reserved : pattern of names that no method may have, beside those that begin with the system's
    """

    name: ClassVar[str]
    settings: ClassVar[type["Section"]]
    rules: ClassVar[str]
    published: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    report_files: ClassVar[tuple[str, ...]] = ()
    posts: ClassVar[tuple[str, ...]] = ()
    reserved: ClassVar[str] = "(?!)"

    @property
    def title(self) -> str:
        return (inspect.getdoc(type(self)) or self.name).splitlines()[0]

    @property
    def file(self) -> Path:
        """Where it is described."""
        return Path(inspect.getfile(type(self)))

    @property
    def rules_file(self) -> str:
        """Its rules as the Snakefile includes them: beside the description, or from the folder of the Snakefile."""
        own = self.file.parent / self.rules
        return str(own) if own.is_file() else self.rules

    def parts(self, config: Any) -> Iterable[Part]:
        """All parts that the configuration could make, each after those that it reads."""
        raise NotImplementedError

    def networks(self, config: Any) -> "Mapping[str, NetworkConfig]":
        """Key of the configuration -> a network that its rules train or read: weights are brought before any work."""
        return {}

    def wanted(self, config: Any) -> list[str]:
        """The names of the parts that are made where the system is asked for; what they read is made, too."""
        return [part.name for part in self.parts(config) if not part.truth]

    def post_settings(self, config: Any, word: str) -> Any:
        """What decides what one of `posts` does to the maps."""
        return None

    def figures(self, config: Any, made: Iterable[str]) -> list[Figure]:
        """Its own figures, of the parts that are made."""
        return []

    def repeats(self, config: Any) -> dict[str, dict[str, str]]:
        """Placeholder of a table's rows -> what it stands for -> what the published table calls that.

        A row with `{prior}` is scored once for each: it has one variant and several systems.
        """
        return {}

    def counts(self, config: Any) -> dict[str, list[str]]:
        """Placeholder of a table's variants -> what it stands for: a row with `{ITERATION}` is one variant for each."""
        return {}

    def step(self, place: Sequence[str]) -> str:
        """What the costs call a job whose record lies at `place` below `timings/DATASET/NAME`."""
        return place[-1].partition(".")[0]
