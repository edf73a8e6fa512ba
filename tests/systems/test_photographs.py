"""Short trainings on real photographs: the maps of the original RBD code come nearer to masks that are never seen."""

import numpy as np
import pytest
import torch
from PIL import Image

from usod.data.mapstore import ImageStore, MapStore, write_images, write_maps
from usod.data.store import to_uint8
from usod.models.config import NetworkConfig
from usod.settings.sections import RelationConfig
from usod.systems import deepusps, ldps
from usod.systems.deepusps_settings import RefineConfig
from usod.training.parallel import Process

pytestmark = pytest.mark.real_data

CPU, SIZE = torch.device("cpu"), 112
ATTRIBUTES = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0"}


def read(path, mode):
    with Image.open(path) as image:
        return np.asarray(image.convert(mode).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


@pytest.fixture(scope="module")
def photographs(real_data, tmp_path_factory):
    """Every fourth image of SED2, the original code's RBD maps of them, and their masks."""
    folder, ids = tmp_path_factory.mktemp("photographs"), []
    for path in sorted((real_data / "SED2/images").iterdir())[::4]:
        ids += [path.stem] if (real_data / f"SED2/rbd_original/{path.stem}.png").exists() else []
    arguments = (ids, (SIZE, SIZE), np.full((len(ids), 2), SIZE), ATTRIBUTES)
    with write_images(folder / "images.h5", *arguments) as images, write_maps(folder / "rbd.h5", *arguments) as maps:
        for key in ids:
            images[key] = read(real_data / f"SED2/images/{key}.jpg", "RGB")
            maps[key] = read(real_data / f"SED2/rbd_original/{key}.png", "L") / 255
    masks = np.stack([read(real_data / f"SED2/masks/{key}.png", "L") > 127 for key in ids])
    return ImageStore(folder / "images.h5"), MapStore(folder / "rbd.h5"), masks


@pytest.fixture(scope="module")
def network(real_data):
    weights = real_data.parent / "weights/mobilenet_v2_imagenet.safetensors"
    return NetworkConfig(
        name="mobilenet_v2", weights=str(weights), weights_labels="ImageNet", freeze_batchnorm=True, output_stride=16
    )


def mae(maps, masks):
    return np.abs(np.asarray(maps, np.float64) / 255 - masks).mean()


def test_consistency_improves_the_maps_of_rbd(photographs, network):
    images, maps, masks = photographs
    config = RefineConfig(
        epochs=18, batch_size=8, lr=1e-4, lr_growth=1, head_lr_factor=10, beta2=1, crf={"bilateral_sxy": 20}
    )
    done = deepusps.refine(images, maps, 0, config, network, CPU)
    assert mae(done.labels, masks) < 0.85 * mae(maps.read_all(), masks)


def test_relations_improve_the_maps_of_rbd(photographs, network):
    images, maps, masks = photographs
    config = RelationConfig(iterations=50, batch_size=8)
    done = ldps.train(images, maps, config, network, Process(CPU))
    refined = {key: to_uint8(m) for key, m in ldps.Refiner(done.network).refine_all(images, maps)}
    assert mae([refined[key] for key in images.ids], masks) < 0.95 * mae(maps.read_all(), masks)
