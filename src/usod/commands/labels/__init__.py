"""`usod labels`: masks to and from the formats of annotation tools."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, help="Write masks for annotation tools and trainings; read corrected ones back."
)
Images = Annotated[Path | None, typer.Option(help="Folder of the images, as given to usod run.")]
Index = Annotated[Path | None, typer.Option(help="Or index.csv (usod data index).")]
Root = Annotated[Path | None, typer.Option(help="With --index: the images' folder, which names are relative to.")]


class FormatName(StrEnum):
    coco = "coco"
    yolo = "yolo"
    label_studio = "label-studio"
    cvat = "cvat"
    cvat_masks = "cvat-masks"
    voc = "voc"
    fiftyone = "fiftyone"
