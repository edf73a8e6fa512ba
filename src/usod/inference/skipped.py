"""Images that get no file because nothing in them is salient."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from usod.emptiness import nothing_in_map
from usod.errors import UsodError
from usod.files import explained, write_text
from usod.progress import say

SKIPPED = "skipped.csv"
"""In the folder of the results: the file that an image would have had, and how likely it is that it shows nothing."""


class Skipped:
    """The list of them, kept from run to run.

    Parameters
    ----------
    out : folder of the results
    threshold : from which value on an image is skipped, in [0, 1]; None: none is, and the list is left alone
    afresh : forget what an earlier run listed

    Raises
    ------
    UsodError
        If a file of the list's name is none.
    """

    def __init__(self, out: Path, threshold: float | None, afresh: bool = False):
        self.path, self.out, self.threshold = out / SKIPPED, out, threshold
        self.values: dict[str, float] = {}
        if threshold is None or not self.path.exists():
            return
        if afresh:
            self.path.unlink()
            return
        try:
            text = self.path.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]  # a run that died may have left half a line
            rows = csv.DictReader(io.StringIO(whole))
            self.values = {row["file"]: float(row["nothing"]) for row in rows}
        except (KeyError, TypeError, ValueError) as error:
            raise UsodError(f"{self.path}: not a list that --skip-empty has written; move it away") from error
        if whole != text:
            write_text(self.path, whole)

    def __contains__(self, target: str) -> bool:
        """Whether an earlier run has found it as empty as the threshold of this one asks."""
        return self.threshold is not None and self.values.get(self._name(target), -1.0) >= self.threshold

    def take(self, target: str, saliency: np.ndarray) -> bool:
        """Whether the image of this map (H, W) is skipped; if so it is listed at once, and has no file any more."""
        if self.threshold is None or (value := nothing_in_map(saliency)) < self.threshold:
            return False
        self.values[self._name(target)] = value
        with explained(self.path):
            self.out.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", newline="", encoding="utf-8") as file:
                lines = csv.writer(file)
                if not file.tell():
                    lines.writerow(["file", "nothing"])
                lines.writerow([self._name(target), f"{value:.6f}"])
            Path(target).unlink(missing_ok=True)
        return True

    def tell(self, targets: Iterable[str]) -> None:
        """Say how many of these images are skipped, if this was asked for."""
        if self.threshold is not None:
            found = [target in self for target in targets]
            say(f"{sum(found)} of {len(found)} images show nothing salient and have no file: {self.path}")

    def _name(self, target: str) -> str:
        return Path(target).relative_to(self.out).as_posix()
