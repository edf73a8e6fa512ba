"""What the trainings of `distil` can be told; apart from its description, so that other settings rerun none of them."""

from typing import Literal

from pydantic import Field, field_validator

from usod.settings.sections import MaxSteps, MinSteps, Positive, Section, Seed, ShownSize


class LearnConfig(Section):
    """A round: learning labels that are mostly right. No paper's; 5 epochs, 1e-3 and batches of 16 were what all trials
    had whose scores on SED2, SOD and half of PASCAL-S are in docs/experiments.md, and nothing else was tried."""

    epochs: int = Field(5, ge=1)
    min_steps: MinSteps = 150
    max_steps: MaxSteps = None
    batch_size: int = Field(16, ge=1, description="Images per step")
    lr: Positive = 1e-3
    lr_decay: Literal["constant", "poly"] = "poly"
    head_lr_factor: float = Field(1.0, gt=0, description="Learning rate of the new layers relative to the backbone's")
    weight_decay: float = Field(1e-4, ge=0)
    binary: bool = Field(True, description="Labels above 0.5 are salient, all others are not; else they stay soft")
    cross_entropy: float = Field(0.0, ge=0, description="Weight of the binary cross-entropy beside the IoU loss")
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Weight of the past in an average of the network's weights over the steps, which is what is kept; "
        "0: the last ones",
    )
    flip: bool = Field(True, description="Random horizontal flips")
    size: ShownSize = None
    precision: Literal["auto", "float32", "bf16"] = Field("auto", description="auto: bf16 autocast on CUDA")
    seed: Seed = 0


class AugmentConfig(Section):
    """What a student is shown of an image, drawn anew in every step: the teacher has seen the image as it is."""

    scale: tuple[float, float] = Field(
        (0.5, 1.5), description="Magnification, drawn uniformly; what lies beyond the image is its reflection"
    )
    colour: float = Field(
        0.3, ge=0, lt=1, description="Brightness, contrast and saturation are multiplied by up to 1 +- this"
    )

    @field_validator("scale")
    @classmethod
    def _a_range(cls, scale: tuple[float, float]) -> tuple[float, float]:
        low, high = scale
        if not 0.1 <= low <= high <= 10:
            raise ValueError(f"scale: [{low:g}, {high:g}] is no range of magnifications, low first, from 0.1 to 10")
        return scale


class StudentConfig(LearnConfig):
    """The last network, which may be small and whose encoder may learn. Its defaults are guesses: none was scored."""

    epochs: int = Field(10, ge=1)
    lr: Positive = 1e-4
    batch_size: int = Field(8, ge=1, description="Images per step")
    head_lr_factor: float = Field(10.0, gt=0, description="Learning rate of the new layers relative to the backbone's")
    cross_entropy: float = Field(1.0, ge=0, description="Weight of the binary cross-entropy beside the IoU loss")
    average: float = Field(
        0.99, ge=0, lt=1, description="Weight of the past in an average of the network's weights over its steps"
    )
    augment: AugmentConfig | None = Field(
        None,
        description="Random magnification, place and colours, {} for the defaults; null: none. Not of a frozen "
        "encoder, whose features are those of the images as they are. By the masks of SED2, SOD and half of PASCAL-S "
        "the defaults lower the MAE of a MobileNetV2 on two sets of three and its F on two (docs/experiments.md)",
    )
