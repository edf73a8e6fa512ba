"""What a network takes of every image of a training: its pixels, and what goes with them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from usod.data.features import FeatureStore
from usod.data.mapstore import ImageStore
from usod.devices import sent
from usod.memory import host_memory
from usod.models.frozen import FrozenEncoder
from usod.models.saliency_net import SaliencyNet
from usod.training.placement import Kept, ReadAhead
from usod.training.views import View, flip

# Of the memory that is free, what features may take: trainings run side by side, and keep images and labels too.
SHARE = 8


class KeptFeatures:
    """`features[rows]`, for rows (B,) on the CPU: (B, C, h, w) float32 on the device.

    They stay in memory, or on the device, where they take no more than an eighth of what is free; else each batch is
    read from the file, ahead (`ReadAhead`), and the memory does not grow with the number of images.

    Parameters
    ----------
    store : of the same images
    ids : which row is which image

    Raises
    ------
    UsodError
        If the row of an image is damaged: at once, or when it is read.
    """

    def __init__(self, store: FeatureStore, ids: Sequence[str], device: torch.device | str = "cpu"):
        self.store, self.ids, self.device = store, list(ids), torch.device(device)
        fits = store.nbytes <= host_memory() / SHARE
        self.values = Kept(self._read(self.ids), self.device) if fits else None
        self._ahead = ReadAhead(lambda rows: torch.from_numpy(self._read([self.ids[row] for row in rows.tolist()])))
        self.scale = None if store.scale is None else Kept(store.scales(self.ids), self.device)

    def _read(self, ids: Sequence[str]) -> np.ndarray:
        rows = np.empty((len(ids), *self.store.shape), self.store.dtype)
        self.store.read_into(rows, ids)
        return rows

    def __getitem__(self, rows: Tensor) -> Tensor:
        if self.values is not None:
            values = self.values[rows].float()
        else:
            values = sent(self._ahead(rows), self.device).float()
        if self.scale is not None:
            values = values * self.scale[rows].float()[:, None, None]
        return values.permute(0, 3, 1, 2)


class Inputs:
    """Pixels, and beside them maps or features, kept on the device where they fit (`placement.place`).

    Parameters
    ----------
    images : (N, H, W, 3) uint8 RGB
    device : of the training
    guides : (N, H, W) uint8, a map for each image that the network takes as (B, 1, H, W) in [0, 1] beside it
    features : of the network's frozen encoder, in the order of the images
    wanted : whether the objective reads the images; else those that go with features may be blank
    """

    def __init__(
        self,
        images: np.ndarray,
        device: torch.device | str = "cpu",
        guides: np.ndarray | None = None,
        features: KeptFeatures | None = None,
        wanted: bool = False,
    ):
        self.wanted = wanted
        self.size = images.shape[1:3]
        self._pixels = Kept(images, device)
        self._guides = None if guides is None else Kept(guides, device)
        self._features = features
        self.features_kept = features is not None

    @classmethod
    def with_features(
        cls,
        pixels: np.ndarray,
        images: ImageStore,
        network: SaliencyNet,
        device: torch.device | str,
        features: FeatureStore | None = None,
        wanted: bool = False,
    ) -> "Inputs":
        """The `pixels` of `images` with the features of the network's frozen encoder, where there are any.

        Raises
        ------
        UsodError
            If they are of another encoder or of other images.
        """
        if features is None:
            return cls(pixels, device)
        features.require_for(images, network.encoder_identity)
        return cls(pixels, device, features=KeptFeatures(features, images.ids, device), wanted=wanted)

    def __len__(self) -> int:
        return len(self._pixels)

    def of(self, network: SaliencyNet, rows: Tensor, view: View) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Arguments of the network's forward pass for what `view` shows of the images `rows` (B,)."""
        named = {}
        if self._features is not None:
            # Not quite the features of the mirrored image; they were computed once, for the image as it is.
            named["features"] = flip(self._features[rows], view.mirrored)
        elif view.size and isinstance(network.backbone, FrozenEncoder):
            # As with features that are kept: the encoder sees the images as they are.
            whole = replace(view, size=None).of_images(self._pixels[rows])
            named["features"] = network.backbone.features(network.as_input(whole))
        if named and not (network.sees_image or self.wanted):
            size = (view.size, view.size) if view.size else self.size
            found = [named["features"].new_zeros(()).expand(len(rows), 3, *size)]
        else:
            found = [network.as_input(view.of_images(self._pixels[rows]))]
        if self._guides is not None:
            found.append(view.of_maps(self._guides[rows][:, None].float() / 255))
        return found, named
