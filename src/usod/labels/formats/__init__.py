"""The formats, by their names on the command line."""

from importlib import import_module
from pathlib import Path
from typing import Any, cast, get_args

from usod.errors import UsodError
from usod.labels.formats.base import Format, read_json
from usod.settings.names import LabelFormat

FORMATS = get_args(LabelFormat)


def open_format(name: str) -> Format:
    """The module of a format."""
    return cast(Format, import_module(f"{__name__}.{name.replace('-', '_')}"))


def detect(path: Path) -> str:
    """The format of an export.

    Raises
    ------
    UsodError
        If it is none of these, or several.
    """
    if path.is_file():
        if path.suffix.lower() == ".xml":
            return "cvat"
        if path.suffix.lower() == ".json":
            return _of_json(read_json(path)) or _unknown(path)
        return _unknown(path)
    if any(path.rglob("SegmentationClass")):
        return "voc"
    if any(folder.is_dir() and any(folder.rglob("*.txt")) for folder in path.rglob("labels")):
        return "yolo"
    found = {kind for file in sorted(path.rglob("*.json")) if (kind := _of_json(read_json(file)))}
    if any(path.rglob("annotations.xml")):
        found.add("cvat")
    return found.pop() if len(found) == 1 else _unknown(path, sorted(found))


def _of_json(content: Any) -> str | None:
    from usod.labels.formats.coco import is_coco
    from usod.labels.formats.label_studio import is_label_studio

    return "coco" if is_coco(content) else "label-studio" if is_label_studio(content) else None


def _unknown(path: Path, found: list[str] | None = None) -> Any:
    what = f"holds several formats ({', '.join(found)})" if found else "is no export that usod knows"
    raise UsodError(f"{path}: {what}; say which with --format: {', '.join(FORMATS)}")
