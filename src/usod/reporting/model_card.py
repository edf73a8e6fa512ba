"""What a network was made from and how good it is, as a Markdown page beside its file (a model card)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from usod.data.index import RIGHTS, split_from
from usod.data.rights import in_sum
from usod.errors import UsodError
from usod.models.weight_files import read_model_header
from usod.reporting import typeset
from usod.reporting.tables import HEADINGS, read_score

_NAMED = 100
_SCORES = ("f_fixed", "f_adaptive", "f_max", "s_measure", "e_mean", "mae")


def model_card(
    model: str | Path,
    scores: Mapping[str, str | Path] | None = None,
    data: Mapping[str, pd.DataFrame] | None = None,
) -> str:
    """The card of a model of this package, in Markdown with a YAML head as model hubs read it.

    Parameters
    ----------
    model : model.safetensors
    scores : test set -> JSON file of `usod evaluate` for this network's maps
    data : data set that it was trained on -> its index (`usod.data.index.read_index`)

    Raises
    ------
    UsodError
        If the model or a score cannot be read.
    """
    header = read_model_header(Path(model))
    if header is None:
        raise UsodError(f"{model}: is no model of this package; give a model.safetensors of a training")
    network, extra = header["config"], header["extra"]
    tags = ["salient-object-detection", "saliency", "unsupervised" if header["labels"] == "none" else "saliency-masks"]
    head = yaml.safe_dump({"library_name": "usod", "pipeline_tag": "image-segmentation", "tags": tags}, sort_keys=False)
    size = "x".join(map(str, header["input_size"])) if header["input_size"] else "any"
    parts = [
        f"---\n{head}---",
        f"# Saliency network ({network['name']})",
        f"Maps of salient objects, 0 to 1, from RGB images. Working size {size} pixels; RGB / 255, minus "
        f"{_numbers(header['mean'])}, divided by {_numbers(header['std'])}.",
        "## Human labels",
        _labels(header),
        "## Scores",
        _scores(scores or {}),
        "## Training",
        *(_trained_on(name, index) for name, index in (data or {}).items()),
        "From these files:",
        typeset.markdown(["Input", "SHA-256"], [[k, str(v)] for k, v in extra.get("inputs", {}).items()]).strip(),
        f"Settings:\n\n```yaml\n{yaml.safe_dump(_settings(header), sort_keys=False)}```",
        "## Versions",
        typeset.markdown(["Package", "Version"], [list(item) for item in header["versions"].items()]).strip(),
    ]
    return "\n\n".join(parts) + "\n"


def _trained_on(name: str, index: pd.DataFrame) -> str:
    split, rights = split_from(index), f" Rights: {in_sum(index[RIGHTS])}." if RIGHTS in index else ""
    return f"On the {len(index)} images of {name}{f' (split: {split})' if split else ''}.{rights}"


def _labels(header: dict[str, Any]) -> str:
    weights = header["weights"]
    if header["labels"] == "none":
        return "None: neither the training nor pretrained weights used any."
    start = "It was trained from scratch." if weights["name"] == "none" else f"It started from `{weights['name']}`."
    kinds = "`masks` are saliency masks (an oracle), `image tags` words for whole images."
    return f"{header['labels']}. {start} {kinds}{_corrected(header['extra'].get('corrections'))}"


def _corrected(corrections: dict[str, Any] | None) -> str:
    """The training images that have human masks, as the model file names them."""
    if not corrections:
        return ""
    names = [f"`{name}`" for name in corrections["images"]]
    times = f", each counted {corrections['weight']:g} times" if corrections["weight"] != 1 else ""
    more = f" and {len(names) - _NAMED} more, which corrections.csv of the training set names" if names[_NAMED:] else ""
    return f"\n\nIts labels of these training images were human masks{times}: {', '.join(names[:_NAMED])}{more}."


def _scores(scores: Mapping[str, str | Path]) -> str:
    if not scores:
        return "None were measured: there were no images with masks."
    rows = []
    for name, path in scores.items():
        score = read_score(Path(path))
        rows.append([name, str(int(score["n"])), *(typeset.percent(score[key]) for key in _SCORES)])
    names = [HEADINGS.get(key, key.upper()) + (" ↓" if key == "mae" else " ↑") for key in _SCORES]
    table = typeset.markdown(["Data set", "Images", *names], rows).strip()
    return f"{table}\n\nIn percent; F@.5: maps above 0.5, F adaptive: above twice their mean, beta^2 = 0.3."


def _settings(header: dict[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in header["extra"].get("config", {}).items() if key != "network"}
    return json.loads(json.dumps({"network": header["config"], **own}))


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
