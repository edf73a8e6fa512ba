"""Tables as Markdown and LaTeX; columns of numbers, and those under headings that end in an arrow, to the right."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, StrictUndefined

from usod.errors import UsageError
from usod.files import write_text


def write(path: str | Path, makers: Mapping[str, Callable[[], str]]) -> None:
    """Write what the maker for the ending of `path` gives.

    Raises
    ------
    UsageError
        If there is none for that ending.
    """
    maker = makers.get(Path(path).suffix)
    if maker is None:
        *endings, last = makers
        raise UsageError(f"{path}: a table is written as {', '.join(endings)} or {last}")
    write_text(path, maker())


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", note: str = "") -> str:
    """A pipe table, its title above and its note below."""
    lines = [f"**{title}**", ""] if title else []
    to_the_right = _of_numbers(headings, rows)
    lines += [_pipe(headings), _pipe(["---", *("---:" if right else "---" for right in to_the_right[1:])])]
    lines += [_pipe(cells) for cells in rows]
    return "\n".join([*lines, "", note]) + "\n"


def latex(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str = "",
    note: str = "",
    groups: Sequence[str] | None = None,
) -> str:
    """A tabular for the booktabs package; a rule between rows of different `groups`."""
    caption = f"{title}. {note}" if title else note
    columns = "".join("r" if right else "l" for right in _of_numbers(headings, rows))
    return _LATEX.render(
        caption=caption, columns=columns, headings=headings, rows=rows, groups=groups or [""] * len(rows)
    )


def percent(value: float, deviation: float = float("nan")) -> str:
    """0.8731 -> "87.31", with "± ..." where there is a deviation; "-" for NaN."""
    if pd.isna(value):
        return "-"
    return f"{100 * value:.2f}" + ("" if pd.isna(deviation) else f" ± {100 * deviation:.2f}")


def _of_numbers(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[bool]:
    """Which columns are set to the right."""
    return [
        heading.endswith(("↑", "↓")) or (bool(rows) and all(re.fullmatch(r"\d*\.?\d+", row[n]) for row in rows))
        for n, heading in enumerate(headings)
    ]


def _pipe(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _escape(text: str) -> str:
    text = re.sub(r"([&%$#_{}])", r"\\\1", text)
    for symbol, command in {"±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", ">=": r"$\geq$"}.items():
        text = text.replace(symbol, command)
    return re.sub(r"(?<!\$)>", r"$>$", text)


# Braces are LaTeX's own.
_ENVIRONMENT = Environment(
    block_start_string="<%",
    block_end_string="%>",
    variable_start_string="<<",
    variable_end_string=">>",
    trim_blocks=True,
    keep_trailing_newline=True,
    undefined=StrictUndefined,
)
_ENVIRONMENT.filters["latex"] = _escape
_LATEX = _ENVIRONMENT.from_string(r"""% needs \usepackage{booktabs}
\begin{table}
\centering
\caption{<< caption | latex >>}
\begin{tabular}{<< columns >>}
\toprule
<< headings | map("latex") | join(" & ") >> \\
\midrule
<% for cells in rows %>
<% if loop.changed(groups[loop.index0]) and not loop.first %>
\midrule
<% endif %>
<< cells | map("latex") | join(" & ") >> \\
<% endfor %>
\bottomrule
\end{tabular}
\end{table}
""")
