"""The settings that all systems share: data, maps, network, benchmark, report.

`usod.settings.config` makes the whole configuration of them and of what each system adds.
"""

import os
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, ValidationError, model_validator

from usod.folders import require_folder
from usod.models.config import NetworkConfig
from usod.settings.faults import explain
from usod.settings.names import PATTERN, RESERVED, LabelFormat, ProtocolName
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

    root: UserPath = Field(
        "", description="Folder of the data set; demo: the bundled scenes (a folder demo: ./demo); none with `of`"
    )
    of: list[Name] = Field(
        [],
        description="Instead of a folder: the names of data sets that this one is all of. An image x of the set a is "
        "a/x there. What is computed of each image is computed once, also for the sets alone",
    )
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
    rights: UserPath | None = Field(
        None,
        min_length=1,
        description="Licence and author of the images, for the report and the cards of networks that learn them: a CSV "
        "(id,rights), or words that hold for all; null: not said",
    )
    has_masks: bool = Field(True, description="false: an unlabelled set; nothing is evaluated on it")
    published_as: str | None = Field(
        None,
        description="Name of the set in published tables, e.g. ECSSD; refused with a `split` that is by a hash, as "
        "that of MSRA-B without its list files",
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        section = super().__get_pydantic_json_schema__(core_schema, handler)
        section |= {"type": "object", "anyOf": [{"required": ["root"]}, {"required": ["of"]}]}
        return section

    @model_validator(mode="after")
    def _is_a_folder_or_several_sets(self) -> Self:
        if not self.of:
            if not self.root:
                raise ValueError("root: is required, the folder of the images; or of:, the names of data sets")
            return self
        if len(set(self.of)) < max(2, len(self.of)):
            raise ValueError("of: name two data sets or more, each once")
        if more := self.model_fields_set - {"of", "has_masks", "published_as"}:
            raise ValueError(f"{min(more)}: not beside of:, say it of each of {', '.join(self.of)}")
        return self

    @model_validator(mode="after")
    def _tags_fit(self) -> Self:
        for key in ("only_tags", "without_tags"):
            if getattr(self, key) and self.tags is None and self.root != "demo":
                raise ValueError(f"{key}: say where the tags are, tags:")
            if getattr(self, key) and self.published_as is not None:
                raise ValueError(f"published_as: not of a part of {self.published_as}; leave it or {key} out")
        return self


class CorrectionsConfig(Section):
    """Human masks of some of the training images, such as the fifty most doubtful ones, mended: the labels there."""

    masks: UserPath = Field(
        min_length=1,
        description="Folder of masks, each with the name of a training image: ID.png, at its size or scaled",
    )
    weight: float = Field(
        1.0, gt=0, description="What each counts in every training's loss: as if the image were drawn so often"
    )


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
    gallery: bool = Field(True, description="Make results/report/gallery: all training images with their maps")
    gallery_side: int = Field(
        192,
        ge=64,
        le=1024,
        description="Longest side of its pictures in pixels; 10,000 images with five maps take 130 MB at 192",
    )
    mask_threshold: float | Literal["adaptive", "otsu"] = Field(
        0.5, description="Of the masks in results/masks: salient above it; adaptive: twice the mean; otsu"
    )


class LabelsConfig(Section):
    """What the target `labels` writes of the masks of the training images, for other tools (`usod labels export`)."""

    formats: list[LabelFormat] = Field(["coco"], min_length=1, description="Formats, each in a folder of its name")
    class_name: str = Field(
        "salient", min_length=1, pattern=r"^[^:\n\r]*[^:\s][^:\n\r]*$", description="Name of the objects' class"
    )
    instances: bool = Field(True, description="One object per connected component; false: one per image")
    smallest: float = Field(0.0, ge=0, le=1, description="Components below this share of the image are dropped")
    polygons: bool = Field(
        False, description="Polygons instead of run lengths in coco, fiftyone, cvat and label-studio"
    )
    simplify: float = Field(0.0, ge=0, description="Tolerance of polygons in pixels; 0: the masks' own pixels")
    image_url: str = Field("/data/local-files/?d=", description="Label Studio finds images at this, then their names")


class Settings(Section):
    """The settings that every system has; a system's description adds its own section and properties."""

    registry: ClassVar["Registry"]
    """The systems that this configuration knows."""

    datasets: dict[Name, DatasetConfig] = Field(min_length=1, description="Name -> data set")
    train: Annotated[Name, BeforeValidator(lambda value: value, json_schema_input_type=Name | list[Name])] = Field(
        description="The data set to refine and train on; no masks needed. [a, b]: both, as the set a-and-b"
    )
    test: list[Name] = Field([], description="The data sets to score on")
    corrections: Annotated[
        CorrectionsConfig | None,
        BeforeValidator(
            lambda value: {"masks": value} if isinstance(value, str) else value,
            json_schema_input_type=str | CorrectionsConfig | None,
        ),
    ] = Field(
        None,
        description="Human masks of some training images, a folder or {masks: FOLDER, weight: 4}: they are the labels "
        "of these images in every training; null: none",
    )
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
    labels: LabelsConfig = LabelsConfig()
    gpu: Literal[0, 1, "auto"] = Field(
        "auto", description="GPUs of a training or prediction job; auto: one where this machine has any, else none"
    )
    deterministic: bool = Field(
        False,
        description="The same bits in every run on GPUs of one kind, too, by slower algorithms (on a CPU it is so "
        "anyway). Makes nothing again that is there",
    )

    @model_validator(mode="before")
    @classmethod
    def _several_are_one(cls, values: Any) -> Any:
        """`train: [a, b]` is the data set `a-and-b` of both; sets of others have masks where one of these has."""
        if not isinstance(values, dict) or not isinstance(values.get("datasets"), dict):
            return values
        datasets, train = dict(values["datasets"]), values.get("train")
        if isinstance(train, list):
            if not train:
                raise ValueError("train: names no data set; name one of datasets, or several")
            if len(train) == 1:
                train = train[0]
            else:
                name = "-and-".join(map(str, train))
                if datasets.setdefault(name, {"of": train}).get("of") != train:
                    raise ValueError(f"train: there is a data set {name!r}, which is not those of {train}; rename it")
                train = name
        for name, section in datasets.items():
            if isinstance(section, dict) and isinstance(section.get("of"), list) and "has_masks" not in section:
                parts = [datasets.get(part) for part in section["of"] if isinstance(part, str)]
                masks = any(part.get("has_masks", True) for part in parts if isinstance(part, dict))
                datasets[name] = section | {"has_masks": masks}
        return values | {"datasets": datasets, "train": train}

    def single(self, name: str) -> list[str]:
        """The folders, as names of data sets, that a data set is made of: itself, or those of `of`."""
        return self.datasets[name].of or [name]

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
            for part in dataset.of:
                if part not in self.datasets or self.datasets[part].of:
                    folders = ", ".join(other for other, section in self.datasets.items() if not section.of)
                    raise ValueError(f"datasets.{name}.of: no folder {part!r}; datasets has {folders}")
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

        if self.corrections is not None:
            require_folder(self.corrections.masks, "corrections.masks")
        used = dict.fromkeys(part for name in (self.train, *self.test) for part in self.single(name))
        for name in used:
            known = self.datasets[name].published_as or name.lower().startswith(tuple(KNOWN_SETS))
            hint = "; docs/reproduce.md says where the papers' data sets come from" if known else ""
            for key in ("root", "masks"):
                folder = getattr(self.datasets[name], key)
                if folder not in (None, "demo"):
                    require_folder(folder, f"datasets.{name}.{key}", hint=hint)
            if (rights := self.datasets[name].rights) and rights.lower().endswith(".csv"):
                require_folder(rights, f"datasets.{name}.rights", or_file=True)
            if (tags := self.datasets[name].tags) not in (None, "folders"):
                require_folder(str(tags), f"datasets.{name}.tags", or_file=True)
        hint = "; docs/reproduce.md says how the maps of published methods lie"
        scored = {part for name in self.test for part in self.single(name)}
        for method, section in self.methods.items():
            for dataset in used if section.maps is not None else ():
                if dataset in scored or method not in tested:
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
