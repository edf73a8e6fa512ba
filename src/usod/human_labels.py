"""Which human labels went into a file. What is made from it inherits them: they go with the digests of its inputs."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

MODEL_KEY = "usod_model"
"""Key of the header in the metadata of a model's safetensors file."""

_OF_INPUTS = {"tags": "image tags", "masks": "masks"}
"""Name of an input of a step -> the human labels that it consists of."""


def join(*labels: str) -> str:
    """`none` where all are; else each kind once, as `ImageNet classes+image tags`."""
    kinds = [kind for each in labels for kind in each.split("+") if kind != "none"]
    return "+".join(dict.fromkeys(kinds)) or "none"


def human_masks(count: int) -> str:
    """What masks of training images that people drew or mended are called: `50 human masks`."""
    return f"{count} human mask{'s' if count > 1 else ''}"


def of_inputs(inputs: Mapping[str, str | Path]) -> str:
    """The human labels behind the named input files of a step.

    Tags and masks are labels themselves; stores and models of usod say what they have inherited; maps and networks from
    elsewhere are "unknown", never "none".
    """
    return join(*(_OF_INPUTS.get(name) or _written(Path(path)) for name, path in inputs.items()))


def _written(path: Path) -> str:
    if path.is_dir():
        return "unknown"
    try:
        if path.suffix == ".h5":
            import h5py

            with h5py.File(path, "r") as file:
                return str(file.attrs.get("labels", "unknown"))
        if path.suffix == ".safetensors":
            with safe_open(path, framework="np") as file:
                return str(json.loads((file.metadata() or {}).get(MODEL_KEY, "{}")).get("labels", "unknown"))
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError, SafetensorError):
        return "unknown"  # the step that reads it reports the fault
    return "none"
