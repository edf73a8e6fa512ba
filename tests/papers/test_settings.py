"""Presets of papers against the papers: every setting that decides a result has its source and its value here.

`NAME.csv` are read off the papers and, where a paper is silent, off its released code.
"""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from usod.settings.config import parse_config
from usod.settings.sections import read_yaml

HERE = Path(__file__).parent
PRESETS = HERE.parents[1] / "workflow/presets"
SOURCES = ("paper ", "code", "ours: ")
ROWS = [row for file in sorted(HERE.glob("*.csv")) for row in csv.DictReader(file.open(encoding="utf-8"))]
PAPERS = ("deepusps", "deepusps_as_released", "a2s", "ldps", "wss")


def leaves(value: Any, key: str = "") -> dict[str, Any]:
    """Dotted key -> value, of all that is a number, a boolean, a word, or a list."""
    if isinstance(value, dict):
        return {
            k: v for name, inner in value.items() for k, v in leaves(inner, f"{key}.{name}" if key else name).items()
        }
    return {} if value is None else {key: list(value) if isinstance(value, tuple) else value}


def resolved(preset: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is in force in a preset, and what is written in it."""
    written = read_yaml(PRESETS / f"{preset}.yaml")
    return leaves(parse_config(written).model_dump(mode="json")), leaves(written)


def decides(key: str, systems: list[str]) -> bool:
    return key == "size" or key.startswith(("network.", "benchmark.crf.", *(f"{system}." for system in systems)))


@pytest.mark.parametrize("preset", sorted({*PAPERS, *(row["preset"] for row in ROWS)}))
def test_every_setting_of_a_papers_preset_has_a_source_and_its_value(preset):
    rows = {row["key"]: row for row in ROWS if row["preset"] == preset}
    assert rows, "a preset of a paper has its table of settings"
    in_force, written = resolved(preset)
    systems = read_yaml(PRESETS / f"{preset}.yaml").get("systems", ["deepusps"])
    deciding = {key for key in in_force if decides(key, systems)}
    assert deciding <= set(rows), "settings without a source"
    for key, row in rows.items():
        assert row["source"].startswith(SOURCES), f"{key}: {row['source']}"
        assert in_force.get(key) == json.loads(row["value"]), key
        if row["source"].startswith("paper"):
            assert key in written, f"{key}: a value of the paper is written out, not left to a default"
