"""Which backbones and heads there are: their options, and how each is built. Readable without torch.

To add one, write its module and one entry here. The module is imported where the network is built, so that reading a
configuration never waits for torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from usod.models.sources import TIMM

if TYPE_CHECKING:
    from torch import nn

    from usod.models.stages import Backbone


# ---- heads


class HeadOptions(BaseModel):
    """What a head can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    # Whether it enlarges its result by the backbone's strides; features that are kept lie on a grid of their own.
    by_strides: ClassVar[bool] = False

    def build(self, backbone: Backbone) -> nn.Module:
        """The head, with random weights, for the stages of `backbone`."""
        raise NotImplementedError


class AutoOptions(HeadOptions):
    """The head that suits the backbone: fcn for DRN and ResNets, skip for all others."""

    name: Literal["auto"] = "auto"


class FcnOptions(HeadOptions):
    """DeepUSPS's 1x1 convolution and fixed bilinear upsampling."""

    name: Literal["fcn"] = "fcn"
    by_strides = True
    init_std: float = Field(
        default=1.0,
        gt=0,
        description="Standard deviation of the initial filters of the two softmax channels. DeepUSPS: "
        "sqrt(2 / (1*1*2)) = 1, which starts saturated; 0.01 is the usual value elsewhere.",
    )

    def build(self, backbone: Backbone) -> nn.Module:
        from usod.models.heads import FCNHead

        return FCNHead(backbone.channels[-1], backbone.strides[-1], self.init_std)


class SkipOptions(HeadOptions):
    """A small decoder with global context."""

    name: Literal["skip"] = "skip"

    def build(self, backbone: Backbone) -> nn.Module:
        from usod.models.heads import SkipHead

        return SkipHead(backbone.channels, backbone.strides, backbone.decoder_width)


class PatchOptions(HeadOptions):
    """One hidden layer on every cell of the deepest stage, enlarged to the image: for features that are kept."""

    name: Literal["patch"] = "patch"
    width: int = Field(default=64, ge=1, le=4096, description="Channels of the hidden layer.")
    context: bool = Field(
        default=True,
        description="The hidden layer also gets the features' mean over the image. Chosen with the masks of SED2, SOD "
        "and PASCAL-S: F .832, .726, .715 without it, .861, .774, .742 with it (docs/experiments.md).",
    )

    def build(self, backbone: Backbone) -> nn.Module:
        from usod.models.heads import PatchHead

        return PatchHead(backbone.channels[-1], self.width, self.context)


class GuidedOptions(HeadOptions):
    """As patch, and enlarged by a few learnt convolutions that see the image: borders follow its edges."""

    name: Literal["guided"] = "guided"
    width: int = Field(default=64, ge=1, le=4096, description="Channels of the hidden layer.")
    detail: int = Field(
        default=32, ge=16, le=512, multiple_of=16, description="Channels of the image's features at stride 4."
    )

    def build(self, backbone: Backbone) -> nn.Module:
        from usod.models.guided import GuidedHead

        return GuidedHead(backbone.channels[-1], self.width, self.detail)


class RamOptions(HeadOptions):
    """A2S's detector: residual attention modules."""

    name: Literal["ram"] = "ram"
    attention: bool = Field(
        default=True, description="Its attention; false: plain convolutions (A2S, Table VII, dagger)."
    )

    def build(self, backbone: Backbone) -> nn.Module:
        from usod.models.ram import RAMHead

        return RAMHead(backbone.channels, self.attention)


class ActivationOptions(HeadOptions):
    """A2S's first stage."""

    name: Literal["activation"] = "activation"
    boundary: Literal["db1", "db2", "db3", "db4", "db5"] = Field(
        default="db5",
        description="The decision boundary (A2S, section IV-E). db5 is the paper's: the sum of the features off their "
        "mean over the image; db1 off their mean over the training set; db2 their product with the mean, db3 that of "
        "their difference from it; db4 learnt weights.",
    )

    def build(self, backbone: Backbone) -> nn.Module:
        from usod.models.activation import ActivationHead

        return ActivationHead(backbone.channels, self.boundary)


class GatedOptions(HeadOptions):
    """The first stage of A2S-v2 and A2S-v3."""

    name: Literal["gated"] = "gated"

    def build(self, backbone: Backbone) -> nn.Module:
        from usod.models.gated import GatedHead

        return GatedHead(backbone.channels)


class RelationOptions(HeadOptions):
    """LDPS, which takes a prior map too."""

    name: Literal["relation"] = "relation"
    variant: Literal["paper", "released"] = Field(
        default="paper",
        description="As the LDPS paper says (one reduction to 32 channels, pairs at half the image's size, "
        "discriminator of five 1x1 convolutions) or as its code has it (three convolutions on the 472 channels, "
        "residual blocks, pairs at full size, two layers).",
    )
    theta_fg: float = Field(
        default=0.9, gt=0, le=1, description="Prior values from here on are certain foreground (LDPS, 5.3)."
    )
    aspp: Literal["reduced", "stages"] = Field(
        default="reduced",
        description="What the pyramid (ASPP) sees. reduced: the 32 channels after the reduction, as in the released "
        "code. stages: all channels of the four stages, 472 with MobileNetV2, which the pyramid itself reduces to 32: "
        "the sentence of the LDPS paper (4.1) taken by its word; six times the multiplications of the whole network.",
    )

    @model_validator(mode="after")
    def _released_reduces_first(self) -> Self:
        if self.variant == "released" and self.aspp == "stages":
            raise ValueError("aspp: the released code's pyramid sees the reduced features; leave it out")
        return self

    def build(self, backbone: Backbone) -> nn.Module:
        from usod.models.relation import RelationHead

        whole = self.aspp == "stages"
        released = self.variant == "released"
        return RelationHead(backbone.channels, backbone.relation_stages, self.theta_fg, released, whole)


class TagsOptions(HeadOptions):
    """WSS's first stage, which learns from tags."""

    name: Literal["tags"] = "tags"
    classes: int = Field(default=0, ge=0, le=100_000, description="Number of tags; filled in from the data.")
    pooling: Literal["gsp", "gmp", "gap", "lse", "rank"] = Field(
        default="gsp",
        description="From score maps to scores. gsp: WSS's smooth pooling; gmp, gap: maximum, average; lse: "
        "log-sum-exp; rank: weighted ranks.",
    )
    mu: float = Field(default=10.0, gt=0, description="Smoothness of gsp (WSS, 3.3).")
    foreground: Literal["fin", "average"] = Field(
        default="fin",
        description="Its map, whatever it learns; average: the mean of the score maps (WSS, Fig. 6, AVE; `usod wss "
        "average` makes such a copy of a network).",
    )

    def build(self, backbone: Backbone) -> nn.Module:
        from usod.models.fin import TagHead

        average = self.foreground == "average"
        return TagHead(backbone.channels[-1], self.classes, self.pooling, self.mu, average)


class FinOptions(HeadOptions):
    """WSS's second stage: the extended foreground inference net."""

    name: Literal["fin"] = "fin"
    by_strides = True

    def build(self, backbone: Backbone) -> nn.Module:
        from usod.models.fin import FINHead

        return FINHead(backbone.channels, backbone.strides)


Head = Annotated[
    AutoOptions
    | FcnOptions
    | SkipOptions
    | PatchOptions
    | GuidedOptions
    | RamOptions
    | ActivationOptions
    | GatedOptions
    | RelationOptions
    | TagsOptions
    | FinOptions,
    Field(discriminator="name"),
]
HEADS: tuple[str, ...] = tuple(kind.model_fields["name"].default for kind in get_args(get_args(Head)[0]))

# Keys of `network` before heads had options of their own.
MOVED_KEYS = {
    "head_init_std": ("fcn", "init_std"),
    "ram_attention": ("ram", "attention"),
    "boundary": ("activation", "boundary"),
    "relation": ("relation", "variant"),
    "theta_fg": ("relation", "theta_fg"),
    "classes": ("tags", "classes"),
    "pooling": ("tags", "pooling"),
    "pooling_mu": ("tags", "mu"),
    "foreground": ("tags", "foreground"),
}


# ---- backbones


_SKIP = SkipOptions()


class BackboneConfig(Protocol):
    """What a backbone can be told: the keys of `usod.models.config.NetworkConfig` that are about it."""

    name: str
    weights: str
    light_width: int

    @property
    def output_stride(self) -> int | None: ...

    @property
    def resolved_output_stride(self) -> int: ...

    @property
    def weights_are_file(self) -> bool: ...

    @property
    def depth(self) -> int: ...

    @property
    def seen(self) -> Literal["tokens", "keys", "attention"]: ...


@dataclass(frozen=True)
class BackboneEntry:
    """What is known of a backbone before it is built.

    Attributes
    ----------
    build : makes it from the configuration, with random weights
    output_strides : those that it has; the first is the default
    weights : names of its pretrained weights; DEFAULT is torchvision's newest, V2 where there is one
    head : the one that `auto` stands for
    batchnorm : whether it has batch norms that can be frozen
    """

    build: Callable[[BackboneConfig], Backbone]
    output_strides: tuple[int, ...]
    weights: tuple[str, ...] = ()
    head: HeadOptions = _SKIP
    batchnorm: bool = True


def _drn(config: BackboneConfig) -> Backbone:
    from usod.models.drn import DRN

    return DRN(config.name)


def _resnet(config: BackboneConfig) -> Backbone:
    from usod.models.backbones import ResNet

    return ResNet(config.name, config.resolved_output_stride)


def _mobilenet(config: BackboneConfig) -> Backbone:
    from usod.models.backbones import MobileNetV2

    return MobileNetV2(config.resolved_output_stride)


def _vgg(config: BackboneConfig) -> Backbone:
    from usod.models.vgg import VGG16

    return VGG16()


def _light(config: BackboneConfig) -> Backbone:
    from usod.models.light import Light

    return Light(config.light_width)


def _timm(config: BackboneConfig) -> Backbone:
    from usod.models.timm_encoder import TimmEncoder

    named = not config.weights_are_file and config.weights not in ("none", "DEFAULT")
    tag = config.weights if named else ""
    return TimmEncoder(config.name, config.output_stride, tag, config.depth, config.seen)


_V1, _V2 = "IMAGENET1K_V1", "IMAGENET1K_V2"
# Output stride 8 is what the papers' dilated backbones use; 16 is the better use of a CPU for MobileNetV2, whose skip
# head brings the resolution back.
BACKBONES: dict[str, BackboneEntry] = {
    "drn_d_105": BackboneEntry(_drn, (8,), head=FcnOptions()),
    "drn_d_22": BackboneEntry(_drn, (8,), head=FcnOptions()),
    "resnet101": BackboneEntry(_resnet, (8, 16, 32), ("DEFAULT", _V1, _V2), FcnOptions()),
    "resnet50": BackboneEntry(_resnet, (8, 16, 32), ("DEFAULT", _V1, _V2), FcnOptions()),
    "resnet18": BackboneEntry(_resnet, (8, 16, 32), ("DEFAULT", _V1), FcnOptions()),
    "mobilenet_v2": BackboneEntry(_mobilenet, (16, 8, 32), ("DEFAULT", _V1, _V2)),
    "vgg16": BackboneEntry(_vgg, (16,), ("DEFAULT", _V1), batchnorm=False),
    "light": BackboneEntry(_light, (32,)),
}
# Which weights, strides and norms a model of timm has is known where it is built.
_TIMM_ENTRY = BackboneEntry(_timm, (32, 16, 8))


def backbone_entry(name: str) -> BackboneEntry:
    """The entry of a backbone, `timm/NAME` among them.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name.startswith(TIMM) and name != TIMM:
        return _TIMM_ENTRY
    if name not in BACKBONES:
        raise ValueError(f"no backbone {name!r}; there are {', '.join(BACKBONES)}, and timm/NAME for all of timm")
    return BACKBONES[name]
