"""The parameters of the dense CRF, which both of its backends read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CRFParams:
    """Parameters of the CRF; the defaults are those of DeepUSPS (Nguyen et al., NeurIPS 2019) and of its training.

    Attributes
    ----------
    gaussian_sxy : standard deviation of the smoothness kernel, in pixels
    gaussian_compat : weight of the smoothness kernel; 0 leaves it out
    bilateral_sxy : standard deviation of the appearance kernel in the image plane, in pixels
    bilateral_srgb : standard deviation of the appearance kernel in colour, in grey levels of 0..255
    bilateral_compat : weight of the appearance kernel; 0 leaves it out
    iterations : number of mean-field iterations
    clip : both labels' probabilities are raised to at least this before their logarithm is taken
    """

    gaussian_sxy: float = 3.0
    gaussian_compat: float = 3.0
    bilateral_sxy: float = 80.0
    bilateral_srgb: float = 13.0
    bilateral_compat: float = 10.0
    iterations: int = 5
    clip: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("gaussian_sxy", "bilateral_sxy", "bilateral_srgb"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("gaussian_compat", "bilateral_compat", "iterations"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 < self.clip < 0.5:
            raise ValueError(f"clip must lie between 0 and 0.5, got {self.clip}")
