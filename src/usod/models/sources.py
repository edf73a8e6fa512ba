"""Where published weights come from; readable without torch."""

import re
from pathlib import Path

# Pattern of the file's name -> where it is to be had; {name} is replaced.
SOURCES: dict[str, str] = {
    r"(resnet|mobilenet|vgg).*-[0-9a-f]{8}\.pth": "https://download.pytorch.org/models/{name} (torchvision)",
    r"drn-d-\d+(_ms)?_cityscapes\.pth": "http://go.yf.io/drn-cityscapes-models, the page that "
    "https://github.com/fyu/drn names",
    r"drn[_-]d[_-]\d+-[0-9a-f]{8}\.pth": "https://github.com/fyu/drn, whose drn.py has the addresses",
    r"moco_v2_200ep_pretrain\.pth\.tar": "https://dl.fbaipublicfiles.com/moco/moco_checkpoints/moco_v2_200ep/{name} "
    "(page: https://github.com/facebookresearch/moco)",
    r"moco_v2_800ep_pretrain\.pth\.tar": "https://dl.fbaipublicfiles.com/moco/moco_checkpoints/moco_v2_800ep/{name} "
    "(page: https://github.com/facebookresearch/moco)",
}


def where_from(file: str | Path) -> str | None:
    """Where a file of published weights is to be had, known by its name; None for any other file."""
    name = Path(file).name
    places = (place for pattern, place in SOURCES.items() if re.fullmatch(pattern, name, flags=re.IGNORECASE))
    return next((place.format(name=name) for place in places), None)


def missing_file(file: str | Path) -> str:
    """What to say where weights are given as a file that is not there: one line, without the key's name."""
    path = Path(file).expanduser()
    resolved = "" if path.is_absolute() else f" ({path.resolve()})"
    place = where_from(path)
    way_out = f"put it there, from {place}" if place else "correct the path"
    return f"there is no file {file}{resolved}; {way_out}, or set `weights: none`"
