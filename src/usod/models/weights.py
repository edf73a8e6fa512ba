"""Pretrained weights: find them, fit them to a backbone, say which human labels they have seen."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from torch import Tensor, nn

from usod.errors import UsageError, UsodError
from usod.models.config import NetworkConfig
from usod.models.frozen import FrozenEncoder
from usod.models.sources import TIMM, Published, labels_of_tag, missing_file, published_file, published_name
from usod.models.stages import Backbone
from usod.models.weight_files import download, first_line, is_safetensors, not_whole, read_model_header, read_tensors
from usod.provenance import file_digest

CITYSCAPES_CLASSES = 19
# Below this share of matching values a file is not the weights of this network.
LEAST_MATCH = 0.5


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


def load_weights(network: nn.Module, config: NetworkConfig) -> LoadReport:
    """Fill a backbone, or the backbone of a network, with pretrained weights; heads are never filled.

    Every tensor with the backbone's name and shape is taken, as DeepUSPS does with its Cityscapes checkpoint.
    Names are understood with the prefixes of MoCo v2 (`module.encoder_q.`), of DRN segmentation networks
    (`module.base.3.` is `layer3.`), of `DataParallel` and of usod's own models; further ones are the backbone's own
    affair (`Backbone.own_names`).

    Parameters
    ----------
    network : a `Backbone`, or a network that has one as `.backbone`
    config : names the weights

    Raises
    ------
    UsodError
        If the file is missing, unreadable, refused or of another network (less than half of the backbone's values
        match), or if a download fails.
    """
    backbone = network if isinstance(network, Backbone) else network.backbone
    assert isinstance(backbone, Backbone)
    if isinstance(backbone, FrozenEncoder):
        backbone = backbone.encoder
    source = weights_file(config)
    if source is None:
        return LoadReport()
    unfit = f"weights: {source} does not fit {backbone.name}"
    way_out = "give weights of this network or set `name` to theirs"
    try:
        found = backbone.own_names(_unwrapped(read_tensors(source)))
    except ValueError as error:
        raise UsodError(f"{unfit}: {first_line(error)}; {way_out}") from error
    own = backbone.state_dict()
    # The step counters of batch norms came after the first DRN checkpoints, and nothing here uses them.
    wanted = {name for name in own if not name.endswith("num_batches_tracked")}
    matched = {name for name in wanted if name in found and found[name].shape == own[name].shape}
    share = sum(own[name].numel() for name in matched) / sum(own[name].numel() for name in wanted)
    if share < LEAST_MATCH:
        raise UsodError(f"{unfit}: {len(matched)} of {len(wanted)} tensors match by name and shape; {way_out}")
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
    `name` (none, the name of published weights or the file's name), `sha256` of the file (empty for none), and
    `labels`, the human labels its training used: "none" (none, or self-supervised), "ImageNet", "ImageNet+Cityscapes",
    ... or "unknown". A file is recognised by its own header (usod's), by the name and the digest that published weights
    carry, or by the keys of MoCo and DRN-Cityscapes checkpoints. A name alone is enough only where the authors have
    published no digest. `config.weights_labels` says what is not known otherwise.

    Raises
    ------
    UsageError
        If `config.weights_labels` contradicts what is known.
    UsodError
        As `load_weights`.
    """
    path = weights_file(config)
    if path is None:
        return {"name": "none", "sha256": "", "labels": "none"}
    if config.weights_are_file:
        name, known = Path(config.weights).name, _recognised_labels(path, config)
    elif config.name.startswith(TIMM):
        from usod.models.timm_weights import tagged_name

        name = tagged_name(config.name, config.weights)
        known = labels_of_tag(name.partition(".")[2])
    else:
        published = torchvision_weights(config.name, config.weights)
        name, known = published.name, published.labels
    said = config.weights_labels
    if said is not None and known not in ("unknown", said):
        raise UsageError(f"network.weights_labels: {said!r}, but {name} was trained with {known!r}; leave the key out")
    return {"name": name, "sha256": file_digest(path), "labels": said or known}


def weights_file(config: NetworkConfig) -> Path | None:
    """The file of a network's weights: its own, or that of a name, downloaded into the usual cache if need be.

    Raises
    ------
    UsodError
        If there is no such file, or it cannot be downloaded.
    """
    if config.weights == "none":
        return None
    file = config.weights_file
    if file is not None:
        if not file.is_file():
            raise UsodError(f"weights: {missing_file(file)}")
        return file
    if config.name.startswith(TIMM):
        from usod.models.timm_weights import pretrained_file

        return pretrained_file(config.name, config.weights)
    return _torchvision_file(config.name, config.weights)


def _unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the backbone, out of whatever network it was saved in."""
    named = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    for inner in ("encoder_q.", "backbone.", "encoder."):
        # MoCo also saves the slowly moving encoder_k; A2S and others start from encoder_q.
        if any(name.startswith(inner) for name in named):
            named = {name.removeprefix(inner): tensor for name, tensor in named.items() if name.startswith(inner)}
    return {re.sub(r"^base\.(\d+)\.", r"layer\1.", name): tensor for name, tensor in named.items()}


def _recognised_labels(path: Path, config: NetworkConfig) -> str:
    """Of a file, which may be a copy of what the user has given."""
    if is_safetensors(path):
        try:
            header = read_model_header(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise not_whole(path, error) from error
        if header is not None:
            return header["labels"]
    model, _, tag = Path(config.weights).name.partition(".")
    if f"{TIMM}{model}" == config.name.partition(".")[0]:
        return labels_of_tag(tag.rpartition(".")[0])  # NAME.TAG.safetensors, as fetched by its name
    known = published_file(config.weights)
    if known is not None and _is_published(path, known):
        return known.labels
    tensors = {name.removeprefix("module."): tensor for name, tensor in read_tensors(path).items()}
    if any(name.startswith("encoder_q.") for name in tensors):
        return "none"
    if "base.0.0.weight" in tensors and "seg.weight" in tensors and len(tensors["seg.weight"]) == CITYSCAPES_CLASSES:
        return "ImageNet+Cityscapes"
    return "unknown"


def _is_published(path: Path, known: Published) -> bool:
    """Whether a file has the digest that its authors have published, if any."""
    if known.md5:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest().startswith(known.md5)
    return file_digest(path).startswith(known.sha256)


def torchvision_weights(backbone: str, name: str) -> Published:
    """torchvision's weights of a backbone; DEFAULT is its newest: retrained ones (V2) where there are any."""
    versions = [name] if name != "DEFAULT" else ["IMAGENET1K_V2", "IMAGENET1K_V1"]
    return next(known for version in versions if (known := published_name(f"{backbone}.{version}")))


def _torchvision_file(backbone: str, name: str) -> Path:
    """The file of torchvision's weights in torch's cache, downloaded and checked if it is not there yet."""
    known = torchvision_weights(backbone, name)
    file = Path(torch.hub.get_dir()) / "checkpoints" / known.file
    if not file.exists():
        try:
            download(known.url, file, known.sha256)
        except UsodError as error:
            raise UsodError(
                f"weights: {name} of {backbone}: {first_line(error)}; put that file at {file}, give the path of a copy "
                "as `weights`, or set `weights: none`"
            ) from error
    elif not file_digest(file).startswith(known.sha256):
        raise UsodError(f"weights: {file} is not the file that {known.url} names (damaged?); delete it and run again")
    return file
