"""CVAT's "Segmentation mask 1.1": VOC's folder without images and boxes."""

from usod.labels.formats import voc
from usod.labels.formats.base import ImageFiles

IMAGE_FILES: ImageFiles = "none"
read = voc.read
write = voc.write_masks
