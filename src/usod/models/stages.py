"""The interface that all backbones share: five stages of features, and batch norms that can be frozen."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from usod.errors import UsageError

# Per-channel mean and standard deviation of RGB in [0, 1]: torchvision's convention for ImageNet, and the
# training set of the published Cityscapes DRNs (README of the DRN code).
NORMALISATIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cityscapes": ((0.290101, 0.328081, 0.286964), (0.182954, 0.186566, 0.184475)),
}


class Backbone(nn.Module):
    """Image to features at five depths.

    Attributes
    ----------
    name : the architecture, a value of `NetworkConfig.name`
    channels : channels of the five stages, shallow to deep
    strides : input pixels per cell of the five stages; 2, 4, 8, ... until dilation takes over. An encoder of fewer
        resolutions gives one of them several times.
    mean_std : mean and standard deviation, per RGB channel in [0, 1], of the input that its weights expect
    relation_stages : the four stages that LDPS reads
    decoder_width : channels of a small decoder that goes with it
    any_size : whether what it does is the same for images of any size, so that one exported graph serves all
    frozen_layers : layers, counted from the last, -1, whose features are worth keeping where it stays as it is
    """

    name: str
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    mean_std = NORMALISATIONS["imagenet"]
    relation_stages: tuple[int, int, int, int] = (0, 1, 3, 4)
    decoder_width = 64
    frozen_layers: tuple[int, ...] = (-2, -1)
    any_size = True
    _frozen_batchnorm = False

    def stages(self, image: Tensor) -> Sequence[Tensor]:
        """Features of the five stages.

        Parameters
        ----------
        image : (B, 3, H, W) float, normalised RGB; H, W >= 32

        Returns
        -------
        Five tensors, shallow to deep: stage i is (B, channels[i], ceil(H / strides[i]), ceil(W / strides[i]))
        """
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """The deepest stage of `stages`."""
        return self.stages(image)[-1]

    def layer_shapes(self, layers: Sequence[int]) -> tuple[list[int], list[int]]:
        """Channels and strides of layers, counted from the last: of the stages, where it is not said otherwise.

        Raises UsageError where it has no such layer.
        """
        for layer in layers:
            if not -len(self.channels) <= layer < 0:
                raise UsageError(f"network.features.layers: {self.name} has -{len(self.channels)} to -1, not {layer}")
        return [self.channels[layer] for layer in layers], [self.strides[layer] for layer in layers]

    def layer_features(self, image: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """The features of `layer_shapes`, each (B, channels, ...)."""
        stages = self.stages(image)
        return [stages[layer] for layer in layers]

    def own_names(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a weights file under this backbone's names, where the file's differ."""
        return dict(tensors)

    def freeze_batchnorm(self, affine: bool = False) -> None:
        """Normalise with the running statistics from now on, in training mode too, and never update them.

        Statistics of a batch of a few images are too noisy to fine-tune with. Scale and shift stay ordinary
        parameters unless `affine`, which stops their gradient as well.
        """
        self._frozen_batchnorm = True
        for layer in self._batchnorms():
            layer.eval()
            if affine:
                layer.requires_grad_(False)

    def train(self, mode: bool = True) -> "Backbone":
        """As `nn.Module.train`, except that frozen batch norms stay in evaluation mode."""
        super().train(mode)
        if self._frozen_batchnorm:
            for layer in self._batchnorms():
                layer.eval()
        return self

    def _batchnorms(self) -> list[nn.Module]:
        return [layer for layer in self.modules() if isinstance(layer, _BatchNorm)]


def replace_stride_with_dilation(stages: list[nn.Module], stride: int, output_stride: int) -> list[int]:
    """Dilate convolutions in place so that no stage is coarser than `output_stride` (Yu and Koltun 2016).

    A convolution whose stride is dropped keeps the dilation of its input; all that follow look twice as far apart.
    So every feature of the undilated network is still computed, and others between them: at every
    (stride / output_stride)-th cell the two networks agree exactly.

    Parameters
    ----------
    stages : the network cut into consecutive parts, in the order of computation. Square, odd kernels; a strided
        3x3 convolution in a part is the one that changes its resolution (1x1 shortcuts follow it).
    stride : input pixels per cell before the first of these parts
    output_stride : the coarsest stride allowed

    Returns
    -------
    The stride of every part's output
    """
    dilation = 1
    strides = []
    for stage in stages:
        for layer in stage.modules():
            if not isinstance(layer, nn.Conv2d):
                continue
            widened = dilation
            if layer.stride[0] == 2:
                if layer.kernel_size[0] == 1:
                    # A shortcut beside the strided convolution, which was counted already.
                    layer.stride = (1, 1) if dilation > 1 else layer.stride
                    continue
                if stride * 2 <= output_stride:
                    stride *= 2
                else:
                    layer.stride = (1, 1)
                    widened = dilation * 2
            if layer.kernel_size[0] > 1:
                reach = layer.kernel_size[0] // 2 * dilation
                layer.dilation, layer.padding = (dilation, dilation), (reach, reach)
            dilation = widened
        strides.append(stride)
    return strides
