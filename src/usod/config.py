"""The typed configuration of the workflow and of its steps.

Every key has a default, and every default cites where it comes from; unknown keys are refused. The JSON schema in
workflow/schemas is generated from these classes (`usod config schema`).
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from usod.errors import UsageError
from usod.models.config import NetworkConfig

S = TypeVar("S", bound=BaseModel)
HANDCRAFTED = ("rbd", "dsr", "mc", "hs")
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CrfConfig(Section):
    """Dense CRF (Krähenbühl & Koltun 2011); defaults of DeepUSPS's released code at 432x432 (the paper gives none).

    The two `sxy` are in pixels of the working size: scale them with `size`.
    """

    gaussian_sxy: float = Field(3, gt=0, description="Standard deviation of the smoothness kernel in pixels")
    gaussian_compat: float = Field(3, ge=0, description="Its weight")
    bilateral_sxy: float = Field(80, gt=0, description="Spatial standard deviation of the appearance kernel in pixels")
    bilateral_srgb: float = Field(13, gt=0, description="Its colour standard deviation, RGB 0..255")
    bilateral_compat: float = Field(10, ge=0, description="Its weight")
    iterations: int = Field(5, ge=1, description="Mean-field iterations")


class SceneConfig(Section):
    """The bundled demo data, drawn by `usod data demo`."""

    train: int = Field(160, ge=1, description="Number of scenes to train on")
    test: int = Field(80, ge=0, description="Number of unseen scenes to test on")
    size: int = Field(160, ge=32, le=1024, description="Longer side of a scene in pixels")
    seed: int = Field(0, ge=0)


class DatasetConfig(Section):
    """A folder of images, with or without masks, in any layout that `usod data check` knows."""

    root: str | None = Field(None, description="Folder of the data set; none: the bundled demo scenes")
    layout: str = Field("auto", description="Name of a native layout, or auto")
    split: str | None = Field(None, description="Use only the images of this split (train, val, test, ...)")
    masks: str | None = Field(None, description="Folder of the masks, where the layout does not say it")
    mask_threshold: float = Field(0.5, ge=0, lt=1, description="Mask values above this share of 255 are salient")
    has_masks: bool = Field(True, description="false: an unlabelled set; nothing is evaluated on it")
    published_as: str | None = Field(None, description="Name of the set in published tables, e.g. ECSSD")


class RefineConfig(Section):
    """Inter-image consistency and self-supervision (DeepUSPS sections 3.1 and 3.2)."""

    iterations: int = Field(2, ge=0, description="Self-supervision iterations after inter-image consistency (4.1: two)")
    stable: float | None = Field(
        None,
        gt=0,
        description="Stop iterating once the labels moved less than this between two stages (mean absolute "
        "difference, 0..1): later stages hand the labels on unchanged (3.2: 'until a stable state')",
    )
    epochs: int = Field(25, ge=1, description="Epochs of every stage (4.1)")
    batch_size: int = Field(20, ge=1, description="Images per step (4.1)")
    lr: float | list[float] = Field(
        1e-6, description="Adam's learning rate of the first stage (4.1), or a list with one value per stage"
    )
    lr_growth: float = Field(2.0, gt=0, description="Factor of the learning rate from stage to stage (4.1: doubled)")
    lr_decay: Literal["constant", "poly"] = Field(
        "constant", description="Within a stage; the released code uses poly, lr (1 - epoch/epochs)^0.9, the paper none"
    )
    head_lr_factor: float = Field(1.0, gt=0, description="Learning rate of the new layers relative to the backbone's")
    weight_decay: float = Field(0.0, ge=0)
    beta2: float = Field(0.3, gt=0, description="beta^2 of the loss 1 - F_beta (released code: 1)")
    alpha: float = Field(0.7, ge=0, lt=1, description="Weight of the past in the moving average (4.1)")
    bias_correction: bool = Field(
        True, description="Divide the moving average by 1 - alpha^k, so that its zero start does not darken short runs"
    )
    threshold: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Binarisation of the handcrafted maps; none: threshold_factor times the method's mean (3.1)",
    )
    threshold_factor: float = Field(1.5, gt=0, description="gamma = 1.5 * mean saliency of the method (3.1)")
    threshold_scope: Literal["dataset", "image"] = Field(
        "dataset", description="Mean over the data set (fits the released constants) or of each image"
    )
    later_threshold: float = Field(0.5, ge=0, lt=1, description="Binarisation of the moving averages (released code)")
    soft_threshold: bool = Field(
        False, description="Released code: no gradient where the network is already more certain than the label"
    )
    crf: CrfConfig | None = Field(
        CrfConfig(), description="CRF on the predictions before they are averaged; null: none"
    )
    crf_memory_gb: float = Field(6.0, ge=0, description="Memory for lattices that are kept between epochs")
    flip: bool = Field(False, description="Random horizontal flips (neither the paper nor the code uses any)")
    precision: Literal["auto", "float32", "bf16"] = Field("auto", description="auto: bf16 autocast on CUDA")
    seed: int = Field(0, ge=0)

    def lr_of_stage(self, stage: int) -> float:
        """Learning rate of stage 0 (inter-image consistency), 1, 2, ... (self-supervision)."""
        if isinstance(self.lr, list):
            return self.lr[stage]
        return self.lr * self.lr_growth**stage

    @model_validator(mode="after")
    def _one_lr_per_stage(self) -> Self:
        if isinstance(self.lr, list) and len(self.lr) != self.iterations + 1:
            raise ValueError(f"lr lists {len(self.lr)} values for {self.iterations + 1} stages")
        return self


class FuseConfig(Section):
    """Fusion training (DeepUSPS section 3.3): the mean of L_beta over the refined label sets."""

    epochs: int = Field(200, ge=1, description="4.1")
    batch_size: int = Field(20, ge=1, description="4.1")
    lr: float = Field(1e-4, gt=0, description="Released code; the paper gives no other value for this stage")
    lr_decay: Literal["constant", "poly"] = Field("poly", description="Released code: lr (1 - epoch/epochs)^0.9")
    head_lr_factor: float = Field(1.0, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    beta2: float = Field(0.3, gt=0, description="beta^2 of the loss 1 - F_beta (released code: 4)")
    threshold: float = Field(0.5, ge=0, lt=1, description="Binarisation of the refined labels")
    soft_threshold: bool = Field(False, description="As in the refinement; released code: true")
    flip: bool = Field(False)
    precision: Literal["auto", "float32", "bf16"] = "auto"
    seeds: list[int] = Field([0], min_length=1, description="One network per seed; scores are mean and deviation")


class MethodConfig(Section):
    """One source of labels: a handcrafted method, or a folder of maps made elsewhere."""

    function: Literal["rbd", "dsr", "mc", "hs"] | None = Field(
        None, description="Handcrafted method; none: the one of the key's name"
    )
    maps: str | None = Field(None, description="Folder of map images (or MapStore) instead; {dataset} is replaced")
    params: dict[str, Any] = Field({}, description="Keyword arguments of the method's function")
    refine: dict[str, Any] = Field({}, description="Keys of deepusps.refine that differ for this method")


class MapsConfig(Section):
    max_side: int = Field(
        640, ge=0, description="Larger images are reduced to this side before a method runs; 0: never"
    )
    chunks: int = Field(4, ge=1, description="Jobs into which the extraction of one method is split")


class DeepUspsConfig(Section):
    refine: RefineConfig = RefineConfig()
    fuse: FuseConfig = FuseConfig()


class BenchmarkConfig(Section):
    crf: CrfConfig | None = Field(
        CrfConfig(), description="Dense CRF on the predictions, as in DeepUSPS's main table; null: none"
    )
    stages: bool = Field(True, description="Score the network of every stage too, not the fused ones only")
    batch_size: int = Field(16, ge=1)


class ReportConfig(Section):
    examples: int = Field(12, ge=1, description="Images shown stage by stage")


class Config(Section):
    """config.yaml: what to compute. How to run it (cores, memory, cluster) belongs to the command line or a profile."""

    datasets: dict[Name, DatasetConfig] = Field(min_length=1, description="Name -> data set")
    train: Name = Field(description="The data set to refine and train on; no masks needed")
    test: list[Name] = Field([], description="The data sets to score on")
    scenes: SceneConfig = SceneConfig()
    size: int = Field(432, ge=32, description="Working size: images and maps are squares of this side (DeepUSPS 4.1)")
    maps: MapsConfig = MapsConfig()
    methods: dict[Name, MethodConfig] = Field({name: MethodConfig() for name in HANDCRAFTED}, min_length=1)
    network: NetworkConfig = NetworkConfig()
    deepusps: DeepUspsConfig = DeepUspsConfig()
    benchmark: BenchmarkConfig = BenchmarkConfig()
    report: ReportConfig = ReportConfig()
    gpu: int | Literal["auto"] = Field(
        "auto", description="GPUs of a training or prediction job; auto: one where this machine has any, else none"
    )

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for key, names in (("train", [self.train]), ("test", self.test)):
            for name in names:
                if name not in self.datasets:
                    raise ValueError(f"{key}: no data set {name!r}; datasets has {', '.join(self.datasets)}")
        for name, method in self.methods.items():
            if name not in HANDCRAFTED and method.function is None and method.maps is None:
                raise ValueError(
                    f"methods.{name}: not one of {', '.join(HANDCRAFTED)}; say which with function: or give maps:"
                )
            self.refine_of(name)
        for name in self.test:
            if not self.datasets[name].has_masks:
                raise ValueError(f"test: data set {name!r} has no masks to score against")
        return self

    def function_of(self, method: str) -> str:
        """The handcrafted function behind a key of `methods`."""
        return self.methods[method].function or method

    def refine_of(self, method: str) -> RefineConfig:
        """`deepusps.refine` with the method's own keys laid over it."""
        base = self.deepusps.refine.model_dump(exclude_unset=True)
        try:
            return RefineConfig.model_validate({**base, **self.methods[method].refine})
        except ValidationError as error:
            raise ValueError(explain(error, prefix=f"methods.{method}.refine")) from error


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises
    ------
    UsageError
        If the file is missing, not YAML, or not a mapping.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: must hold keys and values")
    return values


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


def parse_section(kind: type[S], text: str | None, option: str = "--config") -> S:
    """A step's section from JSON text, or from a YAML or JSON file when `text` is a path; none: all defaults."""
    values: dict[str, Any] = {}
    if text and text.lstrip().startswith("{"):
        try:
            values = json.loads(text)
        except ValueError as error:
            raise UsageError(f"{option}: not JSON: {error}") from error
    elif text:
        values = read_yaml(text)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{option}: {explain(error)}") from error


def explain(error: ValidationError, prefix: str = "") -> str:
    """All faults of a ValidationError in one line: `key.sub: what is wrong; ...`."""
    faults = []
    for fault in error.errors():
        key = ".".join(str(part) for part in (*([prefix] if prefix else []), *fault["loc"]))
        if fault["type"] == "extra_forbidden":
            text = "unknown key, remove it or correct its name"
        elif fault["type"] == "value_error":
            text = str(fault["ctx"]["error"])
        else:
            text = f"{fault['msg'].lower()}, got {fault['input']!r}"[:200]
        faults.append(f"{key}: {text}" if key else text)
    return "; ".join(dict.fromkeys(faults))


def schema() -> dict[str, Any]:
    """JSON schema of config.yaml, for editors and for `snakemake.utils.validate`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
