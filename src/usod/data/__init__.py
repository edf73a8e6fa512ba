"""Images, masks, and the files that hold them."""

import importlib
from typing import Any

__all__ = ["MapStore"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("usod.data.mapstore"), name)
    raise AttributeError(f"module 'usod.data' has no attribute {name!r}")
