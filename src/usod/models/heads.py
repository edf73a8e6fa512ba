"""Heads: from the stages of a backbone to one logit per pixel of the image."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from usod.models.group_norm import GroupNorm
from usod.models.light import GROUPS, conv_norm
from usod.models.logit import ToLogit


def _to_logit(channels: int) -> ToLogit:
    classify = ToLogit(channels)
    assert classify.bias is not None
    nn.init.zeros_(classify.bias)
    return classify


class FCNHead(nn.Module):
    """The head of DeepUSPS (Nguyen et al. 2019; DRN, Yu et al. 2017): 1x1 convolution, fixed bilinear upsampling.

    DeepUSPS has two channels z0 (salient), z1 and a softmax; its first channel is the sigmoid of z0 - z1, the one
    logit computed here. Two independent filters of standard deviation `init_std` have a difference of standard
    deviation sqrt(2) init_std. When Adam trains the two filters each moves by a step, in opposite directions, and
    z0 - z1 by two; so the logit is twice a convolution of half that deviation, which Adam moves equally far.

    Upsampling is by the fixed factor `stride` (cell centres in the middle of their pixels), then cropped to the image.
    It is the frozen 16x16 transposed convolution of the original, but without its fading to zero within 4 px of the
    border.

    Parameters
    ----------
    channels : channels of the deepest stage
    stride : input pixels per cell of the deepest stage
    init_std : standard deviation of the filters of the two softmax channels
    """

    def __init__(self, channels: int, stride: int, init_std: float = 1.0) -> None:
        super().__init__()
        self.stride = stride
        self.classify = _to_logit(channels)
        nn.init.normal_(self.classify.weight, std=init_std * 2**0.5 / 2)

    def forward(self, stages: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Five stages, (height, width) of the image -> (B, 1, height, width) logits."""
        logits = 2 * self.classify(stages[-1])
        logits = functional.interpolate(logits, scale_factor=self.stride, mode="bilinear", align_corners=False)
        return logits[..., : size[0], : size[1]]


class PatchHead(nn.Module):
    """A logit for every cell by one hidden layer, enlarged bilinearly: all that good frozen features need.

    The features of each image are brought to mean 0 and deviation 1 first, so that encoders of any scale learn at the
    same rate.

    Parameters
    ----------
    channels : of the deepest stage
    width : of the hidden layer
    context : the hidden layer also gets the mean over the image: what is salient is so beside the rest
    """

    def __init__(self, channels: int, width: int = 64, context: bool = True) -> None:
        super().__init__()
        self.norm = GroupNorm(1, channels, affine=False)
        self.hidden = nn.Conv2d(channels, width, 1)
        self.context = nn.Conv2d(channels, width, 1, bias=False) if context else None
        self.classify = _to_logit(width)

    def forward(self, stages: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Five stages, (height, width) of the image -> (B, 1, height, width) logits."""
        x = self.norm(stages[-1])
        hidden = self.hidden(x)
        if self.context is not None:
            hidden = hidden + self.context(x.mean((2, 3), keepdim=True))
        logits = self.classify(torch.relu(hidden))
        return functional.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)


class Context(nn.Module):
    """The deepest features, each joined with their average over the image: every pixel sees the whole image."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.local = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.pooled = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = GroupNorm(GROUPS, outputs)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pooled(x.mean(dim=(2, 3), keepdim=True))
        return torch.relu(self.norm(self.local(x) + pooled))


class Join(nn.Module):
    """Upsample the deep features to a shallower stage, add that stage, convolve."""

    def __init__(self, deep: int, skip: int, outputs: int) -> None:
        super().__init__()
        # Reducing before upsampling gives the same as after it, on a quarter of the cells.
        self.deep = nn.Conv2d(deep, outputs, 1, bias=False)
        self.skip = nn.Conv2d(skip, outputs, 1, bias=False)
        self.fuse = conv_norm(outputs, outputs)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        deep = functional.interpolate(self.deep(deep), size=skip.shape[-2:], mode="bilinear", align_corners=False)
        return torch.relu(self.fuse(deep + self.skip(skip)))


class SkipHead(nn.Module):
    """A small decoder for backbones whose deepest features are coarse (after U-Net, Ronneberger et al. 2015).

    From the deepest stage with its global context, resolution by resolution up to stride 2 (the deepest stage of
    each), then one logit and bilinear upsampling to the image. Group norms: nothing depends on the batch.

    Parameters
    ----------
    channels, strides : of the backbone's stages, shallow to deep
    width : channels of the decoder, a multiple of 16; half as many at stride 2, where most of the pixels are
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], width: int = 64) -> None:
        super().__init__()
        deepest_of = dict(zip(strides, range(len(strides)), strict=True))
        # Deep to shallow; the deepest stage itself is where the decoder starts.
        self.skips = [index for _, index in sorted(deepest_of.items(), reverse=True)][1:]
        self.context = Context(channels[-1], width)
        self.joins = nn.ModuleList()
        inputs = width
        for index in self.skips:
            outputs = width // 2 if strides[index] == 2 else width
            self.joins.append(Join(inputs, channels[index], outputs))
            inputs = outputs
        self.classify = _to_logit(inputs)

    def forward(self, stages: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Five stages, (height, width) of the image -> (B, 1, height, width) logits."""
        x = self.context(stages[-1])
        for join, index in zip(self.joins, self.skips, strict=True):
            x = join(x, stages[index])
        return functional.interpolate(self.classify(x), size=tuple(size), mode="bilinear", align_corners=False)
