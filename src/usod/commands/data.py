"""`usod data`: find images and masks, decode images. `check` and `demo` have files of their own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from usod.commands.options import Quiet, Workers
from usod.data.parallel import READERS

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


@app.command()
def index(
    root: Root,
    out: Annotated[Path, typer.Option(help="CSV: id, image, height, width, sha256, split.")],
    layout: Layout = "auto",
    split: Split = None,
    masks: Masks = None,
    without: Without = None,
    workers: Readers = READERS,
    quiet: Quiet = False,
) -> None:
    """List the images of a data set, each decoded once to prove that it can be. No mask is opened.

    Example: usod data index ECSSD --out index.csv
    """
    from usod.data.index import build_index, write_index
    from usod.progress import say

    table = build_index(root, layout, split, progress=True, masks_dir=masks, without=without, workers=workers)
    write_index(table, out)
    say(f"{out}: {len(table)} images, layout {table.attrs['layout']}, splits from {table.attrs['split_source']}")
    for note in table.attrs["notes"]:
        say(f"note: {note}")


@app.command()
def masks(
    root: Root,
    out: Annotated[Path, typer.Option(help="CSV: id, mask, threshold, foreground_share.")],
    layout: Layout = "auto",
    split: Split = None,
    masks: Masks = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Mask values above this share are salient.")] = 0.5,
    without: Without = None,
    workers: Readers = READERS,
    quiet: Quiet = False,
) -> None:
    """List the masks of a data set, under the ids of its images. Evaluation alone reads this list.

    Give the same --layout, --split, --masks and --without as to `usod data index`.

    Example: usod data masks ECSSD --out masks.csv
    """
    from usod.data.index import build_masks, write_index
    from usod.progress import say

    table = build_masks(root, layout, masks, threshold, split, progress=True, without=without, workers=workers)
    write_index(table, out)
    say(f"{out}: {len(table)} masks, salient above {threshold} of the full range")
    for note in table.attrs["notes"]:
        say(f"note: {note}")


@app.command()
def tags(
    index: Annotated[Path, typer.Option(help="CSV of `usod data index`.")],
    source: Annotated[
        str,
        typer.Option(help="CSV (id, tags), a folder of XML annotations (ImageNet DET, PASCAL VOC), or folders."),
    ],
    out: Annotated[Path, typer.Option(help="CSV: id, tags separated by semicolons.")],
    quiet: Quiet = False,
) -> None:
    """List which things are in each image (image-level tags, for `usod wss`).

    Example: usod data tags --index index.csv --source Annotations --out tags.csv
    """
    from usod.data.index import read_index
    from usod.data.tags import find_tags, write_tags
    from usod.progress import say

    table = read_index(index)
    found = find_tags(table["id"].tolist(), source, table["image"].tolist())
    write_tags(out, found)
    kinds = {tag for of_image in found.values() for tag in of_image}
    without = sum(not of_image for of_image in found.values())
    say(f"{out}: {len(kinds)} tags, {without} of {len(found)} images have none")


@app.command()
def images(
    index: Annotated[Path, typer.Option(help="Index of the images (usod data index).")],
    out: Annotated[Path, typer.Option(help="HDF5 file of the images at working size.")],
    size: Annotated[int, typer.Option(min=8, help="Side of the square working size in pixels.")] = 432,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Decode the images once, at working size.

    Example: usod data images --index index.csv --size 432 --out images.h5
    """
    from usod.data.index import read_index
    from usod.data.mapstore import write_images
    from usod.data.parallel import parallel_map
    from usod.progress import progress
    from usod.provenance import describe

    table = read_index(index)
    attributes = describe({"size": size}, {"index": index}) | {"created_by": "usod data images"}
    sizes = table[["height", "width"]].to_numpy()
    jobs = [(path, size, digest) for path, digest in zip(table["image"], table["sha256"], strict=True)]
    with write_images(out, list(table["id"]), (size, size), sizes, attributes) as rows:
        decoded = parallel_map(_decode, jobs, workers)
        for number, image in enumerate(progress(decoded, len(jobs), "decoding")):
            rows[number] = image


def _decode(job: tuple[str, int, str]) -> Any:
    from usod.data.images import inspect_image, read_image, resize_image
    from usod.errors import UsodError

    path, size, digest = job
    if inspect_image(path).sha256 != digest:
        raise UsodError(f"{path}: has changed since it was indexed; run `usod data index` again")
    return resize_image(read_image(path), (size, size))
