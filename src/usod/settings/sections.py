"""The settings that single steps take: every default cites where it comes from, unknown keys are refused.

`usod.settings.config` puts them together to the configuration of the whole workflow.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)

from usod.errors import UsageError
from usod.settings.faults import explain

S = TypeVar("S", bound=BaseModel)
T = TypeVar("T", bound="Section")
MAX_VALUES = 100_000
"""In a YAML file; the largest preset has some hundred."""
Positive = Annotated[float, Field(gt=0)]
MinSteps = Annotated[
    int,
    Field(
        ge=0,
        description="Epochs are added until a training has this many steps: with few images a network is not done "
        "after the paper's epochs, and its first predictions would be the labels; 0: none",
    ),
]
MaxSteps = Annotated[
    int | None,
    Field(
        ge=1,
        description="Epochs are left out, but for one, until a training has no more steps than this: many images are "
        "learnt in fewer passes. It is stronger than min_steps; null: no limit",
    ),
]
ShownSize = Annotated[
    int | None,
    Field(
        ge=32,
        le=4096,
        description="Side, in pixels, at which the network's maps are compared with the labels; null: the working "
        "size. An encoder that learns is shown the images at this size, and the network works at it. A frozen one has "
        "seen them as they are; a smaller size is then faster only",
    ),
]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


def nothing_is_empty(values: Any) -> Any:
    """An empty section for a key without a value, such as `rbd:`."""
    return {} if values is None else values


def moved_key(values: Any, key: str, new: str) -> Any:
    """The values of a section. Raises ValueError where they hold `key`, which is now `new`."""
    if isinstance(values, dict) and key in values:
        raise ValueError(f"{key}: is now {new}")
    return values


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _may_be_empty(cls, values: Any) -> Any:
        return nothing_is_empty(values)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        section = handler.resolve_ref_schema(handler(core_schema))
        if not any(field.is_required() for field in cls.model_fields.values()):
            section["type"] = ["object", "null"]
        return section


class CrfConfig(Section):
    """Dense CRF (Krähenbühl & Koltun 2011); defaults of DeepUSPS's released code at 432x432 (the paper gives none).

    The two `sxy` are in pixels of the maps that it refines: scale them with `size`, as `at` does.
    """

    def at(self, size: int) -> Self:
        """The CRF that covers the same share of maps of side `size` as this one does of 432x432."""
        widths = {name: getattr(self, name) * size / 432 for name in ("gaussian_sxy", "bilateral_sxy")}
        return self.model_copy(update=widths)

    gaussian_sxy: float = Field(3, gt=0, description="Standard deviation of the smoothness kernel in pixels")
    gaussian_compat: float = Field(3, ge=0, description="Its weight")
    bilateral_sxy: float = Field(80, gt=0, description="Spatial standard deviation of the appearance kernel in pixels")
    bilateral_srgb: float = Field(13, gt=0, description="Its colour standard deviation, RGB 0..255")
    bilateral_compat: float = Field(10, ge=0, description="Its weight")
    iterations: int = Field(5, ge=1, description="Mean-field iterations")


def enough_epochs(config: T, images: int) -> T:
    """The settings of a training (`epochs`, `batch_size`, `min_steps`, `max_steps`) with the epochs of its steps."""
    training: Any = config
    steps = -(-images // training.batch_size)
    epochs = max(training.epochs, -(-training.min_steps // steps))
    if training.max_steps is not None:
        epochs = min(epochs, max(1, training.max_steps // steps))
    return config.model_copy(update={"epochs": epochs})


class RelationConfig(Section):
    """LDPS (Chen et al., AAAI 2020): training of the relation network (sections 3.3, 4.2 and 5.3)."""

    iterations: int = Field(20_000, ge=1, description="Steps (5.3); whole epochs are trained")
    batch_size: int = Field(
        8,
        ge=1,
        description="Images per step. Ours, as the paper gives none: a step of one image follows whatever that image "
        "is. 1: the released code",
    )
    lr: Positive = Field(5e-4, description="Learning rate of the backbone (5.3)")
    head_lr_factor: float = Field(10.0, gt=0, description="The rest learns ten times faster (5.3: 5e-3)")
    optimiser: Literal["adam", "sgd"] = Field("sgd", description="5.3; its momentum of 0.9 is the released code's")
    lr_decay: Literal["constant", "poly"] = Field(
        "poly", description="5.3; step by step, and its power of 0.9, are the released code's"
    )
    weight_decay: float = Field(5e-3, ge=0, description="Released code; the paper gives none")
    theta_afg: float = Field(0.8, ge=0, le=1, description="Prior values from here on are approximate foreground (5.3)")
    theta_abg: float = Field(0.3, ge=0, le=1, description="Prior values up to here are approximate background (5.3)")
    balanced: bool = Field(
        True,
        description="The mean over the positive pairs plus that over the negative ones: the two expectations of Eq. 5, "
        "taken by their word. false: the mean over all pairs of an image, which is how section 4.2 and the released "
        "code have the cross-entropy; the larger background then drowns the object",
    )
    flip: bool = Field(False, description="Random horizontal flips (released code: none; the paper says nothing)")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="auto: bf16 on CUDA, else float32, which the paper and its code have"
    )
    seed: Seed = 0


class SingleImageConfig(RelationConfig):
    """LDPS trained anew on every single image (section 5.4, Table 3)."""

    iterations: int = Field(10, ge=1, description="Steps per image (5.4)")
    batch_size: Literal[1] = Field(1, description="The one image (5.4)")
    lr: Positive = Field(0.2, description="Of all layers (5.4)")
    head_lr_factor: float = Field(1.0, gt=0, description="5.4 names one rate")
    optimiser: Literal["sgd"] = Field(
        "sgd", description="As the training's; 5.4 names none, nor has the code this mode"
    )
    lr_decay: Literal["constant"] = Field("constant", description="5.4 gives one rate")
    flip: Literal[False] = Field(False, description="There is one image")
    precision: Literal["float32"] = Field("float32", description="Ten steps on one image")


class MergeConfig(Section):
    """How LDPS's refined map and its prior become one (section 4.3)."""

    theta_fg: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Certain foreground of the prior when refining (Table 4); null: network's (5.3: 0.9)",
    )
    stretch: bool = Field(False, description="Released code: every result is stretched to 0..1; the paper says nothing")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "float32",
        description="Of the network when refining. Published gains in MAE go down to .0012; auto: bf16 on CUDA",
    )


class SuperpixelConfig(Section):
    """The iterative CRF of WSS (Wang et al., CVPR 2017, section 3.4); see `usod.crf.superpixel.SuperpixelParams`."""

    count: int = Field(350, ge=2, description="Superpixels per image, about; the authors' are of some 500 pixels")
    components: int = Field(5, ge=1, description="Gaussians of each mixture (3.4)")
    iterations: int = Field(5, ge=1, description="Of mixtures and labels (3.4)")
    steps: int = Field(5, ge=1, description="Of message passing (3.4)")
    rho1: float = Field(1.0, ge=0, description="Weight of the appearance kernel (released code; the paper gives none)")
    gamma1: float = Field(0.0707, gt=0, description="Its width in image sides (released code)")
    gamma2: float = Field(0.1, gt=0, description="Its width in colour, channels scaled to 0..1 (released code)")
    rho2: float = Field(0.5, ge=0, description="Weight of the smoothness kernel (released code)")
    gamma3: float = Field(0.01, gt=0, description="Its width in image sides (released code)")
    covariance: float = Field(0.01, gt=0, description="Added to the mixtures' variances, channels 0..255 (released)")
    offset: float = Field(0.0, ge=0, description="Added to the probability in the unary term (released code: 0.1)")
    threshold: float | None = Field(
        None, ge=0, lt=1, description="The map is binarised above it first (released code: 0.65); null: it is not (3.4)"
    )
    border: bool = Field(True, description="false: border superpixels are background throughout (released code)")


class TagTraining(Section):
    """What both trainings of WSS have (Wang et al., CVPR 2017, sections 3.3 and 3.4)."""

    batch_size: int = Field(64, ge=1, description="3.3 and 3.4")
    optimiser: Literal["adam", "sgd"] = Field("sgd", description="3.3 and 3.4; momentum 0.9 (3.3)")
    nesterov: bool = Field(False, description="Nesterov's momentum; the paper has momentum 0.9 and says no more (3.3)")
    lr_decay: Literal["constant", "poly", "step"] = Field("step", description="3.3 and 3.4")
    eta: float = Field(
        1e-4,
        ge=0,
        description="Of eta |theta|^2 in the objective (3.3; 3.4 does not say): SGD's weight decay is twice that. "
        "Released code: 2.5e-4",
    )
    flip: bool = Field(True, description="Random horizontal flips (released code; the paper says nothing)")
    precision: Literal["auto", "float32", "bf16"] = Field("auto", description="auto: bf16 autocast on CUDA")
    seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _as_in_the_paper(cls, values: Any) -> Any:
        return moved_key(values, "weight_decay", "eta, as in the paper; write half of the weight decay")

    @property
    def weight_decay(self) -> float:
        """Of SGD: the gradient of eta |theta|^2 is 2 eta theta."""
        return 2 * self.eta


class PretrainConfig(TagTraining):
    """WSS, training on tags (section 3.3)."""

    epochs: int = Field(60, ge=1, description="The paper gives none; the learning rate falls every 20")
    lr: Positive = Field(0.01, description="3.3")
    milestones: list[int] = Field([21, 41], description="Epochs from which lr is a tenth (3.3: every 20)")
    head_lr_factor: float = Field(
        1.0, gt=0, description="Of the new layers; 3.3 has one rate (released snapshots: 100)"
    )
    sparsity: float = Field(5e-4, ge=0, description="lambda of the L1 norm of the foreground map (3.3)")
    negative_weight: float = Field(
        1.0, gt=0, description="Of the tags that an image lacks (3.3: they weigh the same; released code: 0.02)"
    )


class SelfTrainConfig(TagTraining):
    """WSS, one round of self-training (section 3.4)."""

    epochs: int = Field(20, ge=1, description="The paper gives none; the learning rate falls every 10")
    lr: Positive = Field(1e-3, description="Of the pretrained layers (3.4)")
    head_lr_factor: float = Field(
        10.0,
        gt=0,
        description="3.4: 1e-2 for the newly added layers, which are the skips and deconvolutions in the first round; "
        "in later ones no layer is new",
    )
    milestones: list[int] = Field([11], description="Epochs from which lr is a tenth (3.4: every 10)")
    delta: float = Field(0.95, ge=0, le=1, description="Weight of the label in the bootstrapping loss (3.4)")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises
    ------
    UsageError
        If the file is missing, not YAML, or not a mapping.
    """
    try:
        node = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        if node is not None and _expanded_size(node, {}) > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values, its aliases written out")
        values = None if node is None else yaml.SafeLoader("").construct_document(node)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except RecursionError:
        raise UsageError(f"{path}: not readable as YAML: nested too deeply, or an alias inside itself") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: must hold keys and values")
    return values


def _expanded_size(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of values below a node, aliases written out: a few lines of them can stand for billions."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        below = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + sum(_expanded_size(part, known) for part in below)
    return known[id(node)]


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
