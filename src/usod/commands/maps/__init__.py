"""`usod maps`: handcrafted maps, and MapStores to and from folders of PNG files."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Extract handcrafted maps; turn MapStores into PNG files and back.")
Store = Annotated[Path, typer.Argument(help="MapStore (.h5).")]
Out = Annotated[Path, typer.Option(help="MapStore to write (.h5).")]
Index = Annotated[Path, typer.Option(help="Index of the images (usod data index).")]
Size = Annotated[int, typer.Option(min=8, help="Side of the square working size in pixels.")]
