"""The templates of the report's pages: HTML, styles and scripts in files of their own, put into one page each."""

import hashlib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_FOLDER = "templates"


def render(template: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """`TEMPLATE.html` with these values; its style and script stand in it by `include`."""
    environment = Environment(
        loader=PackageLoader(__package__, _FOLDER),
        autoescape=lambda file: file is not None and file.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters |= filters or {}
    return environment.get_template(f"{template}.html").render(values)


def look(name: str) -> str:
    """A digest of a template and what it includes: with it as a parameter, a rule follows an edit of its page."""
    whole = hashlib.sha256()
    files = [file for file in resources.files(__package__).joinpath(_FOLDER).iterdir() if file.name.startswith(name)]
    for file in sorted(files, key=lambda file: file.name):
        whole.update(file.read_bytes())
    return whole.hexdigest()[:16]
