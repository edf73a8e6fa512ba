"""What an artefact says of itself: its configuration, the digests of its inputs, and the code that made it."""

import ast
import hashlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from usod.errors import UsodError

PACKAGE = Path(__file__).parent


def usod_version() -> str:
    """The installed version of usod."""
    return metadata.version("usod")


@cache
def _digest_at(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files, as 64 hexadecimal digits.

    Raises
    ------
    UsodError
        If there is none.
    """
    path = Path(path)
    if path.is_dir():
        whole = hashlib.sha256()
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            whole.update(f"{file.relative_to(path).as_posix()}\0{file_digest(file)}\n".encode())
        return whole.hexdigest()
    if not path.exists():
        raise UsodError(f"{path}: no such file")
    status = path.stat()
    return _digest_at(path.resolve(), status.st_size, status.st_mtime_ns)


def digests(inputs: Mapping[str, str | Path]) -> dict[str, str]:
    """Name -> SHA-256 for the named input files of a step."""
    return {name: file_digest(path) for name, path in inputs.items()}


def versions() -> dict[str, str]:
    """Versions of usod and of the libraries that can change a result."""
    names = ("usod", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-image", "numba", "pillow", "h5py")
    return {name: metadata.version(name) for name in names}


def source_files(*modules: str) -> list[Path]:
    """The usod source files that running these modules, or files, can execute: themselves and all they import.

    Imports are read from the text, those inside functions too, without importing anything. A package's
    `__init__` counts, because Python runs it.

    Raises
    ------
    ModuleNotFoundError
        If a module is not part of usod, nor the path of a Python file.
    """
    found: dict[str, Path] = {}
    queue = list(modules)
    while queue:
        name = queue.pop()
        if name in found:
            continue
        path = _module_path(name)
        if path is None:
            raise ModuleNotFoundError(f"usod has no module {name!r}")
        found[name] = path
        if not name.endswith(".py"):
            queue += [name.rpartition(".")[0]] if "." in name else []
        queue += [other for other in _read(path)[1] if other not in found]
    return sorted(found.values())


def code_digest(*modules: str) -> str:
    """What stands for the code of these modules or Python files, and all they import, in workflow and resume states.

    In a checkout sixteen hexadecimal digits of their statements: an edit of what a step executes changes them;
    comments, docstrings, layout and the texts of `description=` and `help=` do not, nor do the folder, the Python or
    the machine. Of an installed release it is the version, as nobody edits it.

    Raises
    ------
    ModuleNotFoundError
        If a module is not part of usod.
    """
    installed = checkout() is None
    files = [file for file in source_files(*modules) if not (installed and file.is_relative_to(PACKAGE))]
    whole = hashlib.sha256()
    for file in files:
        whole.update(_read(file)[0])
    digest = [whole.hexdigest()[:16]] if files else []
    return " ".join([*([f"usod {usod_version()}"] if installed else []), *digest])


def lead_to_usod(cores: int | None = None) -> None:
    """Let what this process starts find this usod, by its environment.

    Where the workflow is told of more `cores` than there are, OpenMP's threads sleep while they wait: by default they
    spin at every barrier, on cores that the threads they wait for need.

    The jobs call the `usod` of this Python, whether its environment was activated or another one: its folder is put in
    front of PATH unless PATH leads to a script of this Python already.
    USOD_SOURCE is the checkout, or the workflow's folder of an installed release, USOD_VERSION its version: for
    the script that fills a conda environment, which runs as a copy, in whatever folder the workflow was started.
    """
    if not _is_of_this_python(shutil.which("usod")):
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    os.environ["USOD_VERSION"] = usod_version()
    if (cores or 0) > (os.cpu_count() or 1):
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["USOD_SOURCE"] = str(checkout() or PACKAGE / "bundled")


def _is_of_this_python(command: str | None) -> bool:
    """Whether a script begins with the path of this Python, or of one beside it.

    A path that is long or has blanks stands in the second line, in words that are a string to Python and a command to
    the shell: so pip and others write their scripts.
    """
    if command is None:
        return False
    with Path(command).open("rb") as file:
        first, second = (file.readline(4096).decode(errors="replace").strip() for _ in range(2))
    in_shell = re.match(r"'''exec' (?:\"([^\"]+)\"|(\S+))", second) if first == "#!/bin/sh" else None
    python = (in_shell[1] or in_shell[2]) if in_shell else first.removeprefix("#!").strip()
    return first.startswith("#!") and Path(python).parent == Path(sys.executable).parent


def checkout() -> Path | None:
    """The folder of the sources where usod runs from a checkout; None for an installed release."""
    folder = PACKAGE.parents[1]
    return folder if (folder / "pyproject.toml").is_file() and PACKAGE.parent.name == "src" else None


def _read(file: Path) -> tuple[bytes, list[str]]:
    """A digest of what a source file executes, the same under every version of Python, and the modules it imports."""
    status = file.stat()
    return _read_at(file, status.st_size, status.st_mtime_ns)


@cache  # every step's digest is of some fifty files, most of them those of all other steps
def _read_at(file: Path, size: int, mtime_ns: int) -> tuple[bytes, list[str]]:
    imports: list[ast.Import | ast.ImportFrom] = []
    text = repr(_executed(ast.parse(file.read_text(encoding="utf-8")), imports))
    inside = file.is_relative_to(PACKAGE)
    place = file.relative_to(PACKAGE) if inside else Path(file.name)
    digest = hashlib.sha256(f"{place.as_posix()}\0{text}".encode()).digest()
    package = ".".join((PACKAGE.name, *place.parent.parts)) if inside else None  # a plugin has no package
    names = [name for node in imports for name in _imported(node, package)]
    return digest, [name for name in dict.fromkeys(names) if _module_path(name)]


def _executed(node: Any, imports: list[ast.Import | ast.ImportFrom]) -> Any:
    """A syntax tree without what changes no result: positions, texts that only people read, imports for type checkers.

    Its imports are added to `imports`. Not `ast.dump`: newer versions of Python add fields to the nodes, which are
    empty for code that runs on older ones.
    """
    if isinstance(node, list):
        return [_executed(item, imports) for item in node if not _is_silent(item)]
    if not isinstance(node, ast.AST):
        return node
    if isinstance(node, ast.Import | ast.ImportFrom):
        imports.append(node)
    kind: Any = type(node)
    values = [(name, _executed(getattr(node, name, None), imports)) for name in _fields(kind)]
    return kind.__name__, [(name, value) for name, value in values if value is not None and value != []]


@cache
def _fields(kind: type[ast.AST]) -> list[str]:
    # Whether a name is read or set, its "ctx", is said by its place.
    return sorted({*kind._fields} - {"kind", "type_comment", "ctx"})


def _is_silent(node: Any) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if isinstance(node, ast.keyword):
        return node.arg in ("description", "help") and isinstance(node.value, ast.Constant | ast.JoinedStr)
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _imported(node: ast.Import | ast.ImportFrom, package: str | None) -> list[str]:
    """What may be modules among the names of an import in a module of `package`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.level and package is None:
        return []
    relative = "." * node.level + (node.module or "")
    base = importlib.util.resolve_name(relative, package) if node.level else relative
    # `from package import name`: the name is a module or something the package defines.
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


@cache
def _module_path(name: str) -> Path | None:
    if name.endswith(".py") and Path(name).is_file():
        return Path(name)
    if name.partition(".")[0] != PACKAGE.name:
        return None
    base = PACKAGE.joinpath(*name.split(".")[1:])
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def describe(config: Any, inputs: Mapping[str, str | Path]) -> dict[str, Any]:
    """What every artefact carries: `config`, `inputs` (name -> sha256), `labels` (of people), `usod_version`."""
    from usod.human_labels import of_inputs

    return {
        "config": config,
        "inputs": digests(inputs),
        "labels": of_inputs(inputs),
        "usod_version": usod_version(),
    }


def resume_identity(origin: Mapping[str, Any], *modules: str) -> dict[str, Any]:
    """What a resume state must have been made from: inputs, code and libraries.

    Parameters
    ----------
    origin : what `describe` gave for the step
    modules : those whose code, with all that they import, determines the result
    """
    return {"inputs": origin["inputs"], "code": code_digest(*modules), "versions": versions()}
