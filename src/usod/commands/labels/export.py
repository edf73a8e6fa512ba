"""`usod labels export`: masks in the formats of annotation tools."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from usod.commands.labels import FormatName, Images, Index, app, read_photos
from usod.commands.options import Corrections, Count, Device, Only, Part, Quiet, Root, Threads


class ImageFiles(StrEnum):
    auto = "auto"
    none = "none"
    link = "link"
    copy = "copy"


@app.command()
def export(
    source: Annotated[Path, typer.Argument(help="MapStore (.h5), folder of masks or maps, or model.safetensors.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make, or a .zip file.")],
    format: Annotated[FormatName, typer.Option(help="What it is for.")],
    images: Images = None,
    index: Index = None,
    root: Root = None,
    part: Part = None,
    only: Only = None,
    count: Count = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="One object per connected component (8 neighbours), not per image.")
    ] = False,
    smallest: Annotated[float, typer.Option(min=0, max=1, help="Drop components below this share of the image.")] = 0.0,
    label: Annotated[str, typer.Option("--class", help="Name of the objects' class.")] = "salient",
    threshold: Annotated[str, typer.Option(help="A number from 0 to 1, adaptive (twice the mean), or otsu.")] = "0.5",
    polygons: Annotated[
        bool, typer.Option("--polygons/--rle", help="coco, fiftyone, cvat, label-studio: polygons, or run lengths.")
    ] = False,
    simplify: Annotated[
        float, typer.Option(min=0, help="Tolerance of polygons in pixels, for fewer points; 0: exact.")
    ] = 0.0,
    image_url: Annotated[
        str, typer.Option(help="label-studio: what comes before an image's name in its address.")
    ] = "/data/local-files/?d=",
    image_files: Annotated[
        ImageFiles, typer.Option(help="Put the images beside the labels; auto: link for yolo, voc and fiftyone.")
    ] = ImageFiles.auto,
    corrections: Corrections = None,
    device: Device = "auto",
    threads: Threads = 0,
    quiet: Quiet = False,
) -> None:
    """Write masks for COCO, YOLO, Label Studio, CVAT, VOC or FiftyOne.

    Example: usod labels export results/masks/photos/deepusps-seed0 --images photos --out coco --format coco --instances
    """
    import numpy as np

    from usod.data.listed import listed
    from usod.errors import UsageError
    from usod.inference.render import binarise
    from usod.labels.exporting import export_labels
    from usod.labels.formats import open_format
    from usod.labels.formats.base import Options
    from usod.labels.sources import open_source
    from usod.progress import say

    binarise(np.zeros((1, 1)), threshold)  # a wrong one is refused before any work
    if images is not None and out.suffix != ".zip" and out.resolve().is_relative_to(images.resolve()):
        # The next run would take its files for photographs.
        raise UsageError(f"--out {out}: lies among the images of {images}; give a folder beside them, or a .zip file")
    if not label.strip() or any(mark in label for mark in ":\n\r"):
        raise UsageError(f"--class {label!r}: give a name without colons")
    if source.suffix == ".safetensors":
        from usod.devices import start_device

        start_device(device, threads)
    found = open_source(source, read_photos(images, index, root, part), device)
    if found.unknown:
        say(f"{source}: {len(found.unknown)} maps have no image here and are left out, e.g. {found.unknown[0]}")
    if only is not None:
        of_id = {photo.id: photo for photo in found.photos}
        found.photos = [of_id[key] for key in listed(only, of_id, count)]
    placed = open_format(format.value).IMAGE_FILES if image_files is ImageFiles.auto else image_files.value
    options = Options(label, polygons, simplify, placed, image_url)  # type: ignore[arg-type]
    export_labels(found, out, format.value, options, threshold, instances, smallest, corrections)
