"""`usod data`: find and check images and masks, decode images, draw the demo scenes."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Find and check images and masks; draw the demo scenes.")
Root = Annotated[Path, typer.Argument(help="Folder of the data set, as unpacked, or any tree of images.")]
Layout = Annotated[str, typer.Option(help="A native layout by name, or auto.")]
Masks = Annotated[
    Path | None,
    typer.Option(
        "--masks", help="Folder of the masks, where the layout does not say it: none of its files is an image."
    ),
]
Without = Annotated[
    list[Path] | None,
    typer.Option(help="A folder whose files are not seen, such as that of the results; may be repeated."),
]
Readers = Annotated[int, typer.Option("--workers", min=1, help="Threads that read the files.")]
Split = Annotated[str | None, typer.Option(help="Only the images of this split (train, val, test, ...).")]
