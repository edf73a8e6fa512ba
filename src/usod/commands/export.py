"""`usod export`: a trained network as ONNX, with its model card."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet, named_paths


def export(
    model: Annotated[Path, typer.Argument(help="model.safetensors of a stage, a fusion, or `usod ldps train`.")],
    out: Annotated[Path, typer.Argument(help="ONNX file to write; its card is written beside it, as .md.")],
    score: Annotated[
        list[str] | None, typer.Option(help="TESTSET=score.json of this network, for the card; once per test set.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="NAME=index.csv of the images it was trained on, for the card.")
    ] = None,
    rembg: Annotated[
        bool, typer.Option("--rembg", help="For rembg's u2net_custom, which prepares images in its own way.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write a network as ONNX, for any batch and size, checked against PyTorch, and its model card.

    Example: usod export model.safetensors model.onnx --score ECSSD=results/scores/ECSSD/deepusps-seed0.json
    """
    from usod.data.index import read_index
    from usod.files import write_text
    from usod.inference.export import export_onnx
    from usod.progress import say
    from usod.reporting.model_card import model_card

    images = {name: len(read_index(path)) for name, path in named_paths(data or [], "--data").items()}
    card = model_card(model, named_paths(score or [], "--score"), images)
    difference = export_onnx(model, out, rembg)
    write_text(out.with_suffix(".md"), card)
    say(f"{out}: differs from PyTorch by at most {difference:.1g}; its card: {out.with_suffix('.md')}")
