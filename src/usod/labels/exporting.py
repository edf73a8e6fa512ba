"""`usod labels export`: maps of images into a folder or zip file of some format."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from usod.data.images import resize_map
from usod.data.mapstore import MapStore
from usod.errors import UsageError
from usod.files import UMASK, atomic_path, explained
from usod.inference.render import binarise
from usod.labels.formats import open_format
from usod.labels.formats.base import Options
from usod.labels.instances import Labelled, instances_of
from usod.labels.sources import Source
from usod.progress import progress, say


def labelled(
    source: Source, threshold: str | float, split: bool, smallest: float, corrections: Path | None = None
) -> Iterator[Labelled]:
    """The images of a source with their objects (`usod.labels.instances`), one at a time; human masks as drawn."""
    with MapStore(corrections) if corrections else nullcontext() as human:
        for photo, saliency in progress(iter(source), len(source.photos), "exporting"):
            if human is not None and photo.id in human:
                drawn = resize_map(human[photo.id], photo.size)
                yield Labelled(photo, drawn.shape, instances_of(drawn > 0.5, drawn, split))
            else:
                mask = binarise(saliency, threshold)
                yield Labelled(photo, mask.shape, instances_of(mask, saliency, split, smallest))


def export_labels(
    source: Source,
    out: Path,
    name: str,
    options: Options,
    threshold: str | float = 0.5,
    split: bool = False,
    smallest: float = 0.0,
    corrections: Path | None = None,
) -> None:
    """Write labels in a format, whole or not at all.

    Parameters
    ----------
    out : folder, not there yet or empty; a name that ends with .zip: its content as a zip file
    name : of the format (`usod.labels.formats.FORMATS`)
    threshold : see `usod.inference.render.binarise`
    split, smallest : see `usod.labels.instances.instances_of`
    corrections : MapStore of human masks of some images (`usod data corrections`), which take the place of their maps

    Raises
    ------
    UsageError
        If `out` is a file, or a folder that holds something.
    """
    packed = out.suffix.lower() == ".zip"
    if not packed:
        _require_empty(out)
    with explained(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    counts = {"images": 0, "objects": 0, "empty": 0}
    turned: list[str] = []

    def counted() -> Iterator[Labelled]:
        for image in labelled(source, threshold, split, smallest, corrections):
            counts["images"] += 1
            counts["objects"] += len(image.instances)
            counts["empty"] += not image.instances
            turned.extend([image.photo.name] if image.photo.turned else [])
            yield image

    try:
        open_format(name).write(counted(), made, options)
        if packed:
            _pack(made, out)
        else:
            with explained(out):
                made.chmod(0o777 & ~UMASK)
                if out.exists():
                    out.rmdir()
                made.rename(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    say(f"{out}: {counts['images']} images, {counts['objects']} objects, {counts['empty']} images without any")
    if turned and options.image_files == "none":
        say(
            f"{len(turned)} images are turned by EXIF (e.g. {turned[0]}): the labels fit what is seen upright; for a "
            "tool that ignores EXIF say --image-files copy"
        )


def _require_empty(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "holds files already" if out.is_dir() else "is a file"
        raise UsageError(f"--out {out}: {what}; give a folder that is new or empty, or a .zip file")


def _pack(folder: Path, out: Path) -> None:
    with atomic_path(out) as temporary:
        archive = shutil.make_archive(str(temporary), "zip", folder)  # adds .zip to the name
        Path(archive).replace(temporary)
