"""The figures of the report.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; every line has a marker or dash of its
own too, so that a print in grey can be read. In SVG files text stays text: it can be searched, edited and restyled.
Nothing here touches pyplot's global state, so figures can be made in any thread and without a display.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from usod.errors import UsageError, UsodError
from usod.files import atomic_path
from usod.reporting.tables import HEADINGS

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)))

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "usod",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
}


def save(figure: Figure, path: str | Path, dpi: int = 200) -> None:
    """Write a figure as SVG, PDF or PNG, by the ending of `path`; whole or not at all, and the same bytes every time.

    Raises
    ------
    UsageError
        If the ending is another one.
    UsodError
        If the file cannot be written.
    """
    kind = Path(path).suffix.lower().lstrip(".")
    # Without these the file holds the time it was made at, and an unchanged report would look changed.
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    if kind not in undated:
        raise UsageError(f"{path}: a figure is written as .svg, .pdf or .png")
    with mpl.rc_context(_STYLE), atomic_path(path) as temporary, temporary.open("wb") as file:
        figure.savefig(file, format=kind, dpi=dpi, bbox_inches="tight", metadata=undated[kind])


def stages_figure(
    images: Sequence[NDArray[np.uint8]],
    columns: Mapping[str, Sequence[NDArray]],
    row_names: Sequence[str] | None = None,
) -> Figure:
    """A grid of images x stages: the image, then its map at every stage, e.g. rbd, iter0, iter1, iter2, mask.

    Parameters
    ----------
    images : (H, W, 3) uint8, of any sizes
    columns : heading -> one map per image, in the images' order, (H', W') float in [0, 1], uint8 or bool, of any
        size: it is stretched over its image's shape. Grey values are shown as they are, black 0 and white 1.
    row_names : text left of every row, e.g. the ids

    Raises
    ------
    UsageError
        If a column has another number of maps than there are images.
    """
    for name, maps in columns.items():
        if len(maps) != len(images):
            raise UsageError(f"column {name!r} has {len(maps)} maps for {len(images)} images")
    heights = [image.shape[0] / image.shape[1] for image in images]
    cell_width, gap = 1.1, 0.03  # inches; share of a cell
    count = 1 + len(columns)
    figure = Figure(
        figsize=(count * cell_width * (1 + gap), sum(heights) * cell_width + len(images) * gap * cell_width)
    )
    grid = figure.add_gridspec(
        len(images), count, height_ratios=heights, wspace=gap, hspace=gap, left=0, right=1, top=1, bottom=0
    )
    for row, image in enumerate(images):
        for column, name in enumerate(("image", *columns)):
            axes = figure.add_subplot(grid[row, column])
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(linewidth=0.4, color="0.6")
            cell = image if column == 0 else columns[name][row]
            axes.imshow(_thumbnail(cell, image.shape[:2]), cmap="gray", vmin=0, vmax=255, aspect="auto")
            if row == 0:
                axes.set_title(name, fontsize=8, pad=3)
            if column == 0 and row_names is not None:
                axes.set_ylabel(_elided(row_names[row], heights[row] * cell_width), fontsize=6, labelpad=2)
    return figure


def _elided(text: str, inches: float) -> str:
    """`text` cut to what fits along `inches` at 6 points."""
    room = max(4, int(inches * 72 / 3.9))
    return text if len(text) <= room else f"{text[: room - 1]}…"


def _thumbnail(cell: NDArray, shape: tuple[int, int], width: int = 240) -> NDArray[np.uint8]:
    """A map or image at `width` pixels and the aspect of `shape`: enough for print, and the SVG stays small."""
    if cell.dtype != np.uint8:
        cell = np.rint(255 * np.clip(cell.astype(np.float64), 0, 1)).astype(np.uint8)
    size = (width, max(1, round(width * shape[0] / shape[1])))
    return np.asarray(Image.fromarray(cell).resize(size, Image.Resampling.BILINEAR))


def label_quality_figure(quality: pd.DataFrame) -> Figure:
    """How good the pseudo-labels are after every stage, a line per method (DeepUSPS, Figures 6 and 8).

    Parameters
    ----------
    quality : columns `method`, `stage` (its name; a method's stages in their order), and any of `f`, `mae`,
        `precision`, `recall` in [0, 1], a panel each. Where a column `of` is not empty the row is of that, not of the
        labels: a dashed line of its own

    Raises
    ------
    UsageError
        If `quality` lacks `method` or `stage`, or has no measure.
    """
    measures = {"f": "F ↑", "mae": "MAE ↓", "precision": "Precision ↑", "recall": "Recall ↑"}
    measures = {key: label for key, label in measures.items() if key in quality}
    if not measures or not {"method", "stage"} <= set(quality):
        raise UsageError("label quality needs the columns method, stage and at least one of f, mae, precision, recall")
    figure, all_axes = panels(len(measures))
    for axes, (key, label) in zip(all_axes, measures.items(), strict=True):
        for (method, line), colour, marker in zip(
            quality.groupby("method", sort=False), cycle(PALETTE), cycle(MARKERS), strict=False
        ):
            kinds = line["of"] if "of" in line else pd.Series("", line.index)
            for kind, part in line.groupby(kinds, sort=False):
                style: dict[str, Any] = (
                    {"ls": "--", "mfc": "none", "label": f"{method}, {kind}"} if kind else {"label": f"{method}"}
                )
                axes.plot(part["stage"], 100 * part[key], color=colour, marker=marker, ms=4, lw=1.4, **style)
        axes.set_ylabel(f"{label} (%)")
    _legend_below(figure, all_axes[0])
    return figure


def curves_figure(curves: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """Precision-recall curves and F against the threshold, side by side, a line per system.

    Parameters
    ----------
    curves : system -> `Benchmark.curves()`, or the `curves` of a score's JSON file
    """
    figure, (left, right) = panels(2)
    for (system, curve), colour, dash in zip(curves.items(), cycle(PALETTE), cycle(DASHES), strict=False):
        thresholds, precision, recall, f = (
            np.asarray(curve[key], float) for key in ("thresholds", "precision", "recall", "f")
        )
        # Above the highest value of every map nothing is predicted: (0, 0) there is a convention, not a measurement.
        drawn = recall > 0
        left.plot(recall[drawn], precision[drawn], color=colour, ls=dash, lw=1.4, label=system)
        best = int(f.argmax())
        right.plot(thresholds, f, color=colour, ls=dash, lw=1.4)
        right.plot(thresholds[best], f[best], color=colour, marker="o", ms=4)
    left.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1))
    right.set(xlabel="Threshold", ylabel="F (β² = 0.3); dot: maximum", xlim=(0, 1), ylim=(0, 1))
    _legend_below(figure, left)
    return figure


def scatter_figure(pairs: Mapping[str, tuple[NDArray, NDArray]], x_name: str, y_name: str) -> Figure:
    """Two systems' scores of the same images against each other, a panel per measure (DeepUSPS, Figure 9).

    Parameters
    ----------
    pairs : measure -> scores with one system and with the other, (N,) each in [0, 1]; images that lack one of the two
        (NaN) are left out. The correlation stands above each panel.
    x_name, y_name : what the two systems are
    """
    figure, all_axes = panels(len(pairs), height=3.0)
    for axes, (measure, (x, y)) in zip(all_axes, pairs.items(), strict=True):
        kept = np.isfinite(x) & np.isfinite(y)
        x, y = x[kept], y[kept]
        axes.plot([0, 1], [0, 1], color="0.6", lw=0.8, ls="--")
        # In grey tones, too, a dense cloud is darker than a thin one.
        alpha = 0.8 if len(x) < 100 else 0.35
        axes.plot(x, y, "o", color=PALETTE[0], ms=3, alpha=alpha, mew=0, rasterized=len(x) > 5000)
        spread = len(x) > 1 and x.std() > 0 and y.std() > 0
        correlation = f", r = {np.corrcoef(x, y)[0, 1]:.2f}" if spread else ""
        label = "MAE" if measure == "mae" else HEADINGS.get(measure, measure)
        axes.set_title(f"{label}, {len(x)} images{correlation}", fontsize=8)
        top = max(float(max(x.max(), y.max())), 0.05) * 1.05 if measure == "mae" and len(x) else 1.02
        axes.set(xlabel=x_name, ylabel=y_name, xlim=(0, top), ylim=(0, top), aspect="equal")
    return figure


def training_figure(histories: Mapping[str, Path], columns: Sequence[str]) -> Figure:
    """Training curves, a panel per column and a line per run.

    Parameters
    ----------
    histories : run -> its history, a CSV file with the column `epoch`
    columns : the columns to draw, e.g. loss, learning_rate; a run that lacks one has no line there

    Raises
    ------
    UsodError
        If a history cannot be read, has no `epoch`, or no run has a column.
    """
    frames = {run: _history(path) for run, path in histories.items()}
    figure, all_axes = panels(len(columns))
    for axes, column in zip(all_axes, columns, strict=True):
        if not any(column in frame for frame in frames.values()):
            have = sorted({str(name) for frame in frames.values() for name in frame})
            raise UsodError(f"no training history has the column {column!r}; there are {', '.join(have)}")
        for (run, frame), colour, dash in zip(frames.items(), cycle(PALETTE), cycle(DASHES), strict=False):
            if column in frame:
                single = "o" if len(frame) == 1 else None
                axes.plot(frame["epoch"], frame[column], color=colour, ls=dash, lw=1.4, marker=single, label=run)
        axes.set(xlabel="Epoch", ylabel="MAE" if column == "mae" else column.replace("_", " ").capitalize())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend_below(figure, *all_axes)
    return figure


def _history(path: Path) -> pd.DataFrame:
    try:
        history = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UsodError(f"{path}: cannot be read as a training history ({error})") from error
    if "epoch" not in history:
        raise UsodError(f"{path}: no column 'epoch'; not a training history")
    return history


def panels(count: int, height: float = 2.6) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes in the report's style, each `height` inches high."""
    columns = 2 if count == 4 else min(count, 3)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(columns * 3.4, rows * height), layout="constrained")
    all_axes = [figure.add_subplot(rows, columns, 1 + number) for number in range(count)]
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, color="0.9", lw=0.6)
        axes.tick_params(labelsize=7)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set_fontsize(8)
            axis.offsetText.set_fontsize(7)
    return figure, all_axes


def _legend_below(figure: Figure, *all_axes: Axes) -> None:
    """One legend for all panels, below them, so that it never hides a line."""
    lines = {label: line for axes in all_axes for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if lines:
        columns = min(len(lines), 4)
        figure.legend(
            lines.values(),
            lines.keys(),
            loc="outside lower center",
            ncols=columns,
            fontsize=7,
            frameon=False,
            handlelength=3,
        )
