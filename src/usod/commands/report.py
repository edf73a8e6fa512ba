"""`usod report`: tables and figures from scores, maps and histories."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from usod.commands.options import Quiet, named_paths
from usod.errors import UsageError, UsodError

app = typer.Typer(no_args_is_help=True, help="Tables and figures from scores, maps and training histories.")
Scores = Annotated[list[Path], typer.Argument(help="JSON files of `usod evaluate`, named SYSTEM.json.")]
Figure = Annotated[Path, typer.Option(help="Figure to write: .svg, .pdf or .png.")]


@app.command()
def scores(
    files: Scores,
    csv: Annotated[Path, typer.Option(help="Table as CSV, fractions, all columns.")],
    markdown: Annotated[Path | None, typer.Option(help="Table as Markdown, percent.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Table as LaTeX, percent.")] = None,
    published: Annotated[str, typer.Option(help="Name of the test set in published tables, or none.")] = "none",
    reference: Annotated[
        str,
        typer.Option(
            help="The published table: deepusps_table1, ... (`usod.reporting.published`), or none. Its F is ours."
        ),
    ] = "deepusps_table1",
    quiet: Quiet = False,
) -> None:
    """Put the scores of all systems into one table, beside the published rows of the same test set.

    Example: usod report scores results/scores/ecssd/*.json --published ECSSD --csv scores.csv
    """
    from usod.reporting.published import own_f
    from usod.reporting.tables import score_table, write_table

    systems = {file.stem: file for file in files}
    table = score_table(
        systems,
        published,
        reference=None if "none" in (published, reference) else reference,
        f=own_f(reference),
    )
    for path in (csv, markdown, latex):
        if path is not None:
            write_table(table, path)


@app.command()
def curves(
    files: Scores,
    out: Figure,
    systems: Annotated[str, typer.Option(help="Systems to draw, separated by blanks; none: all.")] = "",
    quiet: Quiet = False,
) -> None:
    """Draw precision-recall and F-threshold curves.

    Example: usod report curves results/scores/ecssd/*.json --out curves.svg
    """
    from usod.reporting.figures import curves_figure, save

    scores = _read_scores(files)
    wanted = systems.split() or list(scores)
    for name in wanted:
        if name not in scores:
            raise UsageError(f"--systems {name}: no score of that name; there are {', '.join(scores)}")
    save(curves_figure({name: scores[name]["curves"] for name in wanted}), out)


@app.command()
def stages(
    files: Scores,
    methods: Annotated[str, typer.Option(help="Methods, separated by blanks.")],
    out: Figure,
    csv: Annotated[Path | None, typer.Option(help="The figure's numbers.")] = None,
    quiet: Quiet = False,
) -> None:
    """Draw F, MAE, precision and recall after every stage of every method (as DeepUSPS, Figures 6 and 8).

    Example: usod report stages results/scores/demo/*.json --methods 'rbd mc' --out stages.svg
    """
    import pandas as pd

    from usod.files import atomic_path
    from usod.reporting.figures import label_quality_figure, save

    of_system = _read_scores(files)
    rows = []
    for method in methods.split():
        if method not in of_system:
            raise UsageError(f"--methods {method}: no score of that name; there are {', '.join(of_system)}")
        refined = [name for name in of_system if name.rpartition("-iter")[0] == method]
        names = [method, *sorted(refined, key=lambda name: int(name.rpartition("-iter")[2]))]
        for stage, name in enumerate(names):
            score = of_system[name]
            values = {key: score[key] for key in ("mae", "precision", "recall")}
            rows.append({"method": method, "stage": stage, "f": score["f_fixed"], **values})
    table = pd.DataFrame(rows)
    if csv is not None:
        with atomic_path(csv) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6f")
    save(label_quality_figure(table), out)


@app.command()
def ablation(
    table: Annotated[
        str,
        typer.Option(help="JSON: title, reference, f, rows (name -> data set -> files), histories, published_as."),
    ],
    csv: Annotated[Path, typer.Option(help="Table as CSV, fractions.")],
    markdown: Annotated[Path | None, typer.Option(help="Table as Markdown, percent.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Table as LaTeX, percent.")] = None,
    quiet: Quiet = False,
) -> None:
    """Put the variants of an ablation into one table, beside the published rows.

    Example: usod report ablation --csv out.csv --table '{"title": "T", "rows": {"A": {"ECSSD": ["a.json"]}},
    "histories": {"A": ["history.csv"]}}'
    """
    from usod.reporting.ablation_table import ablation_table, write_ablation_table

    try:
        wanted = json.loads(table)
        title = wanted.pop("title")
        frame = ablation_table(**wanted)
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"--table: {error}") from error
    for path in (csv, markdown, latex):
        if path is not None:
            write_ablation_table(frame, path, title, wanted.get("f", "f_adaptive"))


@app.command()
def training(
    history: Annotated[list[str], typer.Option(help="NAME=history.csv, once per training.")],
    out: Figure,
    column: Annotated[list[str], typer.Option(help="Columns to draw.")] = ["loss", "images_per_s"],  # noqa: B006
    quiet: Quiet = False,
) -> None:
    """Draw the loss and the speed of trainings, or other columns, epoch by epoch.

    Example: usod report training --history rbd=history.csv --out training.svg
    """
    from usod.reporting.figures import save, training_figure

    save(training_figure(named_paths(history, "--history"), columns=column), out)


@app.command()
def scatter(
    first: Annotated[Path, typer.Argument(help="Scores per image (usod evaluate --per-image) for the x axis.")],
    second: Annotated[Path, typer.Argument(help="Scores of the same images for the y axis.")],
    out: Figure,
    name: Annotated[list[str], typer.Option(help="What the two are, in their order.")],
    measure: Annotated[list[str], typer.Option(help="Columns of the scores, a panel each.")] = ["f_fixed", "mae"],  # noqa: B006
    quiet: Quiet = False,
) -> None:
    """Set two systems against each other, image by image (as DeepUSPS, Figure 9).

    Example: usod report scatter oracle.csv fused.csv --name oracle --name DeepUSPS --out failures.svg
    """
    import pandas as pd

    from usod.reporting.figures import save, scatter_figure

    if len(name) != 2:
        raise UsageError(f"--name: given {len(name)} times; give two, for the two files")
    frames = [pd.read_csv(path, dtype={"id": str}).set_index("id") for path in (first, second)]
    for path, frame in zip((first, second), frames, strict=True):
        if missing := [column for column in measure if column not in frame]:
            raise UsageError(f"--measure {missing[0]}: not in {path}")
    both = frames[0].join(frames[1], how="inner", lsuffix="_x", rsuffix="_y")
    if both.empty:
        raise UsodError(f"{second}: no image in common with {first}")
    pairs = {column: (both[f"{column}_x"].to_numpy(), both[f"{column}_y"].to_numpy()) for column in measure}
    save(scatter_figure(pairs, name[0], name[1]), out)


def _read_scores(files: list[Path]) -> dict[str, dict[str, Any]]:
    scores = {}
    for file in files:
        try:
            scores[file.stem] = json.loads(file.read_text(encoding="utf-8"))
            scores[file.stem]["curves"]
        except (OSError, ValueError, KeyError) as error:
            raise UsodError(f"{file}: not a score of `usod evaluate --json` ({error})") from error
    return scores
