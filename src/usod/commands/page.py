"""`usod report costs`, `provenance`, `page`: what a run cost, what it was made from, and its report in one page."""

import json
from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet, named_paths
from usod.errors import UsageError


def costs(
    results: Annotated[Path, typer.Argument(help="Folder of the workflow's results.")],
    csv: Annotated[Path, typer.Option(help="Table as CSV.")],
    markdown: Annotated[Path | None, typer.Option(help="Table as Markdown.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Table as LaTeX.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Bars: .svg, .pdf or .png.")] = None,
    quiet: Quiet = False,
) -> None:
    """Sum up time and memory of every step.

    Example: usod report costs results --csv costs.csv --figure costs.svg
    """
    from usod.reporting.costs import cost_figure, cost_table, write_costs
    from usod.reporting.figures import save
    from usod.systems.descriptions import SYSTEMS

    table = cost_table(results, {name: system.step for name, system in SYSTEMS.items()})
    for path in (csv, markdown, latex):
        if path is not None:
            write_costs(table, path)
    if figure is not None:
        save(cost_figure(table), figure)


def provenance(
    out: Annotated[Path, typer.Option(help="Markdown file to write.")],
    index: Annotated[list[str], typer.Option(help="NAME=index.csv, once per data set.")],
    model: Annotated[list[str] | None, typer.Option(help="NAME=model.safetensors, once per network.")] = None,
    config: Annotated[str, typer.Option(help="The configuration in force, as JSON.")] = "{}",
    quiet: Quiet = False,
) -> None:
    """Write down data, networks, settings and software of a run.

    Example: usod report provenance --index ECSSD=results/ECSSD/index.csv --out provenance.md
    """
    from usod.files import write_text
    from usod.reporting.provenance_page import provenance_page

    try:
        settings = json.loads(config)
    except ValueError as error:
        raise UsageError(f"--config: not JSON: {error}") from error
    write_text(out, provenance_page(named_paths(index, "--index"), named_paths(model or [], "--model"), settings))


def page(
    plan: Annotated[str, typer.Option(help="JSON: title, intro, chapters (title, items (title, caption, file)).")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
    quiet: Quiet = False,
) -> None:
    """Put pictures and tables into one page that needs nothing else.

    Example: usod report page --out report.html --plan '{"title": "T", "chapters": [{"title": "Scores", "items":
    [{"file": "scores.md"}]}]}'
    """
    from usod.files import write_text
    from usod.reporting.page import make_page, parse_plan

    try:
        values = json.loads(plan)
    except ValueError as error:
        raise UsageError(f"--plan: not JSON: {error}") from error
    write_text(out, make_page(parse_plan(values)))
