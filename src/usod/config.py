"""The typed configuration of the workflow.

Every key has a default, and every default cites where it comes from; unknown keys are refused. The JSON schema in
workflow/schemas is generated from these classes (`usod config schema`).
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from usod.errors import UsageError
from usod.faults import explain
from usod.folders import dataset_of_folder, images_folder, require_folder
from usod.models.config import NetworkConfig
from usod.models.registry import ActivationOptions, RelationOptions, TagsOptions
from usod.names import PATTERN, RESERVED
from usod.sections import (
    ActivationConfig,
    CrfConfig,
    FuseConfig,
    MergeConfig,
    PretrainConfig,
    RectifyConfig,
    RefineConfig,
    RelationConfig,
    Section,
    SelfTrainConfig,
    SingleImageConfig,
    SuperpixelConfig,
    nothing_is_empty,
)

DEEPUSPS_METHODS = ("rbd", "dsr", "mc", "hs")
"""The handcrafted methods of the DeepUSPS paper; more are registered in `usod.handcrafted`."""
Name = Annotated[str, Field(pattern=PATTERN)]
# Not a Path: it would make the folder ./demo the word demo.
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
        None, description="Image-level tags for WSS: a CSV (id,tags), a folder of XML annotations, or folders"
    )
    has_masks: bool = Field(True, description="false: an unlabelled set; nothing is evaluated on it")
    published_as: str | None = Field(None, description="Name of the set in published tables, e.g. ECSSD")


class MethodConfig(Section):
    """One source of labels: a handcrafted method, or a folder of maps made elsewhere."""

    function: str | None = Field(None, description="Handcrafted method; none: the one of the key's name")
    maps: UserPath | None = Field(None, description="Folder of map images (or MapStore) instead; {dataset} is replaced")
    params: dict[str, Any] = Field({}, description="Keyword arguments of the method's function")
    refine: dict[str, Any] = Field({}, description="Keys of deepusps.refine that differ for this method")


class MapsConfig(Section):
    max_side: int = Field(
        640, ge=0, description="Larger images are reduced to this side before a method runs; 0: never"
    )
    chunks: int = Field(4, ge=1, le=10_000, description="Jobs into which the extraction of one method is split")


class DeepUspsConfig(Section):
    refine: RefineConfig = RefineConfig()
    fuse: FuseConfig = FuseConfig()
    labels: list[str] | None = Field(
        None,
        min_length=1,
        description="What the fusion learns; null: the last stage of every method. Names of maps (rbd), of refined "
        "labels (rbd-iter2), of another system's (a2s-stage1, a2s-stage2), and of oracles: oracle-masks is the ground "
        "truth, oracle-labels each pixel's best refined label. {method} stands for every method ({method}-iter0)",
    )


class A2sConfig(Section):
    """A2S (Zhou et al., TCSVT 2023): pseudo-labels from a pretrained encoder, and the detector that learns them."""

    encoder: dict[str, Any] = Field(
        {}, description="Keys of network that differ in stage 1 (the paper: resnet50, MoCo v2, output_stride 32)"
    )
    detector: dict[str, Any] = Field(
        {}, description="Keys of the encoder that differ in the detector of stage 2, whose head is ram"
    )
    labels: str = Field(
        "a2s-stage1",
        description="What stage 2 learns: a2s-stage1, the refined labels of a method (rbd-iter2), or its maps (rbd)",
    )
    stage1: ActivationConfig = ActivationConfig()
    stage2: RectifyConfig = RectifyConfig()


class LdpsConfig(Section):
    """LDPS (Chen et al., AAAI 2020): any maps refined by the relations of deep features, without labels."""

    network: dict[str, Any] = Field(
        {}, description="Keys of network that differ (the paper: mobilenet_v2 with ImageNet weights, output_stride 32)"
    )
    priors: list[str] | None = Field(
        None,
        min_length=1,
        description="What is refined: maps (rbd), refined labels (rbd-iter2), a network's maps (deepusps-seed0, "
        "a2s-stage2); null: the maps of every method",
    )
    learn_from: str | None = Field(
        None, description="The prior on which one network for all is trained (the paper); null: each prior has its own"
    )
    train: RelationConfig = RelationConfig()
    merge: MergeConfig = MergeConfig()
    single: SingleImageConfig = SingleImageConfig()


class WssConfig(Section):
    """WSS (Wang et al., CVPR 2017): salient objects from image-level tags, then from its own refined maps."""

    network: dict[str, Any] = Field({}, description="Keys of network that differ (the paper: vgg16, ImageNet weights)")
    rounds: int = Field(2, ge=0, le=100, description="Rounds of estimating and fine-tuning (3.4)")
    pretrain: PretrainConfig = PretrainConfig()
    crf: SuperpixelConfig = SuperpixelConfig()
    selftrain: SelfTrainConfig = SelfTrainConfig()


class BenchmarkConfig(Section):
    crf: CrfConfig | None = Field(
        CrfConfig(), description="Dense CRF on the predictions, as in DeepUSPS's main table; null: none"
    )
    stages: bool = Field(True, description="Score the network of every stage too, not the fused ones only")
    batch_size: int = Field(16, ge=1)


class ReportConfig(Section):
    examples: int = Field(12, ge=1, description="Images shown stage by stage")
    mask_threshold: float | Literal["adaptive", "otsu"] = Field(
        0.5, description="Of the masks in results/masks: salient above it; adaptive: twice the mean; otsu"
    )


class Config(Section):
    """config.yaml: what to compute. How to run it (cores, memory, cluster) belongs to the command line or a profile."""

    datasets: dict[Name, DatasetConfig] = Field(min_length=1, description="Name -> data set")
    train: Name = Field(description="The data set to refine and train on; no masks needed")
    test: list[Name] = Field([], description="The data sets to score on")
    scenes: SceneConfig = SceneConfig()
    size: int = Field(432, ge=32, description="Working size: images and maps are squares of this side (DeepUSPS 4.1)")
    maps: MapsConfig = MapsConfig()
    systems: list[Literal["deepusps", "a2s", "ldps", "wss"]] = Field(
        ["deepusps"], min_length=1, description="The systems that are trained, scored and reported"
    )
    ablations: list[str] = Field(
        [],
        description="Tables of variants that belong to `all`: names of workflow/presets/ablations (a2s_table4) or YAML "
        "files of one's own; each is a target of its own name, too",
    )
    methods: dict[Name, MethodConfig] = Field({name: MethodConfig() for name in DEEPUSPS_METHODS}, min_length=1)
    network: Annotated[NetworkConfig, BeforeValidator(nothing_is_empty)] = NetworkConfig()
    deepusps: DeepUspsConfig = DeepUspsConfig()
    a2s: A2sConfig = A2sConfig()
    ldps: LdpsConfig = LdpsConfig()
    wss: WssConfig = WssConfig()
    benchmark: BenchmarkConfig = BenchmarkConfig()
    report: ReportConfig = ReportConfig()
    gpu: Literal[0, 1, "auto"] = Field(
        "auto", description="GPUs of a training or prediction job; auto: one where this machine has any, else none"
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
            if re.fullmatch(r".*-iter\d+|deepusps.*|a2s.*|ldps.*|wss.*|crf-.*|spcrf-.*|fusion", name):
                raise ValueError(f"methods.{name}: the workflow uses such names itself, choose another")
            if method.maps is not None and (method.function is not None or method.params):
                raise ValueError(f"methods.{name}: maps: are taken as they are, leave function: and params: out")
            known = parameters(self.function_of(name)) if method.maps is None else []
            for parameter in method.params:
                if parameter not in known:
                    raise ValueError(f"methods.{name}.params.{parameter}: unknown key; there are {', '.join(known)}")
            self.refine_of(name)
        return self

    @model_validator(mode="after")
    def _labels_exist(self) -> Self:
        stages = range(self.deepusps.refine.iterations + 1)
        refined = [f"{method}-iter{stage}" for method in self.methods for stage in stages]
        known = ["a2s-stage1", *self.methods, *refined]
        if self.a2s.labels not in known:
            raise ValueError(f"a2s.labels: no {self.a2s.labels!r}; there are {', '.join(known)}")
        known += ["a2s-stage2", "oracle-masks", "oracle-labels"]
        for label in self.fused_labels:
            if label not in known:
                raise ValueError(f"deepusps.labels: no {label!r}; there are {', '.join(known)}")
        networks = [*(f"deepusps-seed{seed}" for seed in self.deepusps.fuse.seeds), "a2s-stage1", "a2s-stage2"]
        networks += ["wss-pretrain", *(f"wss-iter{k}" for k in range(self.wss.rounds))]
        for prior in [*self.priors, self.ldps.learn_from or self.priors[0]]:
            if prior not in [*self.methods, *refined, *networks]:
                there = ", ".join([*self.methods, *refined, *networks])
                raise ValueError(f"ldps: no prior {prior!r}; there are {there}")
        return self

    @model_validator(mode="after")
    def _tags_exist(self) -> Self:
        train = self.datasets[self.train]
        if "wss" in self.systems and train.tags is None and train.root != "demo":
            raise ValueError(
                f"datasets.{self.train}.tags: wss learns from tags; give a CSV, a folder of XML, or folders"
            )
        return self

    @model_validator(mode="after")
    def _networks_fit(self) -> Self:
        self.encoder, self.detector, self.relation, self.tagger  # noqa: B018 - they raise
        return self

    @property
    def encoder(self) -> NetworkConfig:
        """The network of A2S's first stage."""
        network = _differing(self.network, self.a2s.encoder, "a2s.encoder")
        return network.with_head(network.head_as(ActivationOptions))

    @property
    def detector(self) -> NetworkConfig:
        """The network of A2S's second stage."""
        return _differing(self.encoder, {"head": "ram"} | self.a2s.detector, "a2s.detector")

    @property
    def relation(self) -> NetworkConfig:
        """The network of LDPS."""
        network = _differing(self.network, self.ldps.network, "ldps.network")
        return network.with_head(network.head_as(RelationOptions))

    @property
    def tagger(self) -> NetworkConfig:
        """The network of WSS."""
        network = _differing(self.network, self.wss.network, "wss.network")
        return network.with_head(network.head_as(TagsOptions))

    @property
    def last_labels(self) -> list[str]:
        """The labels that the last stage of every method leaves."""
        return [f"{method}-iter{self.deepusps.refine.iterations}" for method in self.methods]

    @property
    def fused_labels(self) -> list[str]:
        """What DeepUSPS's fusion learns."""
        if self.deepusps.labels is None:
            return self.last_labels
        labels = [
            label.replace("{method}", method)
            for label in self.deepusps.labels
            for method in (self.methods if "{method}" in label else [""])
        ]
        return list(dict.fromkeys(labels))

    @property
    def priors(self) -> list[str]:
        """What LDPS refines."""
        return self.ldps.priors or list(self.methods)

    def function_of(self, method: str) -> str:
        """The handcrafted function behind a key of `methods`."""
        return self.methods[method].function or method

    def imported_maps(self, method: str, dataset: str) -> Path:
        """Folder or file of a method's maps that were made elsewhere. Raises UsageError where there is none."""
        template = self.methods[method].maps or ""
        return require_folder(template.replace("{dataset}", dataset), f"methods.{method}.maps", or_file=True)

    def check_paths(self) -> None:
        """Raises UsageError where a folder is missing that training or scoring reads: images, masks, maps."""
        used = dict.fromkeys([self.train, *self.test])
        for name in used:
            for key in ("root", "masks"):
                folder = getattr(self.datasets[name], key)
                if folder not in (None, "demo"):
                    require_folder(folder, f"datasets.{name}.{key}")
        for method, section in self.methods.items():
            for dataset in used if section.maps is not None else ():
                self.imported_maps(method, dataset)

    def refine_of(self, method: str) -> RefineConfig:
        """`deepusps.refine` with the method's own keys laid over it."""
        base = self.deepusps.refine.model_dump(exclude_unset=True)
        own = self.methods[method].refine
        if "iterations" in own:
            raise ValueError(f"methods.{method}.refine.iterations: all methods have deepusps.refine.iterations")
        try:
            return RefineConfig.model_validate(deep_merge(base, own))
        except ValidationError as error:
            raise ValueError(explain(error, prefix=f"methods.{method}.refine")) from error


def _differing(network: NetworkConfig, keys: dict[str, Any], name: str) -> NetworkConfig:
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


def parse_config(values: dict[str, Any], source: str = "config") -> Config:
    """A checked Config.

    Raises
    ------
    UsageError
        One line that names every wrong key and what is wrong with it.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{source}: {explain(error)}") from error


def own_images(folder: object, preset: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """A configuration for a folder of unlabelled images: `preset`, the user's own keys, the folder as the data.

    The data set is called after its folder (`usod.names.usable_name`). A relative path stays one, from the working
    folder: so results and photographs can be moved together.

    Parameters
    ----------
    folder : of the images, as the user gave it: `--config images=FOLDER`
    preset : values of the preset (workflow/presets/own_images.yaml)
    own : the user's own keys; `datasets` of theirs are kept, so that the network can be scored on them. One that has
        this folder for its root is the data set itself

    Raises
    ------
    UsageError
        If there is no such folder.
    """
    root = images_folder(folder)
    rest = {key: value for key, value in own.items() if key != "images"}
    values = {key: value for key, value in preset.items() if key not in ("datasets", "train", "test")}
    theirs = {str(name): section for name, section in (rest.get("datasets") or {}).items()}
    name, section = dataset_of_folder(root, theirs)
    return deep_merge(deep_merge(values, rest), {"datasets": {name: section}, "train": name})


def schema() -> dict[str, Any]:
    """JSON schema of config.yaml, for editors and for `snakemake.utils.validate`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
