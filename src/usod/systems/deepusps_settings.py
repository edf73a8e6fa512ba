"""What DeepUSPS's trainings can be told; apart from its description, so that other settings rerun none of them."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, RootModel, model_validator

from usod.errors import UsageError
from usod.settings.sections import CrfConfig, MaxSteps, MinSteps, Positive, Section, ShownSize, moved_key

LrDecay = Annotated[
    Literal["constant", "poly"],
    Field(description="Within a training: poly is lr (1 - epoch/epochs)^0.9 (released code; the paper says nothing)"),
]
SoftThreshold = Annotated[
    bool,
    Field(
        description="No gradient where the network is already more certain than the label: true in the released code, "
        "nothing of it in the paper's loss (3.1)"
    ),
]
Precision = Annotated[
    Literal["auto", "float32", "bf16"],
    Field(
        description="auto: bf16 autocast on CUDA, also in the papers' presets, whose authors had float32; float32 on "
        "the CPU (ours)"
    ),
]


class Binarisation(Section):
    """Which pixels of a handcrafted map are salient: l(x, p) = [M(x, p) > gamma] (DeepUSPS section 3.1)."""

    threshold: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="gamma of the handcrafted maps (released code: a number for each method); none: threshold_factor "
        "times the method's mean (3.1)",
    )
    threshold_factor: float = Field(1.5, gt=0, description="gamma = 1.5 * mean saliency of the method (3.1)")
    threshold_scope: Literal["dataset", "image"] = Field(
        "dataset",
        description="Mean over the data set (3.1: 'of the method'; fits the released numbers) or of each image",
    )


class Binarisations(RootModel[dict[str, Binarisation]]):
    """Method -> how its maps become labels."""


class RefineConfig(Binarisation):
    """Inter-image consistency and self-supervision (DeepUSPS sections 3.1 and 3.2)."""

    iterations: int = Field(
        2, ge=0, le=100, description="Self-supervision iterations after inter-image consistency (4.1: two)"
    )
    stable: float | None = Field(
        None,
        gt=0,
        description="Stop iterating once the labels moved less than this between two stages (mean absolute "
        "difference, 0..1): later stages hand the labels on unchanged (3.2: 'until a stable state')",
    )
    epochs: int = Field(25, ge=1, description="Epochs of every stage (4.1)")
    min_steps: MinSteps = 0
    max_steps: MaxSteps = None
    batch_size: int = Field(20, ge=1, description="Images per step (4.1)")
    lr: Positive | list[Positive] = Field(
        1e-6, description="Adam's learning rate of the first stage (4.1), or a list with one value per stage"
    )
    lr_growth: float = Field(2.0, gt=0, description="Factor of the learning rate from stage to stage (4.1: doubled)")
    lr_decay: LrDecay = "poly"
    head_lr_factor: float = Field(
        1.0, gt=0, description="Learning rate of the new layers relative to the backbone's (released code: the same)"
    )
    weight_decay: float = Field(0.0, ge=0, description="Released code: none")
    beta2: float = Field(
        1.0,
        gt=0,
        description="beta^2 of the loss 1 - F_beta: 1 in the released code, no value in the paper (its 0.3 is that of "
        "the scores, 4.1). Smaller values favour precision: labels learnt again and again then shrink",
    )
    alpha: float = Field(
        0.7,
        ge=0,
        lt=1,
        description="Weight of the past in the moving average, per epoch of `epochs` (4.1). Where min_steps or "
        "max_steps makes more or fewer epochs of them it is alpha^(epochs / epochs trained): the average reaches over "
        "the same share of the training, whatever the number of images",
    )
    bias_correction: bool = Field(
        True,
        description="Divide the moving average by 1 - alpha^k, so that its zero start darkens no short run (ours: "
        "the equation of 3.1 has none, and after 25 epochs it is 0.9999)",
    )
    later_threshold: float = Field(0.5, ge=0, lt=1, description="Binarisation of the moving averages (released code)")
    soft_threshold: SoftThreshold = False
    crf: CrfConfig | None = Field(
        CrfConfig(), description="CRF on the predictions before they are averaged (3.1); null: none"
    )
    flip: bool = Field(
        False, description="Random horizontal flips (released code: none; nor does the paper mention any)"
    )
    precision: Precision = "auto"

    @property
    def binarisation(self) -> Binarisation:
        """How the method's maps become labels."""
        return Binarisation.model_validate(self.model_dump(include=set(Binarisation.model_fields)))

    @model_validator(mode="before")
    @classmethod
    def _has_no_seed(cls, values: Any) -> Any:
        return moved_key(values, "seed", "deepusps.seeds: a refinement and a fusion for each")

    def lr_of_stage(self, stage: int) -> float:
        """Learning rate of stage 0 (inter-image consistency), 1, 2, ... (self-supervision).

        Raises
        ------
        UsageError
            If `lr` lists fewer stages.
        """
        if not isinstance(self.lr, list):
            return self.lr * self.lr_growth**stage
        if stage >= len(self.lr):
            raise UsageError(f"refine.lr: lists {len(self.lr)} stages, there is none for stage {stage}")
        return self.lr[stage]

    def of_stage(self, stage: int) -> "RefineConfig":
        """These settings without what this stage does not use, so that a change elsewhere does not rerun it."""
        unused = {"iterations", "lr_growth"}
        unused |= {"later_threshold", "stable"} if stage == 0 else {"threshold", "threshold_factor", "threshold_scope"}
        used = self.model_dump(exclude=unused) | {"lr": self.lr_of_stage(stage), "lr_growth": 1.0}
        return RefineConfig.model_validate(used)

    @model_validator(mode="after")
    def _one_lr_per_stage(self) -> Self:
        if isinstance(self.lr, list) and len(self.lr) != self.iterations + 1:
            raise ValueError(f"lr lists {len(self.lr)} values for {self.iterations + 1} stages")
        return self


class FuseConfig(Section):
    """Fusion training (DeepUSPS section 3.3): the mean of L_beta over the refined label sets."""

    epochs: int = Field(200, ge=1, description="4.1")
    min_steps: MinSteps = 0
    max_steps: MaxSteps = None
    batch_size: int = Field(20, ge=1, description="4.1")
    lr: Positive = Field(1e-4, description="Released code; the paper gives no other value for this stage")
    lr_decay: LrDecay = "poly"
    head_lr_factor: float = Field(1.0, gt=0, description="As in the refinement (released code)")
    weight_decay: float = Field(0.0, ge=0, description="Released code: none")
    beta2: float = Field(
        4.0,
        gt=0,
        description="beta^2 of the loss 1 - F_beta: 4 in the released code, no value in the paper. Of K label sets of "
        "one size it asks for the pixels with at least K F / (1 + beta^2) votes, F the mean F that is reached: of "
        "four, one vote at 4; two at 1 where F > 0.5; three at 0.3 where F > 0.65",
    )
    weights: Literal["equal", "agreement"] = Field(
        "equal",
        description="Of each label set's loss in an image; equal: L_en of 3.3; agreement: by its mean IoU with the "
        "others there, which made no difference where it was tried (docs/experiments.md)",
    )
    threshold: float = Field(0.5, ge=0, lt=1, description="Binarisation of the refined labels (released code)")
    soft_threshold: SoftThreshold = False
    flip: bool = Field(False, description="As in the refinement")
    size: ShownSize = None
    precision: Precision = "auto"

    @model_validator(mode="before")
    @classmethod
    def _has_moved_keys(cls, values: Any) -> Any:
        moved_key(values, "seeds", "deepusps.seeds: a refinement and a fusion for each")
        new = "deepusps.refine.threshold_factor: maps that are fused unrefined are binarised as by their own refinement"
        return moved_key(values, "threshold_factor", new)
