"""The settings that all systems share: data, maps, network, benchmark, report.

`usod.settings.config` makes the whole configuration of them and of what each system adds.
"""

import os
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from usod.folders import require_folder
from usod.models.config import NetworkConfig
from usod.settings.faults import explain
from usod.settings.names import PATTERN, RESERVED, ProtocolName
from usod.settings.sections import CrfConfig, Section, nothing_is_empty

if TYPE_CHECKING:
    from usod.systems.description import Part
    from usod.systems.registry import Registry

DEEPUSPS_METHODS = ("rbd", "dsr", "mc", "hs")
"""The handcrafted methods of the DeepUSPS paper; more are registered in `usod.handcrafted`."""
Name = Annotated[str, Field(pattern=PATTERN)]
# Not a Path, which would turn ./demo, a folder, into demo, the bundled scenes.
UserPath = Annotated[str, AfterValidator(lambda path: os.path.expanduser(path))]  # noqa: PTH111


class SceneConfig(Section):
    """The bundled demo data, drawn by `usod data demo`."""

    train: int = Field(160, ge=1, description="Number of scenes to train on")
    test: int = Field(80, ge=0, description="Number of unseen scenes to test on")
    size: int = Field(160, ge=32, le=1024, description="Longer side of a scene in pixels")
    seed: int = Field(0, ge=0)
    held_out: list[str] = Field([], description="Kinds of objects that appear in test scenes only (star, fish, ...)")


class DatasetConfig(Section):
    """A folder of images, with or without masks, in any layout that `usod data check` knows."""

    root: UserPath = Field(description="Folder of the data set; demo: the bundled scenes (a folder demo: ./demo)")
    layout: str = Field("auto", description="Name of a native layout, or auto")
    split: str | None = Field(None, description="Use only the images of this split (train, val, test, or train+val)")
    masks: UserPath | None = Field(None, description="Folder of the masks, where the layout does not say it")
    mask_threshold: float = Field(0.5, ge=0, lt=1, description="Mask values above this share of 255 are salient")
    tags: UserPath | None = Field(
        None, description="Image-level tags, for WSS: a CSV (id,tags), a folder of XML annotations, or folders"
    )
    only_tags: list[str] = Field(
        [], description="Use only the images with any of these tags, such as categories that no training has seen"
    )
    without_tags: list[str] = Field([], description="Leave out the images with any of these tags, in all steps")
    has_masks: bool = Field(True, description="false: an unlabelled set; nothing is evaluated on it")
    published_as: str | None = Field(
        None,
        description="Name of the set in published tables, e.g. ECSSD; refused with a `split` that is by a hash, as "
        "that of MSRA-B without its list files",
    )

    @model_validator(mode="after")
    def _tags_fit(self) -> Self:
        for key in ("only_tags", "without_tags"):
            if getattr(self, key) and self.tags is None and self.root != "demo":
                raise ValueError(f"{key}: say where the tags are, tags:")
            if getattr(self, key) and self.published_as is not None:
                raise ValueError(f"published_as: not of a part of {self.published_as}; leave it or {key} out")
        return self


class MethodConfig(Section):
    """One source of labels: a handcrafted method, or a folder of maps made elsewhere."""

    function: str | None = Field(None, description="Handcrafted method; none: the one of the key's name")
    maps: UserPath | None = Field(None, description="Folder of map images (or MapStore) instead; {dataset} is replaced")
    labels: str | None = Field(
        None, description="Human labels behind maps (none, masks, image tags, ...), for the tables; null: unknown"
    )
    params: dict[str, Any] = Field({}, description="Keyword arguments of the method's function")
    refine: dict[str, Any] = Field({}, description="Keys of deepusps.refine that differ for this method")


class MapsConfig(Section):
    max_side: int = Field(
        640, ge=0, description="Larger images are reduced to this side before a method runs; 0: never"
    )
    chunks: int = Field(4, ge=1, le=10_000, description="Jobs into which the extraction of one method is split")


class BenchmarkConfig(Section):
    crf: CrfConfig | None = Field(
        CrfConfig(), description="Dense CRF on the predictions, as in DeepUSPS's main table; null: none"
    )
    protocols: list[ProtocolName] = Field(
        list(get_args(ProtocolName)),
        min_length=1,
        description="How maps are scored, each a row of the tables (usod.evaluation.protocols): own (at the masks' "
        "size, nothing stretched), or as a paper did. Published rows stand beside those of their own protocol only",
    )
    stages: bool = Field(True, description="Score the network of every stage too, not the fused ones only")
    batch_size: int = Field(16, ge=1)
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="Of predictions; auto: bf16 on CUDA, also in the papers' presets, whose authors had float32"
    )


class ReportConfig(Section):
    examples: int = Field(12, ge=1, description="Images shown stage by stage")
    mask_threshold: float | Literal["adaptive", "otsu"] = Field(
        0.5, description="Of the masks in results/masks: salient above it; adaptive: twice the mean; otsu"
    )


class Settings(Section):
    """The settings that every system has; a system's description adds its own section and properties."""

    registry: ClassVar["Registry"]
    """The systems that this configuration knows."""

    datasets: dict[Name, DatasetConfig] = Field(min_length=1, description="Name -> data set")
    train: Name = Field(description="The data set to refine and train on; no masks needed")
    test: list[Name] = Field([], description="The data sets to score on")
    scenes: SceneConfig = SceneConfig()
    size: int = Field(432, ge=32, description="Working size: images and maps are squares of this side (DeepUSPS 4.1)")
    maps: MapsConfig = MapsConfig()
    plugins: list[UserPath] = Field(
        [], description="Python files that describe systems of one's own (a SYSTEM, usod.systems.description.System)"
    )
    systems: list[str] = Field(
        ["deepusps"], min_length=1, description="The systems that are trained, scored and reported"
    )
    ablations: list[str] = Field(
        [],
        description="Tables of variants that belong to `all`: names of workflow/presets/ablations (a2s_table4) or YAML "
        "files of one's own; each is a target of its own name, too",
    )
    methods: dict[Name, MethodConfig] = Field({name: MethodConfig() for name in DEEPUSPS_METHODS}, min_length=1)
    network: Annotated[NetworkConfig, BeforeValidator(nothing_is_empty)] = NetworkConfig()
    benchmark: BenchmarkConfig = BenchmarkConfig()
    report: ReportConfig = ReportConfig()
    gpu: Literal[0, 1, "auto"] = Field(
        "auto", description="GPUs of a training or prediction job; auto: one where this machine has any, else none"
    )
    deterministic: bool = Field(
        False,
        description="The same bits in every run on GPUs of one kind, too, by slower algorithms (on a CPU it is so "
        "anyway). Makes nothing again that is there",
    )

    @model_validator(mode="after")
    def _datasets_fit(self) -> Self:
        from usod.data.layouts import KNOWN_SETS, LAYOUTS

        for key, names in (("train", [self.train]), ("test", self.test)):
            for name in names:
                if name not in self.datasets:
                    raise ValueError(f"{key}: no data set {name!r}; datasets has {', '.join(self.datasets)}")
        for name in self.test:
            if not self.datasets[name].has_masks:
                raise ValueError(f"test: data set {name!r} has no masks to score against")
        for name, dataset in self.datasets.items():
            if name in RESERVED:
                raise ValueError(
                    f"datasets.{name}: results/{name} is used by the workflow, choose another name such as my-{name}"
                )
            layouts = ["auto", *LAYOUTS, *KNOWN_SETS]
            if dataset.layout not in layouts:
                raise ValueError(f"datasets.{name}.layout: no {dataset.layout!r}; use one of {', '.join(layouts)}")
        return self

    @model_validator(mode="after")
    def _methods_fit(self) -> Self:
        from usod.handcrafted import METHODS, parameters

        for name, method in self.methods.items():
            if method.function is not None and method.function not in METHODS:
                raise ValueError(f"methods.{name}.function: no {method.function!r}; there are {', '.join(METHODS)}")
            if name not in METHODS and method.function is None and method.maps is None:
                raise ValueError(
                    f"methods.{name}: not one of {', '.join(METHODS)}; say which with function: or give maps:"
                )
            if self.registry.reserves(name):
                raise ValueError(f"methods.{name}: the workflow uses such names itself, choose another")
            if method.maps is not None and (method.function is not None or method.params):
                raise ValueError(f"methods.{name}: maps: are taken as they are, leave function: and params: out")
            # Only where it is needed: it imports the method.
            known = parameters(self.function_of(name)) if method.params else []
            for parameter in method.params:
                if parameter not in known:
                    raise ValueError(f"methods.{name}.params.{parameter}: unknown key; there are {', '.join(known)}")
        return self

    @cached_property
    def parts(self) -> dict[str, "Part"]:
        """Name -> part of every system that this configuration could make, asked for or not."""
        return self.registry.parts(self)

    def function_of(self, method: str) -> str:
        """The handcrafted function behind a key of `methods`."""
        return self.methods[method].function or method

    def imported_maps(self, method: str, dataset: str) -> Path:
        """Folder or file of a method's maps that were made elsewhere; whether it is there, `check_paths` says."""
        return Path((self.methods[method].maps or "").replace("{dataset}", dataset))

    def check_paths(self, tested: Collection[str] = ()) -> None:
        """Raises UsageError where a folder is missing that training or scoring reads: images, masks, tags, maps.

        `tested` are methods from whose maps nothing is learnt: those of the training images need not be there.
        """
        from usod.data.layouts import KNOWN_SETS

        used = dict.fromkeys([self.train, *self.test])
        for name in used:
            known = self.datasets[name].published_as or name.lower().startswith(tuple(KNOWN_SETS))
            hint = "; docs/reproduce.md says where the papers' data sets come from" if known else ""
            for key in ("root", "masks"):
                folder = getattr(self.datasets[name], key)
                if folder not in (None, "demo"):
                    require_folder(folder, f"datasets.{name}.{key}", hint=hint)
            if (tags := self.datasets[name].tags) not in (None, "folders"):
                require_folder(str(tags), f"datasets.{name}.tags", or_file=True)
        hint = "; docs/reproduce.md says how the maps of published methods lie"
        for method, section in self.methods.items():
            for dataset in used if section.maps is not None else ():
                if dataset in self.test or method not in tested:
                    require_folder(str(self.imported_maps(method, dataset)), f"methods.{method}.maps", True, hint)


def differing(network: NetworkConfig, keys: dict[str, Any], name: str) -> NetworkConfig:
    """`network` with some keys changed by the section `name`. Raises ValueError where they do not fit."""
    try:
        return NetworkConfig.model_validate(network.model_dump() | keys)
    except ValidationError as error:
        raise ValueError(explain(error, prefix=name)) from error


def deep_merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`, section by section, as Snakemake lays one --configfile over another."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = deep_merge(merged[key], value) if both else value
    return merged
