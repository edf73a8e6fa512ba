"""What stands in the report: one list, of which the workflow makes the files and the page shows them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def contents(plan: "Plan", caption: Callable[[str], str], files: Sequence[str]) -> dict[str, Any]:
    """What `usod report page` puts together.

    Parameters
    ----------
    plan : what is made
    caption : name of a caption -> its text, a template of Jinja as Snakemake's own report takes it
    files : where each of `figures` lies now

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
