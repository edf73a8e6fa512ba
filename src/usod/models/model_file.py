"""The model file: a trained network and what is needed to use and to cite it, in one safetensors file."""

import json
from pathlib import Path
from typing import Any

import pydantic
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
from torch import nn

from usod.errors import UsodError
from usod.files import atomic_path
from usod.human_labels import MODEL_KEY, join
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.saliency_net import SaliencyNet
from usod.models.weight_files import read_model_header
from usod.provenance import versions
from usod.settings.sections import CrfConfig

FORMAT = "usod-model"
VERSION = 1


def save_model(
    path: str | Path,
    network: nn.Module,
    config: NetworkConfig,
    extra: dict[str, Any] | None = None,
    *,
    input_size: int | tuple[int, int] | None = None,
) -> None:
    """Write a network to a .safetensors file, whole or not at all; the same network gives the same bytes.

    Parameters
    ----------
    network : a `SaliencyNet`, possibly compiled or in a data-parallel wrapper, on any device
    config : what `build_network` made it from
    extra : anything that JSON can hold, kept as it is (the step's configuration, the digests of its inputs, ...); its
        `labels`, human labels behind the inputs, are joined to those of the pretraining
    input_size : side or (height, width) in pixels that it was trained at; None if it had none

    Raises
    ------
    UsodError
        If the file cannot be written.
    """
    inner = network
    while not isinstance(inner, SaliencyNet):
        # What torch.compile and the data-parallel wrappers call the network inside them.
        wrapped = getattr(inner, "_orig_mod", None) or getattr(inner, "module", None)
        if not isinstance(wrapped, nn.Module):
            raise TypeError(f"save_model takes a SaliencyNet, not {type(network).__name__}")
        inner = wrapped
    mean, std = inner.mean_std
    header = {
        "format": FORMAT,
        "version": VERSION,
        "config": config.model_dump(),
        "input_size": [input_size, input_size] if isinstance(input_size, int) else input_size,
        "mean": mean,
        "std": std,
        "weights": inner.weights,
        "labels": join(inner.weights["labels"], (extra or {}).get("labels", "none")),
        "versions": versions(),
        "extra": extra or {},
    }
    tensors = {name: tensor.detach().contiguous() for name, tensor in inner.state_dict().items()}
    # One metadata entry: safetensors writes several in an order that changes from run to run.
    content = safetensors.torch.save(tensors, metadata={MODEL_KEY: json.dumps(header, sort_keys=True)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def copy_with_crf(model: str | Path, out: str | Path, crf: CrfConfig | None) -> None:
    """A copy of a model file that says by which dense CRF its maps are sharpened; None: by none.

    Raises
    ------
    UsodError
        If the file is no model, or the copy cannot be written.
    """
    header = read_model_header(Path(model))
    if header is None:
        raise UsodError(f"{model}: is no model of this package; give a model.safetensors of a training")
    header["crf"] = None if crf is None else crf.model_dump()
    tensors = safetensors.numpy.load_file(model)
    content = safetensors.numpy.save(tensors, metadata={MODEL_KEY: json.dumps(header, sort_keys=True)})
    with atomic_path(out) as temporary:
        temporary.write_bytes(content)


def inherited(origin: dict[str, Any], network: SaliencyNet) -> dict[str, Any]:
    """`origin`, as `describe` gave it, for what a network has made: with the human labels of its pretraining too."""
    return origin | {"labels": join(network.weights["labels"], origin["labels"])}


def load_model(path: str | Path, device: str | torch.device = "cpu") -> tuple[SaliencyNet, dict[str, Any]]:
    """Read a model file of `save_model`.

    Returns
    -------
    network : on `device`, in evaluation mode
    metadata : `format`, `version`, `config` (dict), `input_size` ([height, width] or None), `mean`, `std`, `weights`
        (see `describe_weights`), `labels` (human labels used in all), `versions`, `extra`, and `crf` in files of
        `copy_with_crf`

    Raises
    ------
    UsodError
        If the file is missing, damaged, not a model of usod, of a later version, or inconsistent.
    """
    path = Path(path)
    if not path.is_file():
        raise UsodError(f"{path}: there is no such model file; train one or correct the path")
    try:
        header = read_model_header(path)
        tensors = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, json.JSONDecodeError) as error:
        raise UsodError(
            f"{path}: not a whole model file ({str(error).strip()}); copy it again or train it again"
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise UsodError(f"{path}: safetensors, but not a usod model; to start training from it give it as `weights`")
    if header.get("version") != VERSION:
        version = header.get("version")
        way_out = "update usod" if isinstance(version, int) and version > VERSION else "train it again"
        raise UsodError(f"{path}: a model of version {version}, this usod reads {VERSION}; {way_out}")
    size = header.get("input_size")
    if size is not None and not (
        isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) and 0 < side <= 8192 for side in size)
    ):
        raise UsodError(f"{path}: says that it works at {str(size)[:50]} pixels; train it again")
    try:
        config = NetworkConfig.model_validate(header["config"])
        # All tensors come from the file: the pretrained weights need not exist here.
        network = build_network(config, described=header["weights"])
        network.load_state_dict(tensors)
    except (pydantic.ValidationError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsodError(f"{path}: its tensors and its configuration do not fit ({reason}); train it again") from error
    return network.to(device).eval(), header
