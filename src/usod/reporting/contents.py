"""What stands in the report: one list, of which the workflow makes the files and the page shows them."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined, TemplateError

from usod.errors import UsageError
from usod.systems.description import Figure

if TYPE_CHECKING:
    from usod.plan import Plan


def figures(plan: "Plan") -> list[Figure]:
    """Every table and picture of the report, in its order.

    Raises
    ------
    UsageError
        If the configuration asks for a table of variants that it cannot have.
    """
    config, train, scored = plan.settings, plan.settings.train, plan.scored_sets()
    methods = list(plan.chains())

    found = []
    for name in scored:
        found.append(Figure("Scores", f"scores-{name}.md", "scores", name, {"testset": name}))
        found.append(Figure("Scores", f"curves-{name}.svg", "curves", wildcards={"testset": name}))
    for name in dict.fromkeys([*config.test, *scored, train]):
        found.append(Figure("Pictures", f"examples-{name}.png", "examples", name, {"testset": name}))
    for name in scored if methods else []:
        found.append(Figure("Labels by stage", f"stages-{name}.svg", "label_quality", name, {"testset": name}))
    for method in methods:
        wildcards = {"dataset": train, "method": method}
        found.append(Figure("Labels by stage", f"evolution-{train}-{method}.png", "evolution", method, wildcards))
    made = [part.name for part in plan.made]
    for system in config.registry.values():
        found += system.figures(config, made)
    for table in config.ablations:
        found += plan.ablation_figures(Path(table).stem)
    if plan.doubted(train):
        found.append(Figure("Images to look at", f"doubts-{train}.png", "doubts", wildcards={"dataset": train}))
    if plan.trained:
        found.append(Figure("Training", f"training-{train}.svg", "training", wildcards={"dataset": train}))
    found += [Figure("Time and memory", f"costs.{ending}", "costs") for ending in ("svg", "md")]
    return [*found, Figure("Data, networks, software", "provenance.md", "provenance")]


def report_path(figure: Figure) -> str:
    """Where it lies, from the working folder."""
    return f"results/report/{figure.file}"


def first_pictures(plan: "Plan") -> list[str]:
    """What the page begins with: images, the maps of their masks, human masks if any; empty without a final system."""
    train = plan.settings.train
    human = [f"results/{train}/corrections.h5"] if plan.settings.corrections else []
    return [f"results/{train}/images.h5", plan.maps(train, plan.finals[0]), *human] if plan.finals else []


def steps(plan: "Plan") -> list[dict[str, Any]]:
    """What a user does next with the results; links lead from results/report."""
    train, found = plan.settings.train, []
    for system in plan.finals[:1]:
        masks = plan.masks(train, system)
        text = "Black and white PNG files at the images' own sizes, named and placed like them:"
        found.append({"title": "Take the masks", "text": text, "links": [_link(masks, masks)]})
    for model in plan.models[:1]:
        text = "The network that was learnt, for images that it has not seen:"
        command = f"usod predict {model} MORE --out masks --type mask"
        found.append({"title": "Mask other images", "text": text, "command": command})
    links = [_link("Gallery", "results/report/gallery/index.html")] if plan.settings.report.gallery else []
    if plan.doubted(train):
        table = f"results/report/doubts-{train}.csv"
        links.append(_link(Path(table).name, table))
    if links:
        text = "All images with their masks and maps, the most doubtful first; tick those to mend and save the list."
        found.append({"title": "See what went wrong", "text": text, "links": links})
    last = {"title": "Correct and train again"}
    text = "With corrections: FOLDER in the configuration the next run learns mended masks as true"
    if plan.finals and plan.doubted(train):
        text += ", such as usod labels import brings back. The most doubtful ones to a labelling tool:"
        command = f"usod labels export {plan.masks(train, plan.finals[0])} --index results/{train}/index.csv"
        command += f" --only results/report/doubts-{train}.csv --count 20 --out to-mend --format label-studio"
        return [*found, last | {"text": text, "command": command}]
    return [*found, last | {"text": f"{text}, PNG files named like the images."}]


def _link(text: str, file: str) -> dict[str, str]:
    return {"text": text, "to": quote(os.path.relpath(file, "results/report"))}


def contents(
    plan: "Plan", caption: Callable[[str], str], files: Sequence[str], first: Sequence[str] = ()
) -> dict[str, Any]:
    """What `usod report page` puts together.

    Parameters
    ----------
    plan : what is made
    caption : name of a caption -> its text, a template of Jinja as Snakemake's own report takes it
    files : where each of `figures` lies now
    first : the same of `first_pictures`

    Raises
    ------
    UsageError
        If a caption is no template, or names what it is not given.
    """
    chapters: dict[str, list[dict[str, str]]] = {}
    for figure, file in zip(figures(plan), files, strict=True):
        item = {"title": figure.title, "caption": _caption(figure, caption), "file": file}
        chapters.setdefault(figure.chapter, []).append(item)
    return {
        "title": f"Saliency masks for {plan.settings.train}: {', '.join(plan.finals)}",
        "intro": caption("workflow"),
        "first": dict(zip(("images", "maps", "corrections"), first, strict=False)) if first else None,
        "steps": steps(plan),
        "chapters": [{"title": title, "items": items} for title, items in chapters.items()],
    }


def _caption(figure: Figure, caption: Callable[[str], str]) -> str:
    template = figure.text or caption(figure.caption)
    try:
        # The names are those that Snakemake gives to the caption of a rule's output.
        return (
            Environment(undefined=StrictUndefined)
            .from_string(template)
            .render(snakemake={"wildcards": dict(figure.wildcards)})
        )
    except TemplateError as error:
        raise UsageError(f"caption of {figure.file}: {error}") from error
