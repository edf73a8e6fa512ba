"""Maps of a film's frames, averaged over time along the motion of what they show."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from usod.inference.film import library

CUT = 0.15
"""Mean difference between a frame and the last one brought to it, of the whole range: above it another scene begins."""
TRUST = 0.1
"""Difference of colour at which the past counts 1 / e of what it does where the frames agree."""


@dataclass
class Smoother:
    """Exponential average: a pixel's value is share x now + (1 - share) x what it was where it came from.

    Where it came from says the optical flow from this frame to the last (DIS, Kroeger et al., ECCV 2016, by OpenCV).
    Where the last frame, brought to this one by the flow, differs in colour by d, the past weighs
    (1 - share) exp(-(d / TRUST)²): what was hidden has no past. At a cut (CUT) nothing of the past is kept.

    Parameters
    ----------
    share : of the present, in (0, 1]; 1 averages nothing
    image, saliency : the last frame (H, W, 3) uint8 and its averaged map (H, W), where one goes on from there
    """

    share: float
    image: NDArray[np.uint8] | None = None
    saliency: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Raises UsodError where OpenCV is missing."""
        self.cv2 = library("cv2")
        self.flow = self.cv2.DISOpticalFlow_create(self.cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, image: NDArray[np.uint8], saliency: NDArray[np.float32]) -> NDArray[np.float32]:
        """The averaged map (H, W) of the next frame: its image (H, W, 3) uint8 and its own map."""
        if self.image is not None and self.saliency is not None:
            before, past = self.aligned(image, self.image, self.saliency)
            difference = np.abs(before.astype(np.float32) - image).mean(axis=2) / 255
            if difference.mean() <= CUT:
                weight = (1 - self.share) * np.exp(-((difference / TRUST) ** 2))
                saliency = (1 - weight) * saliency + weight * past
        self.image, self.saliency = image, saliency.astype(np.float32)
        return self.saliency

    def aligned(self, image: NDArray, before: NDArray, past: NDArray) -> tuple[NDArray, NDArray]:
        """The last frame and its map, brought to where `image` has the same things."""
        grey = [self.cv2.cvtColor(frame, self.cv2.COLOR_RGB2GRAY) for frame in (image, before)]
        y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
        # DIS works on patches of 8 pixels in a pyramid: smaller frames have none.
        flow = self.flow.calc(*grey, None) if min(image.shape[:2]) >= 32 else np.zeros((*y.shape, 2), np.float32)
        place = x + flow[..., 0], y + flow[..., 1]

        def bring(values: NDArray) -> NDArray:
            return self.cv2.remap(values, *place, self.cv2.INTER_LINEAR, borderMode=self.cv2.BORDER_REPLICATE)

        return bring(before), bring(past)
