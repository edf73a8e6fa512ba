"""What the tools' own readers make of an exported folder: pairs of an image's name and its mask.

All objects of an image are united; None: it has none.

They come from the extra `importers`, or from the folders in USOD_IMPORTERS (`make importers`), which stand behind this
environment's own packages.
"""

import json
import os
import sys
import tempfile
import types
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

# They write settings into the user's home as they are imported.
os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.gettempdir())
os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")
sys.path += [
    folder for folder in os.environ.get("USOD_IMPORTERS", "").split(os.pathsep) if folder not in ("", *sys.path)
]


def union(masks, size):
    return np.logical_or.reduce([np.zeros(size, bool), *(np.asarray(mask).astype(bool) for mask in masks)])


def pycocotools(folder):
    from pycocotools.coco import COCO

    (file,) = folder.rglob("*.json")
    data = COCO(str(file))
    for number, image in data.imgs.items():
        masks = [data.annToMask(annotation) for annotation in data.loadAnns(data.getAnnIds(number))]
        yield image["file_name"], union(masks, masks[0].shape) if masks else None


def ultralytics(folder):
    pytest.importorskip("ultralytics", reason="ultralytics is not installed (extra importers)")
    import yaml
    from ultralytics.data.dataset import YOLODataset

    names = yaml.safe_load((folder / "data.yaml").read_text())["names"]
    # Each image alone, at its own size: a batch would be padded.
    hyp = types.SimpleNamespace(mask_ratio=1, overlap_mask=False, bgr=0.0)
    data = YOLODataset(
        folder / "images", task="segment", data={"names": names, "channels": 3}, augment=False, hyp=hyp, imgsz=64
    )
    for number, label in enumerate(data.labels):
        data.imgsz = max(label["shape"])
        data.transforms = data.build_transforms(hyp)
        item = data[number]
        height, width = label["shape"]
        top, left = ((side - own) // 2 for side, own in zip(item["img"].shape[1:], (height, width), strict=True))
        masks = item["masks"].numpy()[:, top : top + height, left : left + width]
        yield Path(label["im_file"]).relative_to(folder / "images").as_posix(), union(masks, (height, width))


def label_studio(folder):
    """Brushes by the SDK's decoder; polygons by its conversion to COCO."""
    pytest.importorskip("label_studio_sdk", reason="label-studio-sdk is not installed (extra importers)")
    from label_studio_sdk.converter import Converter, brush
    from label_studio_sdk.label_interface import LabelInterface

    config = (folder / "labelling.xml").read_text()
    interface = LabelInterface(config)
    tasks = json.loads((folder / "tasks.json").read_text())
    for task in tasks:
        assert interface.validate_prediction(task["predictions"][0])
    polygons = "Polygon" in config
    if polygons:
        done = [
            {"id": number, "data": task["data"], "annotations": [{"id": number, **task["predictions"][0]}]}
            for number, task in enumerate(tasks)
        ]
        (folder / "done.json").write_text(json.dumps(done))
        Converter(config, str(folder), download_resources=False).convert_to_coco(
            str(folder / "done.json"), str(folder / "coco"), is_dir=False
        )
        for name, mask in pycocotools(folder / "coco"):
            yield unquote(name.partition("?d=")[2]), mask
        return
    for task in tasks:
        # As the converter hands them on: what is in a region's value beside the region's own keys.
        result = [region | region["value"] for region in task["predictions"][0]["result"]]
        masks = list(brush.decode_from_annotation("brush", result).values())
        yield unquote(task["data"]["image"].partition("?d=")[2]), union(masks, masks[0].shape) if masks else None


def datumaro(folder, kind):
    pytest.importorskip("datumaro", reason="datumaro is not installed (extra importers)")
    from datumaro.components.dataset import Dataset

    data = Dataset.import_from(str(folder), kind)
    data.transform("polygons_to_masks")
    for item in data:
        labels = item.annotations if kind != "voc_segmentation" else [a for a in item.annotations if a.label != 0]
        masks = [label.image for label in labels if label.type.name == "mask"]
        yield item.id, union(masks, masks[0].shape) if masks else None


def fiftyone(folder):
    pytest.importorskip("fiftyone", reason="fiftyone is not installed (extra importers)")
    from fiftyone.utils.coco import COCODetectionDatasetImporter

    importer = COCODetectionDatasetImporter(dataset_dir=str(folder), label_types="segmentations")
    importer.setup()
    for path, metadata, label in importer:
        size = (metadata.height, metadata.width)
        found = label.detections if label else []
        # Its own to_segmentation cuts boxes down to whole pixels and resizes: half of the boxes lose a row or column.
        masks = []
        for detection in found:
            x, y = (round(share * side) for share, side in zip(detection.bounding_box, size[::-1], strict=False))
            whole = np.zeros(size, bool)
            whole[y : y + detection.mask.shape[0], x : x + detection.mask.shape[1]] = detection.mask
            masks.append(whole)
        yield Path(path).relative_to(folder / "data").as_posix(), union(masks, size)
