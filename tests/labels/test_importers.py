"""Each export, opened by its tool's own reader, gives the same pixels."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from usod.cli import app

from . import importers

coco_of, masks_of = (partial(importers.datumaro, kind=kind) for kind in ("coco_instances", "voc_segmentation"))
CASES = {
    "pycocotools, rle": (importers.pycocotools, ["coco"]),
    "pycocotools, polygons": (importers.pycocotools, ["coco", "--polygons"]),
    "datumaro, coco": (coco_of, ["coco", "--polygons", "--image-files", "copy"]),
    "datumaro, cvat": (partial(importers.datumaro, kind="cvat"), ["cvat", "--image-files", "copy"]),
    "datumaro, cvat polygons": (
        partial(importers.datumaro, kind="cvat"),
        ["cvat", "--polygons", "--image-files", "copy"],
    ),
    "datumaro, cvat-masks": (masks_of, ["cvat-masks"]),
    "datumaro, voc": (masks_of, ["voc"]),
    "ultralytics": (importers.ultralytics, ["yolo"]),
    "label studio, brush": (importers.label_studio, ["label-studio"]),
    "label studio, polygons": (importers.label_studio, ["label-studio", "--polygons"]),
    "fiftyone": (importers.fiftyone, ["fiftyone"]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_tool_reads_the_same_pixels(desk, tmp_path, case):
    photos, masks, truth = desk
    reads, words = CASES[case]
    out = tmp_path / "out"
    words = [str(masks), "--images", str(photos), "--out", str(out), "--instances", "--format", *words]
    done = CliRunner().invoke(app, ["labels", "export", *words], catch_exceptions=False)
    assert done.exit_code == 0
    read = {_plain(name): mask for name, mask in reads(out)}
    assert sorted(read) == sorted(_plain(name) for name in truth)
    for name, mask in truth.items():
        found = read[_plain(name)]
        # Ultralytics puts points between those of a line: between two pixels that touch at a corner alone, one may fall
        # beside them. The noise of one photograph is made of such pixels.
        beside = 3 if case == "ultralytics" and "schön" in name else 0
        assert not mask.any() if found is None else np.count_nonzero(found != mask) <= beside, name


def _plain(name):
    """Of two images of one stem the whole name, as their copies and masks are called; of others without the ending."""
    whole = next((same for same in ("two/same.jpg", "two/same.webp") if same in name), None)
    return whole or Path(name).with_suffix("").as_posix()
