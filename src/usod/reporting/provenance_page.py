"""Where a run's results come from: data, networks, settings, software, machine."""

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from usod.data.index import RIGHTS, read_index, split_from
from usod.data.listed import read_rows
from usod.data.rights import in_sum
from usod.devices import describe_device, pick_device
from usod.human_labels import human_masks
from usod.models.weight_files import read_model_header
from usod.provenance import file_digest, versions
from usod.reporting import typeset

_NAMED = 100


def provenance_page(
    indices: Mapping[str, Path],
    models: Mapping[str, Path],
    config: Mapping[str, Any],
    corrections: Path | None = None,
) -> str:
    """A Markdown page.

    Parameters
    ----------
    indices : data set -> its index.csv
    models : system -> its model.safetensors
    config : the configuration in force
    corrections : the table of training images that have human masks

    Raises
    ------
    UsodError
        If a file cannot be read.
    """
    data = []
    for name, path in indices.items():
        index = read_index(path)
        splits = ", ".join(f"{split or 'all'} {count}" for split, count in index["split"].value_counts().items())
        rights = in_sum(index[RIGHTS]) if RIGHTS in index else "not said"
        data.append([name, str(len(index)), splits, split_from(index), rights, file_digest(path)[:16]])
    networks = []
    for name, path in models.items():
        header = read_model_header(path) or {}
        made = header.get("versions", {})
        networks.append(
            [
                name,
                header.get("config", {}).get("name", "?"),
                header.get("weights", {}).get("name", "?"),
                header.get("labels", "unknown"),
                f"usod {made.get('usod', '?')}, torch {made.get('torch', '?')}",
                file_digest(path)[:16],
            ]
        )
    software = versions() | {"snakemake": metadata.version("snakemake"), "Python": platform.python_version()}
    machine = [["system", platform.platform()], ["device", describe_device(pick_device("auto"))]]
    parts = [
        typeset.markdown(["Data set", "Images", "Splits", "Split by", "Rights", "SHA-256 of the index"], data),
        _corrected(corrections),
        typeset.markdown(["Network", "Backbone", "Weights", "Human labels", "Made with", "SHA-256"], networks)
        if networks
        else "",
        typeset.markdown(["Package", "Version"], [list(item) for item in software.items()] + machine),
        f"The configuration in force:\n\n```yaml\n{yaml.safe_dump(dict(config), sort_keys=False)}```\n",
    ]
    return "\n".join(part for part in parts if part)


def _corrected(table: Path | None) -> str:
    """The training images that have human masks."""
    if table is None:
        return ""
    names = sorted(read_rows(table).index)
    more = f", and {len(names) - _NAMED} more" if names[_NAMED:] else ""
    return f"{human_masks(len(names))} of training images ({table.name}): {', '.join(names[:_NAMED])}{more}.\n"
