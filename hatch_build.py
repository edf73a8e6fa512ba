"""Build hooks: the workflow goes into the wheel, and the README's links lead somewhere without the checkout.

The repository keeps its workflow at the top level, where Snakemake looks for it. In a wheel the same files, in the same
places relative to each other, lie in `usod/bundled`; an editable install has none and uses the checkout's.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

BUNDLED = ("Snakefile", "config.yaml", "workflow", "envs")
# [text](target) and ![text](target); targets that stand for themselves have a scheme.
LINK = re.compile(r"(!?)\[([^\]]+)\]\((?![a-z]+:)([^)\s]+)\)")


class CustomBuildHook(BuildHookInterface):
    """The workflow becomes part of the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_data["force_include"].update({name: f"usod/bundled/{name}" for name in BUNDLED})


class CustomMetadataHook(MetadataHookInterface):
    """The project's page: the README with its relative links followed to the repository, or named where it has none."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        repository = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute_links(text, repository)}


def absolute_links(text: str, repository: str | None) -> str:
    """Markdown whose relative links lead to the files of `repository` (an address on GitHub or one that works like it).

    Without a repository a picture is left out, and a link becomes its text and the name of the file, which is in the
    source archive.
    """

    def replaced(link: re.Match[str]) -> str:
        picture, label, target = link.groups()
        if repository:
            kind = "raw" if picture else "blob"
            where = f"{repository}{target}" if target.startswith("#") else f"{repository}/{kind}/HEAD/{target}"
            return f"{picture}[{label}]({where})"
        if picture:
            return ""
        return label if target.startswith("#") else f"{label} (`{target.partition('#')[0]}`)"

    return LINK.sub(replaced, text)
