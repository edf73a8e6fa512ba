"""`usod data leaks`: images that two data sets share."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.data import Readers, app
from usod.commands.options import Quiet
from usod.data.parallel import READERS


@app.command()
def leaks(
    a: Annotated[Path, typer.Argument(help="Training images: a folder, or an index.csv (usod data index).")],
    b: Annotated[Path, typer.Argument(help="Test images, the same.")],
    csv: Annotated[Path | None, typer.Option(help="Table of the pairs: a, b, how, bits, correlation.")] = None,
    workers: Readers = READERS,
    quiet: Quiet = False,
) -> None:
    """Find the images that two data sets share: equal files, and scaled, compressed, grey or slightly cropped copies.

    Example: usod data leaks MSRA-B ECSSD --csv leaks.csv
    """
    from usod.data.index import build_index, read_index
    from usod.data.leaks import find_leaks, leaked
    from usod.files import atomic_path

    one, other = (
        build_index(path, progress=True, workers=workers) if path.is_dir() else read_index(path) for path in (a, b)
    )
    pairs = find_leaks(one, other, workers)
    if csv is not None:
        with atomic_path(csv) as temporary:
            pairs.to_csv(temporary, index=False, float_format="%.3f")
    for pair in pairs.to_dict("records"):
        print(f"{pair['a']} = {pair['b']} ({pair['how']}, {pair['bits']} bits, {pair['correlation']:.2f})")
    print(leaked(pairs, str(a), str(b)) or f"no image of {b} looks like one of {a}")
