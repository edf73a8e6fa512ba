"""`usod data`: find images and masks, check a data set, decode it, draw the demo scenes."""

from pathlib import Path
from typing import Annotated, Any

import typer

from usod.commands.options import Quiet, Workers

app = typer.Typer(no_args_is_help=True, help="Find and check images and masks; draw the demo scenes.")
Root = Annotated[Path, typer.Argument(help="Folder of the data set, as unpacked, or any tree of images.")]
Layout = Annotated[str, typer.Option(help="A native layout by name, or auto.")]
Split = Annotated[str | None, typer.Option(help="Only the images of this split (train, val, test, ...).")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write images/, masks/, tags.csv and split.csv to.")],
    train: Annotated[int, typer.Option(min=0, help="Scenes to train on.")] = 160,
    test: Annotated[int, typer.Option(min=0, help="Unseen scenes to test on.")] = 80,
    size: Annotated[int, typer.Option(min=32, max=1024, help="Longer side in pixels.")] = 160,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same scenes.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Draw scenes with textured salient objects, their exact masks and their tags.

    Example: usod data demo --out scenes --train 160 --test 80
    """
    from usod.data.scenes import write_demo

    write_demo(out, train=train, test=test, size=size, seed=seed)


@app.command()
def index(
    root: Root,
    out: Annotated[Path, typer.Option(help="CSV: id, image, height, width, sha256, split.")],
    layout: Layout = "auto",
    split: Split = None,
    quiet: Quiet = False,
) -> None:
    """List the images of a data set, each decoded once to prove that it can be. No mask is opened.

    Example: usod data index ECSSD --out index.csv
    """
    from usod.data.index import build_index, write_index
    from usod.progress import say

    table = build_index(root, layout, split, progress=True)
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
    masks: Annotated[Path | None, typer.Option(help="Folder of masks kept elsewhere.")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Mask values above this share are salient.")] = 0.5,
    quiet: Quiet = False,
) -> None:
    """List the masks of a data set, under the ids of its images. Evaluation alone reads this list.

    Example: usod data masks ECSSD --out masks.csv
    """
    from usod.data.index import build_masks, write_index
    from usod.progress import say

    table = build_masks(root, layout, masks, threshold, split, progress=True)
    write_index(table, out)
    say(f"{out}: {len(table)} masks, salient above {threshold} of the full range")
    for note in table.attrs["notes"]:
        say(f"note: {note}")


@app.command()
def check(root: Root, layout: Layout = "auto", quiet: Quiet = False) -> None:
    """Check a data set: layout, counts, unmatched names, sizes, masks, unreadable and stray files.

    Example: usod data check ECSSD
    """
    from usod.data.check import check as run_check

    report = run_check(root, layout, progress=True)
    for line in report.lines():
        print(line)
    raise typer.Exit(0 if report.ok else 1)


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
