"""`usod data check`: everything odd about a data set in one pass, before hours are spent on it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from usod.data.images import ImageFacts, inspect_image, read_graded_mask
from usod.data.index import merge_votes
from usod.data.lookalikes import REMEDY, masks_among_images
from usod.data.pairing import DataSet, Item, find_dataset
from usod.data.parallel import READERS, read_all
from usod.data.splits import assign_splits
from usod.data.tree import Folders, left_out
from usod.errors import UsodError

_SHOWN = 5  # examples per problem


@dataclass
class CheckReport:
    """What `check` found. Lists hold ids unless said otherwise."""

    root: Path
    layout: str
    layout_meaning: str
    data_set: str | None
    images: int
    masks: int
    splits: dict[str, int]
    split_source: str
    split_unpublished: str = ""  # a sentence, where the set was published with another split
    expected: dict[str, int] = field(default_factory=dict)  # of a complete copy, where the set is known
    counts_differ: list[str] = field(default_factory=list)  # sentences
    without_mask: list[str] = field(default_factory=list)
    without_image: list[str] = field(default_factory=list)  # mask files
    size_mismatches: list[str] = field(default_factory=list)  # id with both sizes
    unreadable: list[str] = field(default_factory=list)  # sentences that name the file
    empty_masks: list[str] = field(default_factory=list)
    full_masks: list[str] = field(default_factory=list)
    graded_masks: list[str] = field(default_factory=list)
    turned_by_exif: list[str] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)  # groups of ids whose files are equal
    shared_by_splits: list[list[str]] = field(default_factory=list)  # those groups that span two splits
    strays: dict[str, int] = field(default_factory=dict)  # suffix -> files that are not images
    outside: int = 0  # image files that are neither images nor masks of this layout
    lookalikes: list[str] = field(default_factory=list)  # sentences on folders of images that look like masks
    name_mismatch: str = ""  # example of an image and a mask, where no mask has the name of an image
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """No image or mask is broken, missing its partner or of the wrong size, and no split leaks into another.

        Of a set that was published with masks for some of its images, such as THUR15K, as many may lack theirs.
        """
        partial = self.expected.get("masks") == self.masks
        partners_missing = self.without_image or (self.masks and self.without_mask and not partial)
        leaks = self.shared_by_splits or self.lookalikes
        return not (self.unreadable or self.size_mismatches or leaks or partners_missing)

    def lines(self) -> list[str]:
        """The report as lines of text, problems after facts."""
        known = f" (recognised as {self.data_set})" if self.data_set else ""
        splits = ", ".join(f"{name} {count}" for name, count in sorted(self.splits.items()))
        lines = [
            f"{self.root}{known}",
            f"layout: {self.layout}, {self.layout_meaning}",
            f"images: {self.images}, masks: {self.masks}",
            f"splits: {splits} (from {self.split_source})",
        ]
        if self.expected and not self.counts_differ:
            lines.append("counts: as in a complete copy")
        lines += [f"counts: {text}" for text in self.counts_differ]
        if self.masks:
            lines += _listed("images without mask", self.without_mask)
            lines += _listed("graded masks (thresholded)", self.graded_masks, self.masks)
        lines += _listed("masks without image", self.without_image)
        if self.name_mismatch:
            lines.append(
                f"no mask has the name of an image: {self.name_mismatch}; rename one kind, or give another folder"
            )
        lines += [f"masks among the images: {text}; {REMEDY}" for text in self.lookalikes]
        lines += _listed("masks of another size than their image", self.size_mismatches)
        lines += _listed("empty masks", self.empty_masks)
        lines += _listed("masks that cover everything", self.full_masks)
        lines += _listed("images turned upright by EXIF (their masks must be too)", self.turned_by_exif)
        lines += _listed("equal images", [_group(group) for group in self.duplicates])
        lines += _listed("equal images in different splits", [_group(group) for group in self.shared_by_splits])
        lines += [f"unreadable: {text}" for text in self.unreadable]
        lines += left_out(Counter(self.strays), wrapped=True)
        if self.strays:
            kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.strays.items()))
            lines.append(f"skipped files that are no images: {kinds}")
        if self.outside:
            lines.append(f"skipped images in folders that hold neither images nor masks: {self.outside}")
        warnings = [*filter(None, [self.split_unpublished]), *self.warnings]
        fine = "ok, but not with its published split" if self.split_unpublished else "ok"
        return [*lines, *(f"warning: {text}" for text in warnings), fine if self.ok else "problems found"]


def check(
    root: str | Path,
    layout: str = "auto",
    threshold: float = 0.5,
    progress: bool = False,
    masks_dir: str | Path | None = None,
    without: Folders = None,
    workers: int = READERS,
) -> CheckReport:
    """Read every image and mask below `root` and report all that is odd; no problem stops it.

    Parameters
    ----------
    root : folder of the data set
    layout, masks_dir, without : see `usod.data.pairing.find_dataset`
    threshold : for empty and full masks; see `usod.data.images.read_mask`
    progress : show progress (`usod.progress.progress`)
    workers : threads that read

    Raises
    ------
    UsageError
        If there is no such folder or layout.
    UsodError
        If there are no images, or lists of splits cannot be read.
    """
    data = find_dataset(root, layout, masks_dir, without)
    splits = assign_splits(data)
    masks = sum(item.mask is not None for item in data.items)
    report = CheckReport(
        root=Path(root),
        layout=data.layout.name,
        layout_meaning=data.layout.meaning,
        data_set=data.known.name if data.known else None,
        images=len(data.items),
        masks=masks,
        splits=dict(Counter(splits.of.values())),
        split_source=splits.source,
        split_unpublished=splits.unpublished,
        expected=data.known.expected if data.known else {},
        without_mask=[item.id for item in data.items if item.mask is None],
        without_image=[str(path) for path in data.unmatched_masks],
        strays=dict(data.strays),
        outside=len(data.outside),
        lookalikes=[str(found) for found in masks_among_images(data)] if layout == "auto" else [],
        name_mismatch=data.name_mismatch,
        warnings=list(splits.notes),
    )
    report.counts_differ = _compare_counts(report)
    if data.known and data.known.warning:
        report.warnings.append(data.known.warning)
    findings = read_all(lambda item: _examine(item, threshold), data.items, "checking", progress, workers)
    _collect(report, data, findings, splits.of)
    return report


@dataclass
class _Finding:
    facts: ImageFacts | None = None
    shape: tuple[int, int] | None = None
    share: float | None = None
    graded: bool = False
    errors: list[str] = field(default_factory=list)


def _examine(item: Item, threshold: float) -> _Finding:
    finding = _Finding()
    try:
        finding.facts = inspect_image(item.image)
    except UsodError as error:
        finding.errors.append(str(error))
    if item.mask is None:
        return finding
    try:
        if item.mask.is_dir():
            mask = merge_votes(item.mask)
        else:
            values = read_graded_mask(item.mask)
            mask = values > threshold
            finding.graded = bool(np.any((values > 0) & (values < 1)))
        finding.shape, finding.share = mask.shape, float(mask.mean())
    except UsodError as error:
        finding.errors.append(str(error))
    return finding


def _collect(report: CheckReport, data: DataSet, findings: Sequence[_Finding], splits: dict[str, str]) -> None:
    """Sort what was found on each item into the report's lists."""
    same: dict[str, list[str]] = defaultdict(list)
    for item, found in zip(data.items, findings, strict=True):
        report.unreadable += found.errors
        if found.facts:
            same[found.facts.sha256].append(item.id)
            if found.facts.oriented:
                report.turned_by_exif.append(item.id)
            size = (found.facts.height, found.facts.width)
            if found.shape and found.shape != size:
                shape = found.shape
                report.size_mismatches.append(f"{item.id} (image {size[1]}x{size[0]}, mask {shape[1]}x{shape[0]})")
        if found.graded:
            report.graded_masks.append(item.id)
        if found.share == 0:
            report.empty_masks.append(item.id)
        if found.share == 1:
            report.full_masks.append(item.id)
    report.duplicates = [group for group in same.values() if len(group) > 1]
    report.shared_by_splits = [group for group in report.duplicates if len({splits[key] for key in group}) > 1]


def _compare_counts(report: CheckReport) -> list[str]:
    sentences = []
    for what, expected in report.expected.items():
        if what == "all":
            found = report.images
        elif what == "masks":
            found = report.masks
        elif what in report.splits:
            found = report.splits[what]
        else:
            continue  # that part is not here, or this copy has no lists
        if found != expected:
            name = {"all": "images", "masks": "masks"}.get(what, f"{what} images")
            sentences.append(f"{found} {name}, a complete {report.data_set} has {expected}")
    return sentences


def _group(names: Sequence[str], shown: int = 4) -> str:
    rest = f" = {len(names) - shown} more" if len(names) > shown else ""
    return " = ".join(names[:shown]) + rest


def _listed(what: str, names: Sequence[str], of: int | None = None) -> list[str]:
    if not names:
        return []
    share = f" of {of} ({len(names) / of:.0%})" if of else ""
    more = ", ..." if len(names) > _SHOWN else ""
    return [f"{what}: {len(names)}{share}: {', '.join(names[:_SHOWN])}{more}"]
