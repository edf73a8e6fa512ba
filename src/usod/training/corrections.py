"""Human masks of some training images: they are the labels there, whatever a system learns and makes of the others."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from usod.data.mapstore import ImageStore, MapStore
from usod.errors import UsodError
from usod.progress import say
from usod.training.objective import Objective
from usod.training.placement import fetch

CERTAIN = 0.5
"""Threshold of a human mask, which is 0 or 1."""


@dataclass(frozen=True)
class Corrections:
    """Masks that people drew or mended, in the terms of one training.

    Attributes
    ----------
    rows : (n,) int64, which images of the training have one
    masks : (n, H, W) uint8, 0 or 255, at the size of the images
    weight : factor of the loss of these images, as if each were drawn so often
    ids : of these images
    """

    rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    masks: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 0), np.uint8))
    weight: float = 1.0
    ids: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path | None, images: ImageStore) -> "Corrections":
        """Those of a MapStore of `usod data corrections`, for a training on `images`; none without a file.

        Raises
        ------
        UsodError
            If it is no such file, or has a mask of another image.
        """
        if path is None:
            return cls()
        row_of = {key: row for row, key in enumerate(images.ids)}
        with MapStore(path) as store:
            store.serve_at(images.size)
            if unknown := [key for key in store.ids if key not in row_of]:
                raise UsodError(f"{path}: has a mask of {unknown[0]!r}, which is no image of {images.path}")
            weight = float(store.attributes.get("weight", 1))
            masks = np.stack([np.where(store[key] > CERTAIN, 255, 0).astype(np.uint8) for key in store.ids])
            say(f"{len(masks)} images have human masks, which count {weight:g} times")
            return cls(np.array([row_of[key] for key in store.ids]), masks, weight, tuple(store.ids))

    def put(self, labels: np.ndarray) -> None:
        """Write the masks over the labels (N, H, W) uint8 of their images."""
        if len(self.rows):
            labels[self.rows] = self.masks

    def others(self, count: int) -> np.ndarray:
        """Rows of the images, of `count`, whose labels are a method's."""
        return np.setdiff1d(np.arange(count), self.rows)

    def taken(self, rows: np.ndarray) -> "Corrections":
        """The same for a training on some of the images, `rows` in their order."""
        place = {int(row): number for number, row in enumerate(rows)}
        kept = [number for number, row in enumerate(self.rows) if int(row) in place]
        rows_now = np.array([place[int(row)] for row in self.rows[kept]], np.int64)
        return Corrections(rows_now, self.masks[kept], self.weight, tuple(self.ids[number] for number in kept))

    def nothing(self, count: int) -> Tensor:
        """(count,) bool on the CPU: the images in which a person sees nothing salient."""
        found = torch.zeros(count, dtype=torch.bool)
        found[torch.from_numpy(self.rows[~self.masks.any((1, 2))])] = True
        return found

    def named_in(self, origin: dict[str, Any]) -> dict[str, Any]:
        """What a model file says of its making, with the images that have a human mask, and what each counts."""
        return origin | ({"corrections": {"images": list(self.ids), "weight": self.weight}} if self.ids else {})

    def teach(self, objective: Objective, count: int) -> Objective:
        """The objective of a training on `count` images, told of these masks."""
        return Corrected(objective, self, count) if len(self.rows) else objective


class Corrected:
    """An objective in which corrected images weigh more, and whose memory of them is the human mask.

    Whatever it keeps of its predictions (moving averages after a CRF, rectified labels) starts from the labels and
    takes the mask in place of every prediction: so the label stays what the person drew.
    """

    def __init__(self, objective: Objective, corrections: Corrections, count: int):
        self._objective = objective
        self._factor = torch.ones(count)
        self._factor[torch.from_numpy(corrections.rows)] = corrections.weight
        self._number = torch.full((count,), -1)
        self._number[torch.from_numpy(corrections.rows)] = torch.arange(len(corrections.rows))
        self._masks = torch.from_numpy(corrections.masks)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def loss(self, prediction: Any, rows: Tensor) -> Tensor:
        losses = self._objective.loss(prediction, rows)
        return losses * fetch(self._factor, rows, losses.device)

    def remember(self, observed: Tensor, rows: Tensor) -> None:
        number = self._number[rows]
        if len(where := (number >= 0).nonzero()[:, 0]):
            masks = fetch(self._masks, number[where], observed.device).to(observed) / 255
            observed = observed.index_copy(0, where.to(observed.device), masks)
        self._objective.remember(observed, rows)


NO_CORRECTIONS = Corrections()
