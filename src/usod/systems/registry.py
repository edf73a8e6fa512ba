"""The systems that there are: those of usod and, by the configuration's `plugins`, those of one's own."""

import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from usod.errors import UsageError
from usod.systems.description import Part, System
from usod.systems.names import CRF, RAW, SystemName


class Registry(Mapping[str, System]):
    """Name -> description, in the order in which systems are named and shown."""

    def __init__(self, systems: Iterable[System]):
        self._systems = {system.name: system for system in systems}

    def __getitem__(self, name: str) -> System:
        return self._systems[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._systems)

    def __len__(self) -> int:
        return len(self._systems)

    def parts(self, config: Any) -> dict[str, Part]:
        """Name -> part of every system that a configuration could make."""
        return {part.name: replace(part, system=name) for name, system in self.items() for part in system.parts(config)}

    @property
    def posts(self) -> tuple[str, ...]:
        """Words that may stand before a system's name: what is done to its maps."""
        return (RAW, CRF, *(word for system in self.values() for word in system.posts))

    def post_settings(self, word: str, config: Any) -> Any:
        """What decides what such a word does, beside the benchmark's settings, which all variants share."""
        owners = [system for system in self.values() if word in system.posts]
        return owners[0].post_settings(config, word) if owners else None

    def name(self, text: str) -> SystemName:
        """The parsed name of a system."""
        return SystemName.parse(text, self.posts)

    def reserves(self, name: str) -> bool:
        """Whether no method may be called so."""
        own = [f"({system.reserved})|{re.escape(system.name)}.*" for system in self.values()]
        return re.fullmatch("|".join([*own, *(f"{word}-.*" for word in self.posts)]), name) is not None

    def check(self, config: Any) -> None:
        """Raises ValueError where a part reads what nobody makes, or what is itself made from the part."""
        parts = config.parts
        for part in parts.values():
            for read in part.reads:
                if not _gives(read.name, read.what, part, config):
                    known = [name for name in (*config.methods, *parts) if _gives(name, read.what, part, config)]
                    raise ValueError(f"{read.key}: no {read.name!r}; there are {', '.join(known)}")

    def sections(self) -> tuple[str, ...]:
        """What a row of a table may change: anything else is made once for all rows."""
        return (*self, "network")


def _gives(name: str, what: str, reader: Part, config: Any) -> bool:
    """Whether a part can read this of the part, or method, `name`."""
    part = config.parts.get(name)
    if part is None:
        return name in config.methods and what != "model"
    if part.truth and part.system != reader.system:
        return False
    has = part.scored != "never" if what == "maps" else what in part.leaves
    return has and not _made_from(name, reader.name, config)


def _made_from(name: str, other: str, config: Any) -> bool:
    """Whether `name` is `other`, or is made from it."""
    seen, queue = set(), [name]
    while queue:
        current = queue.pop()
        if current == other:
            return True
        part = config.parts.get(current)
        if part is not None and current not in seen:
            seen.add(current)
            queue += [read.name for read in part.reads] + ([part.network] if part.network else [])
    return False


def read_plugin(path: str) -> System:
    """The `SYSTEM` that a Python file describes.

    Raises
    ------
    UsageError
        If there is no such file, it cannot be run, or it has none.
    """
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise UsageError(f"plugins: {path}: no such file ({file})")
    system = getattr(_module(file), "SYSTEM", None)
    if not isinstance(system, System):
        raise UsageError(f"plugins: {path}: has no SYSTEM, an object of a class of usod.systems.description.System")
    return system


@cache
def _module(file: Path) -> ModuleType:
    name = f"usod_plugin_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"plugins: {file}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks annotations up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"plugins: {file}: {type(error).__name__}: {error}") from error
    return module
