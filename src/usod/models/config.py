"""Which network, from which weights: the typed configuration, readable without torch."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from usod.models.registry import (
    BACKBONES,
    HEADS,
    MOVED_KEYS,
    AutoOptions,
    BackboneEntry,
    Head,
    HeadOptions,
    PatchOptions,
    backbone_entry,
)
from usod.models.sources import TIMM, TORCHVISION_LABELS

H = TypeVar("H", bound=HeadOptions)

WEIGHT_FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".pth.tar")


def _or_a_name(schema: dict[str, Any]) -> None:
    """A head may be given by its name alone."""
    alternatives = {key: schema.pop(key) for key in ("discriminator", "oneOf")}
    schema["anyOf"] = [{"enum": list(alternatives["discriminator"]["mapping"])}, alternatives]


class FeatureConfig(BaseModel):
    """Which features of a frozen encoder are computed, and how they are kept."""

    model_config = ConfigDict(extra="forbid")

    size: int | None = Field(
        default=None,
        ge=32,
        le=4096,
        description="Side of the image that the encoder is given, in pixels, brought to whole patches; null: the "
        "working size. A larger one makes the grid finer, and time and room grow with its square.",
    )
    layers: list[Annotated[int, Field(lt=0)]] | None = Field(
        default=None,
        min_length=1,
        description="Layers whose features are put together, counted from the last, -1: blocks of a vision "
        "transformer, stages of a convolutional network (brought to the finest one's grid). null: [-1] of a vision "
        "transformer, [-2, -1] of others.",
    )
    what: Literal["tokens", "keys", "attention"] = Field(
        default="tokens",
        description="tokens: what the layers give; of a vision transformer (timm/NAME) also the keys of its attention, "
        "all heads side by side, or the attention of its class token, one channel for each head.",
    )
    dtype: Literal["float16", "int8"] = Field(
        default="float16",
        description="How they are kept. int8, with a scale for every channel of every image, takes half the room; "
        "docs/scale.md has what it costs.",
    )


class NetworkConfig(BaseModel):
    """A saliency network.

    That of DeepUSPS is `name: drn_d_105` with `weights: .../drn-d-105_ms_cityscapes.pth`, `normalisation: cityscapes`.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        default="light",
        json_schema_extra={"anyOf": [{"enum": list(BACKBONES)}, {"pattern": rf"^{TIMM}[\w.]+$"}]},
        description=f"Backbone: {', '.join(BACKBONES)}, or timm/NAME, any model of timm. DeepUSPS (Nguyen et al. 2019) "
        "uses drn_d_105 (Yu et al. 2017) and, in its ablation, resnet101; A2S resnet50; LDPS mobilenet_v2; WSS vgg16. "
        "light is small enough to train from scratch on a CPU.",
    )
    weights: str = Field(
        default="none",
        description="Initial weights of the backbone: none, a torchvision name (IMAGENET1K_V1, which the papers had, "
        "IMAGENET1K_V2, retrained with a newer recipe, or DEFAULT: V2 of resnet50, resnet101 and mobilenet_v2, V1 of "
        "the others), DEFAULT or a tag of timm (lvd142m), or a file: .safetensors, or .pth / .pt / .pth.tar holding "
        "tensors only (torchvision, timm, DRN, DRN Cityscapes, MoCo v2, DINO, DINOv2, DINOv3 and efficientnet-lite "
        "checkpoints, and usod's own models). `usod weights list` shows what is known.",
    )
    weights_labels: str | None = Field(
        default=None,
        description="Human labels that a weights file of one's own was trained with, for the tables (none, ImageNet, "
        "...); null: those of published weights, known by name, digest or content, else 'unknown'. Another answer than "
        "what is known is refused.",
    )
    normalisation: Literal["imagenet", "cityscapes"] | None = Field(
        default=None,
        description="Mean and standard deviation of the input; null: the backbone's own, which is timm's for timm/NAME "
        "and imagenet else. DRN's Cityscapes weights want cityscapes.",
    )
    output_stride: Literal[8, 16, 32] | None = Field(
        default=None,
        description="Input pixels per cell of the deepest features; null: 8 for DRN and ResNets (as DRN-D-105 in "
        "DeepUSPS), 16 for mobilenet_v2, 32 for light and for convolutional models of timm; those that cannot be "
        "dilated, and vision transformers, have their own. A2S uses an undilated ResNet-50: 32.",
    )
    head: Head = Field(
        default=AutoOptions(),
        json_schema_extra=_or_a_name,
        description="Head, a name or {name: ..., and its own keys}. fcn: DeepUSPS's 1x1 convolution and fixed bilinear "
        "upsampling; skip: a small decoder with global context; ram: A2S's detector; activation: A2S's first stage; "
        "gated: that of A2S-v2 and A2S-v3; "
        "relation: LDPS, which takes a prior map too; tags, fin: WSS's two stages; patch: one hidden layer on every "
        "cell; guided: the same, its borders learnt from the image; auto: patch where the encoder is frozen, fcn for "
        "DRN and ResNets, skip for all others.",
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
    frozen: bool = Field(
        default=False,
        description="The encoder stays as it is and only the head learns. Its features are computed once for every "
        "data set (results/DATASET/features) and shared by all trainings that ask for them; a head on them trains in "
        "seconds.",
    )
    features: FeatureConfig = Field(default=FeatureConfig(), description="Of a frozen encoder.")
    light_width: int = Field(
        default=16,
        ge=8,
        le=64,
        multiple_of=8,
        description="Channels of the first stage of light (16: 0.3 million parameters; they grow with the square).",
    )

    # Where `weights` are read from, if not from where their name says: a copy that a workflow has brought.
    _weights_file: Path | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _heads_have_their_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for key in values.keys() & MOVED_KEYS.keys():
            head, option = MOVED_KEYS[key]
            raise ValueError(f"{key}: is now a key of its head; write head: {{name: {head}, {option}: {values[key]}}}")
        given = values.get("head")
        if isinstance(given, str):
            given = {"name": given}
        if isinstance(given, dict) and given.get("name") not in HEADS:
            raise ValueError(f"head: no head of the name {given.get('name')!r}; there are {', '.join(HEADS)}")
        return values if given is None else values | {"head": given}

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        backbone_entry(name)
        return name

    @field_validator("weights")
    @classmethod
    def _expand_home(cls, weights: str) -> str:
        return str(Path(weights).expanduser()) if weights.startswith("~") else weights

    @model_validator(mode="after")
    def _consistent(self) -> "NetworkConfig":
        entry = self.entry
        if self.weights != "none" and not self.weights_are_file:
            if self.name.startswith(TIMM):
                if not re.fullmatch(r"\w+", self.weights):
                    raise ValueError(f"weights: {self.weights!r} is neither DEFAULT, nor a tag of timm, nor a file")
            elif self.weights not in entry.weights:
                known = ", ".join(("none", *entry.weights, "or a file ending in " + " ".join(WEIGHT_FILE_SUFFIXES)))
                raise ValueError(f"weights: {self.name} has no weights named {self.weights!r}; use {known}")
            elif self.weights_labels not in (None, TORCHVISION_LABELS):
                raise ValueError(
                    f"weights_labels: {self.weights_labels!r}, but torchvision's {self.weights} of {self.name} was "
                    f"trained with {TORCHVISION_LABELS!r}; leave the key out"
                )
        if self.output_stride is not None and self.output_stride not in entry.output_strides:
            strides = " or ".join(map(str, sorted(entry.output_strides)))
            raise ValueError(f"output_stride: {self.name} has {strides}, not {self.output_stride}")
        if self.frozen:
            self._check_frozen()
        elif "features" in self.model_fields_set and self.features != FeatureConfig():
            raise ValueError("features: only of a frozen encoder; add frozen: true")
        if self.freeze_batchnorm and not entry.batchnorm:
            raise ValueError(f"freeze_batchnorm: {self.name} has no batch norms, leave it out")
        if self.freeze_batchnorm and self.weights == "none":
            raise ValueError("freeze_batchnorm: there are no statistics to keep with weights: none")
        if self.freeze_batchnorm_affine and not self.freeze_batchnorm:
            raise ValueError("freeze_batchnorm_affine: needs freeze_batchnorm: true")
        return self

    def _check_frozen(self) -> None:
        if self.weights == "none":
            raise ValueError("frozen: there is nothing to keep with weights: none; name some, or set frozen: false")
        if self.reflect_padding:
            raise ValueError("reflect_padding: not with frozen: true, whose features are those of the image itself")
        if self.resolved_head.by_strides:
            raise ValueError(f"head: {self.resolved_head.name} does not go with frozen: true; use patch or guided")
        if self.features.what != "tokens" and not self.name.startswith(TIMM):
            what = self.features.what
            raise ValueError(
                f"features.what: only vision transformers have {what}, and {self.name} is none; use tokens"
            )

    @property
    def entry(self) -> BackboneEntry:
        """What is known of the backbone."""
        return backbone_entry(self.name)

    @property
    def weights_are_file(self) -> bool:
        """Whether `weights` is the path of a file rather than a name."""
        return self.weights.endswith(WEIGHT_FILE_SUFFIXES) or "/" in self.weights

    @property
    def weights_file(self) -> Path | None:
        """The file to read `weights` from, where it is known: a copy, or `weights` itself."""
        return self._weights_file or (Path(self.weights) if self.weights_are_file else None)

    def reading(self, file: Path | None) -> "NetworkConfig":
        """The same network, its weights read from `file`, a copy of what `weights` names; None: as they are."""
        copy = self.model_copy()
        copy._weights_file = file
        return copy

    @property
    def resolved_output_stride(self) -> int:
        """`output_stride`, or the default of the backbone."""
        return self.output_stride or self.entry.output_strides[0]

    @property
    def resolved_head(self) -> HeadOptions:
        """`head`, or the one that suits the backbone."""
        if isinstance(self.head, AutoOptions) and self.frozen:
            return PatchOptions()
        return self.entry.head if isinstance(self.head, AutoOptions) else self.head

    def head_as(self, kind: type[H]) -> H:
        """The options of a head of one kind: the network's own if its head is one, else the defaults."""
        return self.head if isinstance(self.head, kind) else kind()

    @property
    def depth(self) -> int:
        """How many of the encoder's last layers there must be."""
        return -min(self.features.layers or [-1]) if self.frozen else 1

    @property
    def seen(self) -> Literal["tokens", "keys", "attention"]:
        """What is taken of its vision transformer."""
        return self.features.what if self.frozen else "tokens"

    @property
    def encoder(self) -> "NetworkConfig":
        """What decides the features of a frozen encoder: this network with a head of no consequence."""
        kept = {"head": PatchOptions(), "freeze_batchnorm": False, "freeze_batchnorm_affine": False}
        return self.model_copy(update=kept)

    def with_head(self, head: HeadOptions) -> "NetworkConfig":
        """The same network with another head."""
        return self.model_copy(update={"head": head})
