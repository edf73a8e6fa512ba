"""Code that is exchanged in a running process, function by function: for mutants.py."""

import gc
import inspect
import sys
from pathlib import Path
from types import CodeType, FunctionType

Live = dict[tuple[str, str, int], list[FunctionType]]
"""(file, qualified name, line) -> the functions of a project's sources that this process has."""


def live_functions(tree: Path) -> Live:
    """The functions of the sources of a project in `tree`."""
    found: Live = {}
    for thing in gc.get_objects():
        if type(thing) is FunctionType and thing.__code__.co_filename.startswith(str(tree / "src")):
            code = thing.__code__
            found.setdefault((code.co_filename, code.co_qualname, code.co_firstlineno), []).append(thing)
    return found


def exchange(path: Path, was: str, live: Live) -> bool:
    """Give the functions of a module, imported when its text `was` another, the code that its file has now.

    False where that is not all that differs: a constant, a default, the body of a class, compiled code.
    A module that was not imported yet will be as its file is now.
    """
    if not any(getattr(module, "__file__", None) == str(path) for module in list(sys.modules.values())):
        return True
    now = path.read_text(encoding="utf-8")
    pairs = None if "njit" in now else _differing(compile(was, str(path), "exec"), compile(now, str(path), "exec"))
    for must, old, new in pairs or ():
        functions = live.get((str(path), old.co_qualname, old.co_firstlineno), [])
        if must and not functions:
            return False
        for function in functions:
            function.__code__ = new
    return bool(pairs)


def changed_functions(file: str, was: str, now: str) -> set[str]:
    """The names of the functions of a source file that differ between two texts; the file alone where more differs."""
    if not file.endswith(".py"):
        return set()
    pairs = None if "njit" in now else _differing(compile(was, file, "exec"), compile(now, file, "exec"))
    return {name_of(file, old) for must, old, _ in pairs if must} if pairs else {file}


def name_of(file: str, code: CodeType) -> str:
    """What a function of a source file is called here."""
    return f"{file}:{code.co_qualname}"


def _differing(old: CodeType, new: CodeType) -> list[tuple[bool, CodeType, CodeType]] | None:
    """Pairs of functions' codes that differ, and whether one must be found; None where more than functions differs."""
    if _own(old) != _own(new) or len(_inner(old)) != len(_inner(new)):
        return None
    found: list[tuple[bool, CodeType, CodeType]] = []
    for before, after in zip(_inner(old), _inner(new), strict=True):
        if _whole(before) == _whole(after):
            continue
        if before.co_flags & inspect.CO_OPTIMIZED:
            found += [(True, before, after), *_nested(before, after)]
        else:  # the body of a class
            below = _differing(before, after)
            if below is None:
                return None
            found += below
    return found


def _nested(old: CodeType, new: CodeType) -> list[tuple[bool, CodeType, CodeType]]:
    found = []
    if len(_inner(old)) == len(_inner(new)):
        for before, after in zip(_inner(old), _inner(new), strict=True):
            if _whole(before) != _whole(after):
                found += [(False, before, after), *_nested(before, after)]
    return found


def _inner(code: CodeType) -> list[CodeType]:
    return [const for const in code.co_consts if isinstance(const, CodeType)]


def _own(code: CodeType) -> tuple:
    constants = [repr(const) for const in code.co_consts if not isinstance(const, CodeType)]
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_name


def _whole(code: CodeType) -> tuple:
    return *_own(code), [_whole(inner) for inner in _inner(code)]
