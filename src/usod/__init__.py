"""usod: unsupervised salient object detection, from a folder of unlabelled images to masks and a scored detector."""

import importlib
from typing import Any

_PACKAGES = ("crf", "data", "evaluation", "handcrafted")

__all__ = ["load", *_PACKAGES]


def __getattr__(name: str) -> Any:
    # What a program does not use is not imported: PyTorch alone takes seconds.
    if name in _PACKAGES:
        return importlib.import_module(f"usod.{name}")
    if name == "load":
        return importlib.import_module("usod.inference.predict").load
    raise AttributeError(f"module 'usod' has no attribute {name!r}")
