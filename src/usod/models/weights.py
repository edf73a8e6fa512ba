"""Pretrained weights: find them, read them without running code, fit them to a backbone, say which labels they used."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from usod.errors import UsodError
from usod.models.config import NetworkConfig
from usod.models.registry import BACKBONES
from usod.models.sources import missing_file
from usod.models.stages import Backbone
from usod.progress import say
from usod.provenance import file_digest

# Published ImageNet classifiers carry the first digits of their SHA-256 in their names; these are the DRNs',
# torchvision's come from its own table.
DRN_DIGESTS = {"drn_d_22": "4bd2f8ea", "drn_d_105": "12b40979"}
CITYSCAPES_CLASSES = 19
# Below this share of matching values a file is not the weights of this network.
LEAST_MATCH = 0.5
MODEL_KEY = "usod_model"


@dataclass(frozen=True)
class LoadReport:
    """Names of the backbone's tensors that a file filled, lacked or had in another shape, and of those left unused."""

    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = (f"{len(self.matched)} tensors loaded", f"{len(self.missing)} missing")
        return ", ".join(
            (*counts, f"{len(self.mismatched)} of another shape", f"{len(self.unused)} in the file unused")
        )


def load_weights(network: nn.Module, weights: str) -> LoadReport:
    """Fill a backbone, or the backbone of a network, with pretrained weights; heads are never filled.

    Every tensor with the backbone's name and shape is taken, as DeepUSPS does with its Cityscapes checkpoint.
    Names are understood with the prefixes of MoCo v2 (`module.encoder_q.`), of DRN segmentation networks
    (`module.base.3.` is `layer3.`), of `DataParallel` and of usod's own models.

    Parameters
    ----------
    network : a `Backbone`, or a network that has one as `.backbone`
    weights : "none", a torchvision name, or a file (see `NetworkConfig.weights`)

    Raises
    ------
    UsodError
        If the file is missing, unreadable, refused or of another network (less than half of the backbone's values
        match), or if a download fails.
    """
    backbone = network if isinstance(network, Backbone) else network.backbone
    assert isinstance(backbone, Backbone)
    if weights == "none":
        return LoadReport()
    source = (
        _pretrained_file(weights, backbone.name) if weights in _names(backbone.name) else Path(weights).expanduser()
    )
    found = _backbone_tensors(read_tensors(source))
    own = backbone.state_dict()
    # The step counters of batch norms came after the first DRN checkpoints, and nothing here uses them.
    wanted = {name for name in own if not name.endswith("num_batches_tracked")}
    matched = {name for name in wanted if name in found and found[name].shape == own[name].shape}
    share = sum(own[name].numel() for name in matched) / sum(own[name].numel() for name in wanted)
    if share < LEAST_MATCH:
        raise UsodError(
            f"weights: {source} does not fit {backbone.name}: {len(matched)} of {len(wanted)} tensors match by name "
            f"and shape; give weights of this network or set `name` to theirs"
        )
    backbone.load_state_dict({name: found[name] for name in matched}, strict=False)
    return LoadReport(
        matched=tuple(sorted(matched)),
        missing=tuple(sorted(wanted - found.keys())),
        mismatched=tuple(sorted(wanted & found.keys() - matched)),
        unused=tuple(sorted(found.keys() - own.keys())),
    )


def describe_weights(config: NetworkConfig) -> dict[str, str]:
    """Where a network's initial weights come from, for artefacts and tables.

    Returns
    -------
    `name` (none, a torchvision name or the file's name), `sha256` of the file (empty for none), and `labels`, the
    human labels its training used: "none" (none, or self-supervised), "ImageNet", "ImageNet+Cityscapes" or
    "unknown". `config.weights_labels` takes precedence; else a file is recognised by the digest that published
    ImageNet classifiers carry, by the keys of MoCo and DRN-Cityscapes checkpoints, or by its own header (usod's).

    Raises
    ------
    UsodError
        As `load_weights`.
    """
    if config.weights == "none":
        return {"name": "none", "sha256": "", "labels": "none"}
    if not config.weights_are_file:
        path = _pretrained_file(config.weights, config.name)
        return {"name": config.weights, "sha256": file_digest(path), "labels": config.weights_labels or "ImageNet"}
    path = _existing(Path(config.weights).expanduser())
    labels = config.weights_labels or _recognised_labels(path, config.name)
    return {"name": path.name, "sha256": file_digest(path), "labels": labels}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors or torch file, on the CPU; no code of the file is run.

    Of a checkpoint that holds them beside other things, those under `state_dict` or `model` are taken.

    Raises
    ------
    UsodError
        If the file is missing, damaged, or holds objects that would have to be executed.
    """
    _existing(path)
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise _not_whole(path, error) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling a foreign file fails in as many ways as there are files
        raise UsodError(
            f"weights: {path} was refused: damaged, or not a file of tensors only that torch.load(weights_only=True) "
            f"reads; download it again or convert it to .safetensors ({_first_line(error)})"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = {}
    if isinstance(content, Mapping):
        tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UsodError(f"weights: {path} holds no named tensors (a state dict, alone or under 'state_dict'); save one")
    return tensors


def read_model_header(path: Path) -> dict | None:
    """The header that `save_model` wrote into a safetensors file; None for other safetensors files.

    Raises
    ------
    safetensors.SafetensorError
        If it is not a whole safetensors file.
    """
    with safetensors.safe_open(path, framework="pt") as file:
        header = (file.metadata() or {}).get(MODEL_KEY)
    return None if header is None else json.loads(header)


def _backbone_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the backbone under its own names, out of whatever network it was saved in."""
    named = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    for inner in ("encoder_q.", "backbone."):
        # MoCo also saves the slowly moving encoder_k; A2S and others start from encoder_q.
        if any(name.startswith(inner) for name in named):
            named = {name.removeprefix(inner): tensor for name, tensor in named.items() if name.startswith(inner)}
    return {re.sub(r"^base\.(\d+)\.", r"layer\1.", name): tensor for name, tensor in named.items()}


def _recognised_labels(path: Path, network: str) -> str:
    if path.suffix == ".safetensors":
        try:
            header = read_model_header(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise _not_whole(path, error) from error
        if header is not None:
            return header["labels"]
    digest = file_digest(path)
    published = [DRN_DIGESTS[network]] if network in DRN_DIGESTS else []
    if BACKBONES[network].weights:
        published += [_hash_prefix(entry.url) for entry in get_model_weights(network)]
    if any(digest.startswith(prefix) for prefix in published):
        return "ImageNet"
    tensors = {name.removeprefix("module."): tensor for name, tensor in read_tensors(path).items()}
    if any(name.startswith("encoder_q.") for name in tensors):
        return "none"
    if "base.0.0.weight" in tensors and "seg.weight" in tensors and len(tensors["seg.weight"]) == CITYSCAPES_CLASSES:
        return "ImageNet+Cityscapes"
    return "unknown"


def _names(network: str) -> tuple[str, ...]:
    return BACKBONES[network].weights


def _hash_prefix(url: str) -> str:
    return Path(url).stem.rpartition("-")[2]


def _pretrained_file(name: str, network: str) -> Path:
    """The file of torchvision's weights in torch's cache, downloaded and checked if it is not there yet."""
    url = get_model_weights(network)[name].url
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not file.exists():
        say(f"downloading {url} to {file}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), hash_prefix=_hash_prefix(url), progress=False)
        except (OSError, RuntimeError) as error:
            raise UsodError(
                f"weights: {name} of {network}: {url} cannot be downloaded ({_first_line(error)}); put that file at "
                f"{file}, give the path of a copy as `weights`, or set `weights: none`"
            ) from error
    elif not file_digest(file).startswith(_hash_prefix(url)):
        raise UsodError(f"weights: {file} is not the file that {url} names (damaged?); delete it and run again")
    return file


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UsodError(f"weights: {missing_file(path)}")
    return path


def _not_whole(path: Path, error: Exception) -> UsodError:
    return UsodError(f"weights: {path} is not a whole safetensors file ({_first_line(error)}); copy it again")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
