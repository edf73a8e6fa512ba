"""`usod export`: a trained network as ONNX."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet


def export(
    model: Annotated[Path, typer.Argument(help="model.safetensors of a stage, a fusion, or `usod ldps train`.")],
    out: Annotated[Path, typer.Argument(help="ONNX file to write.")],
    quiet: Quiet = False,
) -> None:
    """Write a network as ONNX, for any batch and size, checked against PyTorch.

    Example: usod export model.safetensors model.onnx
    """
    from usod.inference.export import export_onnx
    from usod.progress import say

    difference = export_onnx(model, out)
    say(f"{out}: differs from PyTorch by at most {difference:.1g}")
