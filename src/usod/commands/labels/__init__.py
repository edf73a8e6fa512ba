"""`usod labels`: masks to and from the formats of annotation tools."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usod.commands.options import image_folders
from usod.errors import UsageError

if TYPE_CHECKING:
    from usod.labels.photos import Photo

app = typer.Typer(
    no_args_is_help=True, help="Write masks for annotation tools and trainings; read corrected ones back."
)
Images = Annotated[Path | None, typer.Option(help="Folder of the images, as given to usod run.")]
Index = Annotated[Path | None, typer.Option(help="Or index.csv (usod data index).")]


class FormatName(StrEnum):
    coco = "coco"
    yolo = "yolo"
    label_studio = "label-studio"
    cvat = "cvat"
    cvat_masks = "cvat-masks"
    voc = "voc"
    fiftyone = "fiftyone"


def read_photos(images: Path | None, index: Path | None, root: Path | None, part: list[str] | None) -> list["Photo"]:
    """The images that `--images`, `--index`, `--root` and `--part` name.

    Raises
    ------
    UsageError
        If they are not named, or in two ways.
    """
    from usod.labels.photos import photos_of

    if (images is not None) + (index is not None or bool(part)) != 1 or (root is not None and index is None):
        raise UsageError(
            "give the images: either --images FOLDER or --index index.csv (with --root FOLDER), or for several folders "
            "--part NAME=FOLDER of each"
        )
    return photos_of({"": images} if images is not None else image_folders(root, part), index)
