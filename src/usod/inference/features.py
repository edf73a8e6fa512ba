"""Computing the features of a frozen encoder, once for all that is trained on them."""

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from usod.data.features import write_features
from usod.data.mapstore import ImageStore
from usod.devices import AsMemoryAllows
from usod.models.frozen import FrozenEncoder
from usod.models.saliency_net import SaliencyNet
from usod.progress import progress


def write_features_of(
    images: ImageStore, network: SaliencyNet, out: Path, attributes: dict[str, Any], batch: int = 8
) -> None:
    """The features of all images into a FeatureStore, in float32 arithmetic.

    Parameters
    ----------
    network : its encoder is frozen; its head does not matter
    attributes : as `describe` gives them, and `created_by`; the encoder's own are added to their `config`

    Raises
    ------
    UsageError
        If the encoder learns.
    UsodError
        If a feature is not finite as float16, or the disk is full: nothing is left behind.
    """
    attributes = attributes | {"config": attributes["config"] | {"encoder": network.encoder_identity}}
    encoder = network.backbone
    assert isinstance(encoder, FrozenEncoder)
    device = next(network.parameters()).device
    height, width = (side // encoder.cell for side in encoder.given_size(images.size))
    shape, dtype = (height, width, encoder.channels[-1]), network.config.features.dtype

    @torch.inference_mode()
    def computed(ids: list[str], part: slice) -> np.ndarray:
        pixels = torch.from_numpy(np.stack([images[key] for key in ids[part]])).to(device)
        return encoder.features(network.as_input(pixels)).permute(0, 2, 3, 1).cpu().numpy()

    as_memory_allows = AsMemoryAllows()

    def all_rows() -> Iterator[tuple[str, np.ndarray]]:
        for start in range(0, len(images), batch):
            ids = images.ids[start : start + batch]
            parts = as_memory_allows(partial(computed, ids), len(ids))
            yield from zip(ids, itertools.chain.from_iterable(parts), strict=True)

    with write_features(out, images.ids, shape, images.original_size, attributes, dtype) as rows:
        for key, row in progress(all_rows(), len(images), "features"):
            rows[key] = row
