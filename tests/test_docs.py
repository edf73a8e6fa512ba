"""What README and docs show can be typed: every configuration is planned, every command is parsed."""

import ast
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer
import yaml

import usod
from usod.cli import app

from .workflow import starter

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "workflow").rglob("*.yaml"))]


def fenced(language):
    """The fenced blocks of one language, named by their pages."""
    found = [
        (page.name, block)
        for page in PAGES
        if page.suffix == ".md"
        for block in re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    ]
    assert found, f"no {language} at all"
    return [pytest.param(block, id=f"{name}-{number}") for number, (name, block) in enumerate(found)]


def commands(program):
    """The lines of shell blocks, the examples between backticks and the comments of presets that call it."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if page.suffix == ".yaml":
            lines = re.findall(rf"^# +({program} .*)$", text, re.MULTILINE)
        else:
            blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
            lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
            lines += re.findall(r"(?<!`)`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        for line in lines:
            words = shlex.split(line.partition("  #")[0], posix=True) if line.startswith(f"{program} ") else []
            if len(words) > 1 and not re.search(r"…|\.\.\.|VERB", line):
                yield page, line, words


@pytest.fixture
def desk(tmp_path):
    """A folder that looks like the project's, with the user's things that the pages talk about."""
    for name in ("Snakefile", "workflow", "config.yaml", "envs"):
        (tmp_path / name).symlink_to(ROOT / name)
    for folder in ("data/ECSSD/images", "data/their_maps/demo", "data/their_maps/demo-test", "photos"):
        (tmp_path / folder).mkdir(parents=True)
    for file in (ROOT / "workflow/presets").glob("*.yaml"):  # what the presets of papers ask for
        preset = yaml.safe_load(file.read_text(encoding="utf-8"))
        sets = [name for name, section in preset["datasets"].items() if section["root"] != "demo"]
        found = [section[key] for section in preset["datasets"].values() for key in ("root", "tags") if key in section]
        maps = [section["maps"] for section in preset.get("methods", {}).values() if section and "maps" in section]
        for folder in [*found, *(text.replace("{dataset}", name) for text in maps for name in sets)]:
            if folder not in ("demo", "folders"):
                (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        if "/" in (weights := preset.get("network", {}).get("weights", "none")):
            (tmp_path / weights).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / weights).touch()
    shutil.copy(ROOT / "workflow/report/demo.png", tmp_path / "photos/a.png")
    shutil.copy(ROOT / "workflow/presets/smoke.yaml", tmp_path / "my.yaml")
    return tmp_path


def at(desk, text):
    """The text with the paths that stand for the user's own."""
    text = re.sub(r"/path/\w+(/\w+)*|PHOTOS\b", str(desk / "photos"), text)
    return text.replace("/data/", f"{desk}/data/").replace("mine.yaml", "my.yaml")


def snakemake(desk, words):
    done = starter.snakemake([*words, "--dry-run", "--quiet"], desk, dict(os.environ), desk.with_suffix(".log"))
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}"


@pytest.mark.workflow
@pytest.mark.parametrize("block", fenced("yaml"))
def test_every_configuration_is_planned(desk, block):
    (desk / "block.yaml").write_text(at(desk, block))
    snakemake(desk, ["--configfile", "block.yaml", "--config", "preset=smoke", "--cores", "1"])


def calls():
    """The calls of Snakemake in the pages; those that differ in their targets alone are one, as each takes seconds."""
    alike: dict[str, list[str]] = {}
    for page, line, _ in commands("snakemake"):
        if page.suffix == ".md":
            found = re.fullmatch(r"snakemake (--cores all )?((?!-)\S.*?) (--cores all )?(--resources .*)", line)
            rest = f"snakemake --cores all TARGETS {found[4]}" if found else line
            alike.setdefault(rest, []).append(found[2] if found else "")
    return [rest.replace("TARGETS", " ".join(dict.fromkeys(targets))) for rest, targets in alike.items()]


@pytest.mark.workflow
@pytest.mark.parametrize("line", calls())
def test_every_call_of_snakemake_is_planned(desk, line):
    words = shlex.split(at(desk, line.partition("  #")[0]))[1:]
    if not {"--cores", "--workflow-profile"} & set(words):
        words += ["--cores", "1"]
    if "slurm" in line:
        pytest.importorskip("snakemake_executor_plugin_slurm")
    if "conda" in line and shutil.which("conda") is None:
        pytest.skip("conda is not installed")
    if "--report" in words:
        pytest.skip("a report is made of results")
    snakemake(desk, [word for word in words if word not in ("-n", "--unlock", "--touch")])


def test_every_call_of_usod_is_understood():
    """All its options are there and none is missing; nothing is run."""
    seen = 0
    for page, line, words in commands("usod"):
        command, words = typer.main.get_command(app), ["1" if word == "N" else word for word in words[1:]]
        parent = None
        try:
            while words and hasattr(command, "commands"):
                parent = command.make_context("usod", words[:1], parent=parent)
                command, words = command.commands[words[0]], words[1:]
            if words:  # a verb alone is its name, not a call
                command.make_context("usod", list(words), parent=parent)
                seen += 1
        except Exception as error:
            if type(error).__name__ == "Exit":  # it shows its help
                continue
            pytest.fail(f"{page.name}: {line}: {error!r}")
    assert seen > 10


@pytest.mark.parametrize("block", fenced("python"))
def test_every_name_of_the_package_exists(block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("usod."):
            value = usod
            for name in re.match(r"usod((?:\.\w+)+)", ast.unparse(node))[1].strip(".").split("."):
                value = getattr(value, name)


def test_every_inline_setting_is_accepted():
    """`key: {...}` between backticks, over the defaults."""
    from usod.settings.config import Config, deep_merge, parse_config

    sets = ("demo", "photos", "more", "a", "b")  # `train: [a, b]`
    base = {"datasets": {name: {"root": "demo"} for name in sets}, "train": "demo"}
    seen = 0
    for page in PAGES:
        if page.suffix != ".md":
            continue
        for text in re.findall(r"(?<!`)`(\w+: [^`]+)`", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
            values = yaml.safe_load(text.replace("\n", " "))
            if isinstance(values, dict) and set(values) <= {*Config.model_fields} - {"plugins"}:
                parse_config(deep_merge(base, values), f"{page.name}: {text}")
                seen += 1
    assert seen > 5
