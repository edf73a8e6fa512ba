"""`usod labels import`: corrected masks of annotation tools."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.labels import FormatName, Images, Index, app, read_photos
from usod.commands.options import Part, Quiet, Root


@app.command("import")
def import_labels(
    source: Annotated[Path, typer.Argument(help="What the tool has exported: file, folder or .zip.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for a black and white PNG file per image, ID.png.")],
    images: Images = None,
    index: Index = None,
    root: Root = None,
    part: Part = None,
    format: Annotated[FormatName | None, typer.Option(help="Its format; else it is detected.")] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="Only objects of this class; may be repeated.")
    ] = None,
    with_empty: Annotated[
        bool, typer.Option("--with-empty", help="An image without any label was looked at: an empty mask.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Read corrected masks back: all objects of an image as one mask, named like its id.

    Example: usod labels import project-1.json --images photos --out corrected
    """
    from usod.labels.importing import import_labels

    chosen = frozenset(classes or [])
    import_labels(source, out, read_photos(images, index, root, part), format and format.value, chosen, with_empty)
