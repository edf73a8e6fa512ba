"""Imports go downwards only, no file grows past reading, and the ground truth stays where it belongs."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from usod.provenance import PACKAGE, source_files

MODULES = sorted(
    ".".join(("usod", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in PACKAGE.rglob("*.py")
    if path.stem not in ("__init__", "__main__")
)

SHOWS = ("evaluation", "reporting", "inference", "labels", "commands")
FORBIDDEN = {
    "data": ("regions", "handcrafted", "crf", "models", "training", "systems", *SHOWS),
    "regions": ("data", "handcrafted", "crf", "models", "training", "systems", *SHOWS),
    "handcrafted": ("crf", "models", "training", "systems", *SHOWS),
    "crf": ("handcrafted", "models", "training", "systems", *SHOWS),
    "models": ("handcrafted", "crf", "training", "systems", *SHOWS),
    "training": ("systems", *SHOWS),
    "systems": SHOWS,
    "evaluation": (
        "handcrafted",
        "crf",
        "models",
        "training",
        "systems",
        "reporting",
        "inference",
        "labels",
        "commands",
    ),
    "reporting": ("handcrafted", "crf", "training", "inference", "labels", "commands"),
    "inference": ("systems", "evaluation", "reporting", "labels", "commands"),
    "labels": ("handcrafted", "systems", "evaluation", "reporting", "commands"),
}


@pytest.mark.parametrize("module", [m for m in MODULES if m.split(".")[1] in FORBIDDEN])
def test_imports_go_downwards(module):
    reached = {path.relative_to(PACKAGE).parts[0] for path in source_files(module)}
    assert not reached & set(FORBIDDEN[module.split(".")[1]])


def test_no_module_imports_itself_by_way_of_others():
    """Imports inside functions count, and those for type checkers: a reader follows them, too."""
    names = {*MODULES, *(module.rpartition(".")[0] for module in MODULES)}
    graph = {}
    for name in names:
        base = PACKAGE.joinpath(*name.split(".")[1:])
        path = base.with_suffix(".py") if name in MODULES else base / "__init__.py"
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                for inner in (f"{node.module}.{alias.name}" for alias in node.names):
                    found.add(inner if inner in names else node.module)
        graph[name] = found & names
    TopologicalSorter(graph).prepare()  # a CycleError shows the circle


@pytest.mark.parametrize("module", MODULES)
def test_files_and_functions_can_be_read(module):
    path = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    long = [f.name for f in functions if f.end_lineno - f.lineno + 1 > 60 and "commands" not in Path(path).parts]
    assert not long, f"longer than 60 lines: {long}"


def test_training_code_cannot_open_masks():
    names = {path.relative_to(PACKAGE).as_posix() for path in source_files("usod.systems.deepusps")}
    assert "data/index.py" not in names and "data/mask_folder.py" not in names


@pytest.mark.parametrize(
    "file", sorted((PACKAGE.parents[1] / "workflow/rules").glob("*.smk")), ids=lambda file: file.stem
)
def test_a_rule_depends_on_the_code_of_the_verb_that_it_calls(file):
    for rule in re.split(r"^rule ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        called = re.search(r"\busod (?!devices)([a-z-]+) (?:([a-z]+\d?) )?", rule.partition("shell:")[2])
        named = re.search(r"code\(\s*\"usod\.commands\.([\w.]+)\"", rule)
        if called:
            verb, group = ".".join(filter(None, called.groups())).replace("-", "_"), called[1].replace("-", "_")
            assert named[1].rstrip("_") == (verb if (PACKAGE / "commands" / group).is_dir() else group), rule.split(
                ":"
            )[0]
