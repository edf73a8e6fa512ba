"""Human masks of some training images are the labels there, count by their weight, and are named where it matters."""

import numpy as np
import pytest
import torch
from PIL import Image

from usod.cli import app
from usod.data.mapstore import ImageStore, MapStore, write_images, write_maps
from usod.models.config import NetworkConfig
from usod.models.weight_files import read_model_header
from usod.provenance import describe
from usod.reporting.model_card import model_card
from usod.systems import a2s, deepusps
from usod.systems.a2s_settings import RectifyConfig
from usod.systems.deepusps_settings import Binarisation, FuseConfig, RefineConfig
from usod.systems.distil import Distillation
from usod.systems.distil_settings import LearnConfig
from usod.training.corrections import Corrected, Corrections
from usod.training.losses import f_beta_loss
from usod.training.parallel import Process

CPU = torch.device("cpu")
NETWORK = NetworkConfig(light_width=8)
IDS = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four images of 32x32, maps of their left half, an index, and a mask of b's lower half at twice the size."""
    folder = tmp_path_factory.mktemp("corrections")
    rng = np.random.default_rng(0)
    sizes, attributes = np.full((4, 2), 32), describe({}, {}) | {"created_by": "t"}
    with write_images(folder / "images.h5", IDS, (32, 32), sizes, attributes) as rows:
        rows.fill(rng.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8))
    with write_maps(folder / "maps.h5", IDS, (32, 32), sizes, attributes) as rows:
        half = np.zeros((32, 32), np.uint8)
        half[:, :16] = 255
        rows.fill([half] * 4)
    (folder / "photos").mkdir()
    for key in IDS:
        Image.new("RGB", (32, 32)).save(folder / "photos" / f"{key}.png")
    app(["data", "index", str(folder / "photos"), "--out", str(folder / "index.csv"), "-q"], standalone_mode=False)
    (folder / "mended").mkdir()
    lower = np.zeros((64, 64), np.uint8)
    lower[32:] = 255
    Image.fromarray(lower).save(folder / "mended/b.png")
    given = [str(folder / "mended"), "--index", str(folder / "index.csv"), "--out", str(folder / "corrections.h5")]
    app(["data", "corrections", *given, "--weight", "3"], standalone_mode=False)
    return folder


def lower_half():
    mask = np.zeros((32, 32), np.uint8)
    mask[16:] = 255
    return mask


def test_refined_and_rectified_labels_stay_what_the_person_drew(data):
    with ImageStore(data / "images.h5") as images, MapStore(data / "maps.h5") as maps:
        taught = Corrections.read(data / "corrections.h5", images)
        config = RefineConfig(epochs=2, batch_size=2, crf=None, lr=1e-3, bias_correction=False)
        refined = deepusps.refine(images, maps, 0, config, NETWORK, CPU, corrections=taught).labels
        rectify = RectifyConfig(epochs=2, batch_size=2, untouched_epochs=0, lr=1e-3)
        rectified = a2s.stage2(images, maps, rectify, NETWORK, Process(CPU), corrections=taught).labels
        for labels in (refined, rectified):
            assert np.array_equal(labels[1], lower_half())
            assert not np.array_equal(labels[0], maps.raw("a")), "the others follow the predictions"


def test_a_mask_counts_by_its_weight_and_is_what_an_average_remembers():
    class Other:
        def loss(self, prediction, rows):
            return prediction

        def remember(self, observed, rows):
            self.seen = observed

    inner = Other()
    mask = np.array([[[255, 0]]], np.uint8)
    objective = Corrected(inner, Corrections(np.array([2]), mask, 3.0, ("c",)), 4)
    assert objective.loss(torch.ones(3), torch.tensor([0, 2, 3])).tolist() == [1, 3, 1]
    objective.remember(torch.full((2, 1, 2), 0.5), torch.tensor([2, 1]))
    assert inner.seen.tolist() == [[[1, 0]], [[0.5, 0.5]]]


def test_a_mask_that_says_nothing_is_salient_is_learnt():
    """An empty label of a method has no gradient; F and IoU of the background have."""
    p = torch.tensor([[[0.5, 0.25]]], requires_grad=True)
    empty, rows = np.zeros((1, 1, 2), np.uint8), torch.tensor([0])
    nothing = Corrections(np.array([0]), empty).nothing(1)
    said = deepusps.PseudoLabels(empty, np.array([0.5], np.float32), nothing=nothing)
    loss = said.loss(p, rows, 1.0, False)
    assert loss.item() == pytest.approx(1 - 2 * 1.25 / (1.25 + 2), abs=1e-4)
    assert f_beta_loss(p, torch.zeros(1, 1, 2), 1.0).item() == 1
    distilled = Distillation(empty, LearnConfig(), nothing=nothing).loss(torch.logit(p), rows)
    assert distilled.item() == pytest.approx(1 - 1.25 / 2, abs=1e-4)


def test_corrected_images_do_not_count_in_a_methods_threshold():
    maps = np.full((3, 2, 2), 51, np.uint8)
    maps[1] = 255
    gamma = deepusps.thresholds(maps, Binarisation(), Corrections(np.array([1]), maps[1:2]))
    np.testing.assert_allclose(gamma, [0.3, 0.5, 0.3], rtol=1e-6)


def test_the_model_its_card_and_its_labels_name_the_masks(data, tmp_path):
    given = ["--images", data / "images.h5", "--maps", f"rbd={data / 'maps.h5'}", "--history", tmp_path / "h.csv"]
    small = ["--config", FuseConfig(epochs=1, batch_size=2).model_dump_json(), "--network", '{"light_width": 8}']
    more = ["--corrections", data / "corrections.h5", "--out", tmp_path / "m.safetensors", "--threads", "1"]
    app(["deepusps", "fuse", *map(str, [*given, *small, *more])], standalone_mode=False)
    header = read_model_header(tmp_path / "m.safetensors")
    assert header["labels"] == "1 human mask"
    assert header["extra"]["corrections"] == {"images": ["b"], "weight": 3.0}
    card = model_card(tmp_path / "m.safetensors")
    assert "Its labels of these training images were human masks, each counted 3 times: `b`." in card
