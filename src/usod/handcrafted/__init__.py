"""Handcrafted saliency detectors: pure functions from a photograph to a map.

`usod.handcrafted.rbd(image)`, `dsr`, `mc`, `hs`, `mbd` and `bsca` take an image of any size, in the forms that
scikit-image has them in, and return an (H, W) float32 map in [0, 1] (`usod.handcrafted.detector`). `METHODS` maps their
names to them. The module of a detector, `_NAME.py`, is imported when the detector is first asked for.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from numpy.typing import NDArray

if TYPE_CHECKING:
    from usod.handcrafted._bsca import bsca
    from usod.handcrafted._dsr import dsr
    from usod.handcrafted._hs import hs
    from usod.handcrafted._mbd import mbd
    from usod.handcrafted._mc import mc
    from usod.handcrafted._rbd import rbd

__all__ = ["METHODS", "bsca", "dsr", "hs", "mbd", "mc", "rbd"]

Method = Callable[..., NDArray]
_NAMES = ("rbd", "dsr", "mc", "hs", "mbd", "bsca")


class _Methods(Mapping[str, Method]):
    """Detector by name; looking one up imports its module and no other detector's."""

    def __getitem__(self, name: str) -> Method:
        if name not in _NAMES:
            raise KeyError(f"no handcrafted method {name!r}; there are {', '.join(_NAMES)}")
        from usod.handcrafted.detector import detector

        method = getattr(import_module(f"{__name__}._{name}"), name)
        return method if hasattr(method, "__wrapped__") else detector(method)

    def __contains__(self, name: object) -> bool:
        return name in _NAMES

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


METHODS: Mapping[str, Method] = _Methods()


def __getattr__(name: str) -> Method:
    if name in _NAMES:
        return METHODS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def parameters(name: str) -> list[str]:
    """The parameters of a detector that a configuration can set: its keywords, but for the map's `size`."""
    keywords = [p.name for p in inspect.signature(METHODS[name]).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return ["max_side", *(keyword for keyword in keywords if keyword not in ("max_side", "size"))]
