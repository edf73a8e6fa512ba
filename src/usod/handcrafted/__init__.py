"""Handcrafted saliency detectors: pure functions from a photograph to a map.

`usod.handcrafted.rbd(image)`, `dsr`, `mc`, `hs`, `mbd` and `bsca` take an image of any size, in the forms that
scikit-image has them in, and return an (H, W) float32 map in [0, 1] (`usod.handcrafted.detector`). `METHODS` maps their
names to them. A detector's module is imported when it is first asked for.
"""

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from usod.handcrafted.bsca import bsca
    from usod.handcrafted.dsr import dsr
    from usod.handcrafted.hs import hs
    from usod.handcrafted.mbd import mbd
    from usod.handcrafted.mc import mc
    from usod.handcrafted.rbd import rbd

__all__ = ["METHODS", "bsca", "dsr", "hs", "mbd", "mc", "rbd"]

Method = Callable[..., NDArray]
_NAMES = ("rbd", "dsr", "mc", "hs", "mbd", "bsca")


class _Methods(Mapping[str, Method]):
    """Detector by name; looking one up imports its module and no other detector's."""

    def __getitem__(self, name: str) -> Method:
        if name not in _NAMES:
            raise KeyError(f"no handcrafted method {name!r}; there are {', '.join(_NAMES)}")
        return _detector_of(import_module(f"{__name__}.{name}"), name)

    def __contains__(self, name: object) -> bool:
        return name in _NAMES

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


def _detector_of(module: ModuleType, name: str) -> Method:
    """The module's function, for any image: `detector` is laid around one that says nothing of it."""
    from usod.handcrafted.detector import detector

    method = getattr(module, name)
    return method if hasattr(method, "__wrapped__") else detector(method)


METHODS: Mapping[str, Method] = _Methods()


def parameters(name: str) -> list[str]:
    """The keyword parameters of a detector, read from its source: nothing of it is imported.

    All have `max_side`, which `usod.handcrafted.detector` adds.
    """
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    functions = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    own = next([argument.arg for argument in f.args.kwonlyargs] for f in functions if f.name == name)
    return ["max_side", *own]


class _Package(ModuleType):
    """This package. Its `rbd` is the function, also after an import of the module of that name has set the name."""

    def __getattr__(self, name: str) -> Any:
        if name in _NAMES:
            return METHODS[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _NAMES and isinstance(value, ModuleType):
            value = _detector_of(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
