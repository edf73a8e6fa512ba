"""`usod export`: a trained network as ONNX, with its model card; or a copy of it that says its CRF."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet, named_paths
from usod.errors import UsageError


def export(
    model: Annotated[Path, typer.Argument(help="model.safetensors of a stage, a fusion, or `usod ldps train`.")],
    out: Annotated[
        Path,
        typer.Argument(
            help="ONNX file to write, its card beside it as .md; or a .safetensors file: a copy with --crf."
        ),
    ],
    score: Annotated[
        list[str] | None, typer.Option(help="TESTSET=score.json of this network, for the card; once per test set.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="NAME=index.csv of the images it was trained on, for the card.")
    ] = None,
    rembg: Annotated[
        bool, typer.Option("--rembg", help="For rembg's u2net_custom, which prepares images in its own way.")
    ] = False,
    crf: Annotated[
        str | None,
        typer.Option(help="Of a .safetensors copy: the dense CRF that `usod predict` uses; none, JSON or a YAML file."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Write a network as ONNX, for any batch and size, checked against PyTorch, and its model card.

    Example: usod export model.safetensors model.onnx --score ECSSD=results/scores/ECSSD/deepusps-seed0.json
    """
    if out.suffix == ".safetensors":
        _copy(model, out, crf, bool(score or data or rembg))
        return
    if crf is not None:
        raise UsageError(f"--crf: an ONNX graph has none; leave it out, or write {out.with_suffix('.safetensors')}")
    from usod.data.index import read_index
    from usod.files import write_text
    from usod.inference.export import export_onnx
    from usod.progress import say
    from usod.reporting.model_card import model_card

    indices = {name: read_index(path) for name, path in named_paths(data or [], "--data").items()}
    card = model_card(model, named_paths(score or [], "--score"), indices)
    difference = export_onnx(model, out, rembg)
    write_text(out.with_suffix(".md"), card)
    say(f"{out}: differs from PyTorch by at most {difference:.1g}; its card: {out.with_suffix('.md')}")


def _copy(model: Path, out: Path, crf: str | None, more: bool) -> None:
    from usod.models.model_file import copy_with_crf
    from usod.progress import say
    from usod.settings.sections import CrfConfig, parse_section

    if more or crf is None:
        raise UsageError(f"{out}: of a .safetensors copy only --crf is said, and must be; without one: --crf none")
    copy_with_crf(model, out, None if crf == "none" else parse_section(CrfConfig, crf, "--crf"))
    say(f"{out}: the model, with its CRF")
