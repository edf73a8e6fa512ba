"""What DeepUSPS's trainings can be told; apart from its description, so that other settings rerun none of them."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from usod.errors import UsageError
from usod.settings.sections import CrfConfig, MinSteps, Positive, Section, Seed, ShownSize


class RefineConfig(Section):
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
    batch_size: int = Field(20, ge=1, description="Images per step (4.1)")
    lr: Positive | list[Positive] = Field(
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
    flip: bool = Field(False, description="Random horizontal flips (neither the paper nor the code uses any)")
    precision: Literal["auto", "float32", "bf16"] = Field("auto", description="auto: bf16 autocast on CUDA")
    seed: Seed = 0

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
    batch_size: int = Field(20, ge=1, description="4.1")
    lr: Positive = Field(1e-4, description="Released code; the paper gives no other value for this stage")
    lr_decay: Literal["constant", "poly"] = Field("poly", description="Released code: lr (1 - epoch/epochs)^0.9")
    head_lr_factor: float = Field(1.0, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    beta2: float = Field(
        0.3,
        gt=0,
        description="beta^2 of the loss 1 - F_beta (released code: 4). Of K label sets of one size it asks for the "
        "pixels with at least K F / (1 + beta^2) votes, F the mean F that is reached: of four, one vote at 4; two at 1 "
        "where F > 0.5; three at 0.3 where F > 0.65",
    )
    weights: Literal["equal", "agreement"] = Field(
        "equal",
        description="Of each label set's loss in an image: agreement: by its mean IoU with the others there, which "
        "made no difference where it was tried (docs/experiments.md)",
    )
    threshold: float = Field(0.5, ge=0, lt=1, description="Binarisation of the refined labels")
    threshold_factor: float = Field(
        1.5, gt=0, description="Of handcrafted maps that are fused unrefined: gamma = 1.5 * mean saliency (3.1)"
    )
    soft_threshold: bool = Field(False, description="As in the refinement; released code: true")
    flip: bool = Field(False)
    size: ShownSize = None
    precision: Literal["auto", "float32", "bf16"] = "auto"
    seeds: list[Seed] = Field([0], min_length=1, description="One network per seed; scores are mean and deviation")

    @field_validator("seeds")
    @classmethod
    def _no_seed_twice(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("every seed once")
        return seeds
