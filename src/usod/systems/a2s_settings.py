"""What the steps of `a2s` can be told; apart from its description, so that other settings rerun none of them.

The defaults are those of A2S; A2S-v2 and A2S-v3 are the presets of their names.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from usod.models.config import NetworkConfig
from usod.models.registry import ActivationOptions, GatedOptions
from usod.settings.sections import CrfConfig, Positive, Section, Seed, moved_key


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"must be odd, so that it has a middle, not {value}")
    return value


SCALES = (0.6, 0.8, 1.2, 1.4)
"""320 px and -128, -64, +64, +128."""
Scales = tuple[Annotated[float, Field(gt=0.1, le=4)], ...]
Odd = Annotated[int, Field(ge=1, json_schema_extra={"not": {"multipleOf": 2}}), AfterValidator(_odd)]
_SCALES_ARE = "Sizes, relative to the working size, of which one is drawn for every batch: 192, 256, 384 or 448 of 320"
_NESTEROV = "Nesterov's momentum (A2S's code; A2S-v2's and A2S-v3's: false)"
_ENCODER_FROM = "Epoch from which an encoder that learns does so"


class A2sCrfConfig(CrfConfig):
    """A2S's released code at the images' own size; the paper gives none."""

    bilateral_sxy: float = Field(50, gt=0, description="Spatial standard deviation of the appearance kernel in pixels")
    bilateral_srgb: float = Field(5, gt=0, description="Its colour standard deviation, RGB 0..255")
    iterations: int = Field(10, ge=1, description="Mean-field iterations")


class TextureConfig(Section):
    """Boundary-aware texture matching (Zhou et al., CVPR 2023): borders of the map go where the image's are."""

    weight: float = Field(0.05, ge=0, description="Of this loss beside the distilling loss (A2S-v2); 0: none")
    reduction: int = Field(4, ge=1, description="Maps and images are compared at this fraction of their size (A2S-v2)")
    window: Odd = Field(11, description="Side of the window around each pixel, at the reduced size (A2S-v2)")
    contour: Odd = Field(5, description="Side of the square that finds the contour's pixels (A2S-v2)")
    sharpness: float = Field(
        200.0, gt=0, description="Pixels of normalised colours I, J go together by exp(-sharpness |I - J|^2) (A2S-v2)"
    )


class DistillingConfig(Section):
    """The loss of A2S-v2's first stage (Zhou et al., CVPR 2023), and what A2S-v3 (Yuan et al., IJCAI 2024) adds."""

    uncertain: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="Maps p have no loss where |p - 0.5| is below uncertain - uncertain_fall e / E in epoch e of E; "
        "A2S-v3: 0.2, with which that is over after a third of them; 0: all pixels count (A2S-v2)",
    )
    uncertain_fall: float = Field(0.6, ge=0, description="See uncertain (A2S-v3)")
    texture: TextureConfig = TextureConfig()
    scales: Scales = Field(SCALES, description=f"{_SCALES_ARE} (A2S-v2); []: none")
    agreement: float = Field(1.0, ge=0, description="Weight of the squared difference of the two maps (A2S-v2)")


class RefinementConfig(Section):
    """Pixel-adaptive refinement (PAR; Ru et al., CVPR 2022): a map is averaged over neighbours of like colour."""

    weight: float = Field(0.2, gt=0, le=1, description="Of the refined map in a label's update (A2S-v3; its code: 0.1)")
    dilations: list[Annotated[int, Field(ge=1)]] = Field(
        [1, 2, 4, 8], min_length=1, description="Distances of the eight neighbours in pixels (A2S-v3's code)"
    )
    iterations: int = Field(6, ge=1, description="A2S-v3's code")


class SecondScaleConfig(Section):
    """What A2S-v3's second stage learns from each image at another size beside its own."""

    scales: Scales = Field(SCALES, min_length=1, description=f"{_SCALES_ARE} (A2S-v3)")
    weight: float = Field(0.5, ge=0, description="Of the loss at that size (A2S-v3)")
    agreement: float = Field(
        1.0, ge=0, description="Weight of the squared difference from the map at the image's own size (A2S-v3)"
    )


class PseudoLabelConfig(Section):
    """A2S's pseudo-labels G, of any images, from the activations of stage 1 (Eq. 6)."""

    crf: A2sCrfConfig | None = Field(A2sCrfConfig(), description="CRF of the activation maps; null: none")
    confidence: float | None = Field(
        None,
        gt=0.5,
        lt=1,
        description="Released code: 0.7, the CRF starts from hard labels; null: from the map (Eq. 6)",
    )
    threshold: Literal["half", "otsu"] = Field(
        "half", description="What makes those hard labels: half of the stretched map, or Otsu's threshold (A2S-v2)"
    )
    median: int = Field(7, ge=1, description="Side of the median filter in pixels (released code); 1: none")
    shown: Literal["working", "own"] = Field(
        "working",
        description="Size at which the network is shown the images: the working size (IV-A), or theirs (released code)",
    )
    refined: Literal["own", "working"] = Field(
        "own",
        description="The size whose pixels CRF and median filter count: the images' own (released code) or the working "
        "size (A2S-v2's and A2S-v3's code)",
    )
    max_side: int = Field(
        640,
        ge=0,
        description="Larger images are reduced to this side first (ours; the papers' are not larger); 0: never",
    )

    @model_validator(mode="after")
    def _otsu_makes_hard_labels(self) -> Self:
        if self.threshold == "otsu" and self.confidence is None:
            raise ValueError("threshold: otsu makes hard labels; say how sure they are, confidence: 0.7")
        return self


# Keys of stage 1 before the pseudo-labels had a step of their own.
_MOVED = {"crf": "crf", "median": "median", "label_confidence": "confidence", "label_threshold": "threshold"}


class ActivationConfig(Section):
    """A2S stage 1 (Zhou et al., TCSVT 2023, sections III-A and IV-A)."""

    loss: Literal["adb", "csd"] = Field(
        "adb",
        description="adb: A2S's adaptive decision boundary (Eq. 4), with alpha, drop and auxiliary_weights; csd: "
        "A2S-v2's and A2S-v3's distilling and texture matching, with csd. It names the head, too: activation or gated",
    )
    csd: DistillingConfig = Field(DistillingConfig(), description="Of the loss csd")
    epochs: int = Field(20, ge=1, description="IV-A")
    batch_size: int = Field(8, ge=1, description="IV-A")
    lr: Positive = Field(1.0, description="IV-A")
    head_lr_factor: float = Field(
        1.0, gt=0, description="Learning rate of the new layers relative to the encoder's (ours)"
    )
    encoder_from: int = Field(1, ge=1, description=_ENCODER_FROM + " (A2S-v2 on MSRA-B: 3)")
    optimiser: Literal["adam", "sgd"] = Field("sgd", description="IV-A; with momentum 0.9")
    nesterov: bool = Field(True, description=_NESTEROV)
    lr_decay: Literal["constant", "poly", "step", "linear"] = "step"
    lr_every: Literal["epoch", "step"] = Field("epoch", description="When lr falls (A2S-v2's code: step)")
    lr_end: float = Field(0.2, ge=0, le=1, description="Share of lr that linear ends at (A2S-v2)")
    milestones: list[int] = Field([10, 16], description="Epochs from which lr is a tenth (IV-A; released code: 12, 16)")
    weight_decay: float = Field(5e-4, ge=0, description="Released code; the paper gives none")
    alpha: float = Field(0.1, ge=0, description="Weight of the L1 distance in L_adb (IV-D, Table V)")
    drop: float = Field(0.5, ge=0, lt=1, description="Share of pixels left out of the loss in each step (III-A)")
    auxiliary_weights: tuple[float, float, float] = Field(
        (0.1, 0.3, 0.5), description="Of L_adb on F3, F4, F5 (released code; the paper gives none); 0: Table IV, A1"
    )
    train_encoder: bool = Field(False, description="Table IV, A0: the encoder learns too, and forgets what it knew")
    batch_statistics: bool = Field(
        False,
        description="A frozen encoder's batch norms use each batch's statistics and keep following them (A2S-v2's and "
        "A2S-v3's code); false: those of the weights",
    )
    random_encoder: bool = Field(False, description="Allow an encoder without pretrained weights")
    watch: int = Field(
        12, ge=0, description="Images whose activation is kept before training and after every epoch, for the report"
    )
    flip: bool = Field(True, description="IV-A")
    precision: Literal["auto", "float32", "bf16"] = "auto"
    seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _labels_have_their_keys(cls, values: Any) -> Any:
        for key, new in _MOVED.items():
            moved_key(values, key, f"a2s.pseudo_labels.{new}")
        return values

    def network_of(self, network: NetworkConfig) -> NetworkConfig:
        """`network` with the head that the loss is made for."""
        kind = GatedOptions if self.loss == "csd" else ActivationOptions
        return network.with_head(network.head_as(kind))


class RectifyConfig(Section):
    """A2S stage 2 (sections III-B and IV-A)."""

    loss: Literal["detection", "iou"] = Field(
        "detection", description="detection: BCE + SSIM + IoU (Eq. 12); iou: IoU alone (A2S-v2 and A2S-v3)"
    )
    second_scale: SecondScaleConfig | None = Field(
        None, description="Every batch is seen at another size, too (A2S-v3); null: it is not (A2S, A2S-v2)"
    )
    epochs: int = Field(25, ge=1, description="IV-A")
    batch_size: int = Field(8, ge=1, description="IV-A")
    lr: Positive = Field(0.005, description="IV-A (released code: a tenth of it for the encoder)")
    optimiser: Literal["adam", "sgd"] = "sgd"
    nesterov: bool = Field(True, description=_NESTEROV)
    lr_decay: Literal["constant", "poly", "step", "linear"] = "step"
    lr_every: Literal["epoch", "step"] = Field("epoch", description="When lr falls (A2S-v3's code: step)")
    lr_end: float = Field(0.2, ge=0, le=1, description="Share of lr that linear ends at (A2S-v3's code)")
    milestones: list[int] = Field([15, 20], description="Epochs from which lr is a tenth (IV-A)")
    head_lr_factor: float = Field(
        1.0, gt=0, description="Learning rate of the new layers relative to the encoder's (IV-A: 1; released code: 10)"
    )
    encoder_from: int = Field(1, ge=1, description=_ENCODER_FROM + " (A2S-v3's code: 2)")
    weight_decay: float = Field(5e-4, ge=0, description="Released code; the paper gives none")
    hard_labels: bool = Field(
        False,
        description="The labels are learnt as 0 or 1, whichever is nearer (released code; A2S-v2's and A2S-v3's, too); "
        "false: as they are (Eq. 12)",
    )
    keep: float = Field(
        0.4,
        ge=0,
        le=1,
        description="lambda: what a label keeps of itself (III-B, Table VI); 1: no rectifying (A2S-v2); A2S-v3: 0.2",
    )
    refinement: RefinementConfig | None = Field(
        None,
        description="A share of each label's update is its refined prediction (A2S-v3): keep G + (1 - keep - weight) Y "
        "+ weight PAR(Y); null: none",
    )
    untouched_epochs: int = Field(2, ge=0, description="Epochs before the labels are rectified (III-B)")
    crf: CrfConfig | None = Field(
        None,
        description="CRF on the predictions before they rectify the labels: with it, and keep 0.7, the labels are "
        "DeepUSPS's historical moving average (Table VIII); null: none (A2S)",
    )
    watch: int = Field(
        12, ge=0, description="Images whose prediction is kept before training and after every epoch (for Fig. 7)"
    )
    flip: bool = Field(True, description="IV-A")
    precision: Literal["auto", "float32", "bf16"] = "auto"
    seed: Seed = 0

    @model_validator(mode="after")
    def _shares_are_a_whole(self) -> Self:
        if self.refinement is not None and self.keep + self.refinement.weight > 1:
            raise ValueError("refinement.weight: with keep it is more than 1; the rest is the prediction's share")
        return self
