"""Where the workflow lies that belongs to this package: inside an installed one, beside the sources of a checkout."""

from pathlib import Path

from usod.errors import UsodError
from usod.provenance import PACKAGE, checkout


def workflow_folder() -> Path:
    """The folder that holds `Snakefile`, `config.yaml`, `workflow/` and `envs/`.

    Raises
    ------
    UsodError
        If usod was installed without them.
    """
    folder = checkout() or PACKAGE / "bundled"
    if (folder / "Snakefile").is_file():
        return folder
    raise UsodError(f"{PACKAGE}: the workflow is not with this installation of usod; install it again")


def presets() -> dict[str, Path]:
    """Name -> file of the configurations that come with usod; `demo` is the default one, `config.yaml`."""
    folder = workflow_folder()
    files = sorted((folder / "workflow/presets").glob("*.yaml"))
    return {"demo": folder / "config.yaml"} | {file.stem: file for file in files}
