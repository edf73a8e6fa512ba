"""`usod data`: find and check images and masks, decode images, draw the demo scenes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usod.errors import UsageError

if TYPE_CHECKING:
    from usod.data.tags import TagChoice

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
Tags = Annotated[
    str | None, typer.Option(help="Where the tags of the images are, as for `usod data tags`; for the next two.")
]
OnlyTags = Annotated[list[str] | None, typer.Option("--only-tag", help="Only images with it; may be repeated.")]
WithoutTags = Annotated[list[str] | None, typer.Option("--without-tag", help="No image with it; may be repeated.")]
Split = Annotated[str | None, typer.Option(help="Only the images of this split (train, val, test, ...).")]


def tag_choice(tags: str | None, only: list[str] | None, without: list[str] | None) -> "TagChoice | None":
    """What the three options say. Raises UsageError where tags are named and their source is not."""
    from usod.data.tags import TagChoice

    if tags is None and (only or without):
        raise UsageError("--only-tag, --without-tag: say where the tags are, --tags")
    return None if tags is None else TagChoice(tags, only or (), without or ())
