"""Which network, from which weights: the typed configuration, readable without torch."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# Names of torchvision's pretrained weights; DEFAULT is torchvision's own alias of the best ones.
PRETRAINED_NAMES: dict[str, tuple[str, ...]] = {
    "resnet18": ("DEFAULT", "IMAGENET1K_V1"),
    "resnet50": ("DEFAULT", "IMAGENET1K_V1", "IMAGENET1K_V2"),
    "resnet101": ("DEFAULT", "IMAGENET1K_V1", "IMAGENET1K_V2"),
    "mobilenet_v2": ("DEFAULT", "IMAGENET1K_V1", "IMAGENET1K_V2"),
    "vgg16": ("DEFAULT", "IMAGENET1K_V1"),
}
# The first is the default. 8 is what the papers' dilated backbones use; 16 is the better use of a CPU for
# MobileNetV2, whose skip head brings the resolution back.
OUTPUT_STRIDES: dict[str, tuple[int, ...]] = {
    "drn_d_105": (8,),
    "drn_d_22": (8,),
    "resnet101": (8, 16, 32),
    "resnet50": (8, 16, 32),
    "resnet18": (8, 16, 32),
    "mobilenet_v2": (16, 8, 32),
    "vgg16": (16,),
    "light": (32,),
}
Backbones = Literal["drn_d_105", "drn_d_22", "resnet101", "resnet50", "resnet18", "mobilenet_v2", "vgg16", "light"]
WEIGHT_FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".pth.tar")

# Per-channel mean and standard deviation of RGB in [0, 1]: torchvision's convention for ImageNet, and the
# training set of the published Cityscapes DRNs (README of the DRN code).
NORMALISATIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cityscapes": ((0.290101, 0.328081, 0.286964), (0.182954, 0.186566, 0.184475)),
}


class NetworkConfig(BaseModel):
    """A saliency network.

    That of DeepUSPS is `name: drn_d_105` with `weights: .../drn-d-105_ms_cityscapes.pth`, `normalisation: cityscapes`.
    """

    model_config = ConfigDict(extra="forbid")

    name: Backbones = Field(
        default="light",
        description="Backbone. DeepUSPS (Nguyen et al. 2019) uses drn_d_105 (Yu et al. 2017) and, in its ablation, "
        "resnet101; A2S resnet50; LDPS mobilenet_v2; WSS vgg16. light is small enough to train from scratch on a CPU.",
    )
    weights: str = Field(
        default="none",
        description="Initial weights of the backbone: none, a torchvision name (DEFAULT, IMAGENET1K_V1, "
        "IMAGENET1K_V2), or a file: .safetensors, or .pth / .pt / .pth.tar holding tensors only (torchvision, DRN, "
        "DRN Cityscapes and MoCo v2 checkpoints, and usod's own models).",
    )
    weights_labels: str | None = Field(
        default=None,
        description="Human labels that the weights file was trained with, for the tables (none, ImageNet, ...); "
        "null: recognised from the file where possible, else 'unknown'.",
    )
    normalisation: Literal["imagenet", "cityscapes"] = Field(
        default="imagenet", description="Mean and standard deviation of the input; it should be the one of the weights."
    )
    output_stride: Literal[8, 16, 32] | None = Field(
        default=None,
        description="Input pixels per cell of the deepest features; null: 8 for DRN and ResNets (as DRN-D-105 in "
        "DeepUSPS), 16 for mobilenet_v2, 32 for light. A2S uses an undilated ResNet-50: 32.",
    )
    head: Literal["auto", "fcn", "skip", "ram", "activation", "relation", "tags", "fin"] = Field(
        default="auto",
        description="fcn: DeepUSPS's 1x1 convolution and fixed bilinear upsampling; skip: a small decoder with global "
        "context; ram: A2S's detector; activation: A2S's first stage; relation: LDPS, which takes a prior map "
        "too; tags, fin: WSS's two stages; auto: fcn for DRN and ResNets, skip for mobilenet_v2, vgg16 and light.",
    )
    ram_attention: bool = Field(
        default=True, description="ram head: its attention; false: plain convolutions (A2S, Table VII, dagger)."
    )
    head_init_std: float = Field(
        default=1.0,
        gt=0,
        description="fcn head: standard deviation of the initial filters of the two softmax channels. DeepUSPS: "
        "sqrt(2 / (1*1*2)) = 1, which starts saturated; 0.01 is the usual value elsewhere.",
    )
    boundary: Literal["db1", "db2", "db3", "db4", "db5"] = Field(
        default="db5",
        description="activation head: the decision boundary (A2S, section IV-E). db5 is the paper's: the sum of the "
        "features off their mean over the image; db1 off their mean over the training set; db2 their product with the "
        "mean, db3 that of their difference from it; db4 learnt weights.",
    )
    relation: Literal["paper", "released"] = Field(
        default="paper",
        description="relation head: as the LDPS paper says (one reduction to 32 channels, pairs at half the image's "
        "size, discriminator of five 1x1 convolutions) or as its code has it (three convolutions on the 472 channels, "
        "residual blocks, pairs at full size, two layers).",
    )
    theta_fg: float = Field(
        default=0.9, gt=0, le=1, description="relation head: prior values from here on are certain foreground."
    )
    classes: int = Field(default=0, ge=0, le=100_000, description="tags head: number of tags; filled in from the data.")
    pooling: Literal["gsp", "gmp", "gap", "lse", "rank"] = Field(
        default="gsp",
        description="tags head: from score maps to scores. gsp: WSS's smooth pooling; gmp, gap: maximum, average; lse: "
        "log-sum-exp; rank: weighted ranks.",
    )
    pooling_mu: float = Field(default=10.0, gt=0, description="tags head: smoothness of gsp (WSS, 3.3).")
    foreground: Literal["fin", "average"] = Field(
        default="fin", description="tags head: its map; average: the mean of the score maps (WSS, Fig. 6, AVE)."
    )
    reflect_padding: int = Field(
        default=0,
        ge=0,
        le=1024,
        multiple_of=32,
        description="Pixels by which the image is continued by reflection before the backbone; its features are cut "
        "back. What a backbone's zero padding leaves at the borders can be taken for an object by a head that learns "
        "without labels (A2S's first stage).",
    )
    freeze_batchnorm: bool = Field(
        default=False,
        description="Keep the statistics of the pretrained backbone's batch norms (they stay in evaluation mode): "
        "better for batches below about 16. Scale and shift still learn.",
    )
    freeze_batchnorm_affine: bool = Field(
        default=False, description="With freeze_batchnorm: scale and shift of the batch norms are kept too."
    )
    light_width: int = Field(
        default=16,
        ge=8,
        le=64,
        multiple_of=8,
        description="Channels of the first stage of light (16: 0.3 million parameters; they grow with the square).",
    )

    @field_validator("weights")
    @classmethod
    def _expand_home(cls, weights: str) -> str:
        return str(Path(weights).expanduser()) if weights.startswith("~") else weights

    @model_validator(mode="after")
    def _consistent(self) -> "NetworkConfig":
        if self.weights != "none" and not self.weights_are_file:
            names = PRETRAINED_NAMES.get(self.name, ())
            if self.weights not in names:
                known = ", ".join(("none", *names, "or a file ending in " + " ".join(WEIGHT_FILE_SUFFIXES)))
                raise ValueError(f"weights: {self.name} has no weights named {self.weights!r}; use {known}")
        if self.output_stride is not None and self.output_stride not in OUTPUT_STRIDES[self.name]:
            strides = " or ".join(map(str, sorted(OUTPUT_STRIDES[self.name])))
            raise ValueError(f"output_stride: {self.name} has {strides}, not {self.output_stride}")
        if self.freeze_batchnorm and self.name == "vgg16":
            raise ValueError("freeze_batchnorm: vgg16 has no batch norms, leave it out")
        if self.freeze_batchnorm and self.weights == "none":
            raise ValueError("freeze_batchnorm: there are no statistics to keep with weights: none")
        if self.freeze_batchnorm_affine and not self.freeze_batchnorm:
            raise ValueError("freeze_batchnorm_affine: needs freeze_batchnorm: true")
        return self

    @property
    def weights_are_file(self) -> bool:
        """Whether `weights` is the path of a file rather than a name."""
        return self.weights.endswith(WEIGHT_FILE_SUFFIXES) or "/" in self.weights

    @property
    def resolved_output_stride(self) -> int:
        """`output_stride`, or the default of the backbone."""
        return self.output_stride or OUTPUT_STRIDES[self.name][0]

    @property
    def resolved_head(self) -> Literal["fcn", "skip", "ram", "activation", "relation", "tags", "fin"]:
        """`head`, or the one that suits the backbone."""
        if self.head != "auto":
            return self.head
        return "skip" if self.name in ("mobilenet_v2", "vgg16", "light") else "fcn"

    @property
    def mean_std(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Mean and standard deviation, per RGB channel in [0, 1], that the input is normalised with."""
        return NORMALISATIONS[self.normalisation]
