from copy import deepcopy

import numpy as np
import pytest
import torch

from usod.data.images import resize_map
from usod.data.mapstore import ImageStore, MapStore, open_maps, write_images, write_map, write_maps
from usod.errors import UsodError
from usod.models.config import NetworkConfig
from usod.models.relation import merge
from usod.settings.sections import MergeConfig, RelationConfig, SingleImageConfig
from usod.systems.ldps import (
    Refiner,
    Relation,
    has_guides,
    refine_singly,
    relation_loss,
    relation_network,
    train,
)
from usod.training.fit import new_network
from usod.training.inputs import Inputs
from usod.training.parallel import Process
from usod.training.views import View

CPU = torch.device("cpu")
NETWORK = NetworkConfig(light_width=8)
ATTRIBUTES = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0"}
SETTINGS = RelationConfig(iterations=60, batch_size=4, lr=0.02)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Yellow discs on blue; the prior is sure of a third of each disc and of the frame, undecided in between.

    The last prior is nowhere certain.
    """
    folder = tmp_path_factory.mktemp("ldps")
    rng = np.random.default_rng(0)
    ids, size = [f"i{i}" for i in range(12)], (48, 48)
    y, x = np.mgrid[:48, :48]
    masks, arguments = [], (ids, size, np.full((12, 2), 48), ATTRIBUTES)
    with write_images(folder / "images.h5", *arguments) as rows, write_maps(folder / "prior.h5", *arguments) as prior:
        for key, (cy, cx, r) in zip(ids, rng.uniform((18, 18, 9), (30, 30, 13), (12, 3)), strict=True):
            distance = np.hypot(y - cy, x - cx)
            mask = distance < r
            image = np.where(mask[..., None], (220, 180, 60), (40, 60, 170)) + rng.normal(0, 14, (48, 48, 3))
            rows[key] = image.clip(0, 255).astype(np.uint8)
            saliency = np.where(mask & (x < cx - r / 3), 1.0, np.where(distance < 1.4 * r, 0.45, 0.0))
            prior[key] = np.minimum(saliency, 0.6) if key == "i11" else saliency
            masks.append(mask)
    return ImageStore(folder / "images.h5"), MapStore(folder / "prior.h5"), np.array(masks)


@pytest.fixture(scope="module")
def trained(data):
    return train(data[0], data[1], SETTINGS, NETWORK, Process(CPU))


def test_the_loss_is_the_cross_entropy_of_the_pairs():
    """By hand: one positive with p = 0.8, two negatives with p = 0.5 and 0.1, one pixel without a say."""
    p = torch.tensor([[[0.8, 0.5], [0.1, 0.9]]])
    positive, negative = torch.tensor([[[1.0, 0], [0, 0]]]), torch.tensor([[[0.0, 1], [1, 0]]])
    parts = -np.log([0.8, 0.5, 0.9])
    assert relation_loss(p.logit(), positive, negative).item() == pytest.approx(parts.mean(), rel=1e-5)
    balanced = relation_loss(p.logit(), positive, negative, balanced=True).item()
    assert balanced == pytest.approx(parts[0] + parts[1:].mean(), rel=1e-5)


def test_the_balanced_loss_bounds_the_jensen_shannon_divergence():
    """Eq. 5: over all F its least value is log 4 - 2 D_JS; here for two distributions over four outcomes."""
    joint, product = np.array([0.5, 0.3, 0.1, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])
    middle = (joint + product) / 2
    divergence = (joint * np.log(joint / middle) + product * np.log(product / middle)).sum() / 2
    # Ten pixels of each kind stand for the probabilities.
    outcomes = np.concatenate([np.repeat(range(4), (10 * d).astype(int)) for d in (joint, product)])
    positive = torch.from_numpy(np.arange(20) < 10).float()[None, None]
    f = torch.zeros(4, requires_grad=True)
    optimiser = torch.optim.LBFGS([f], max_iter=200)

    def step():
        optimiser.zero_grad()
        loss = relation_loss(f[outcomes][None, None], positive, 1 - positive, balanced=True).sum()
        loss.backward()
        return loss

    optimiser.step(step)
    assert step().item() == pytest.approx(np.log(4) - 2 * divergence, abs=1e-5)


def test_masks_follow_the_thresholds():
    priors = (np.array([[[1.0, 0.8], [0.79, 0.3]]]) * 255).round().astype(np.uint8)
    objective, logits = Relation(priors, RelationConfig(), CPU), torch.tensor([[[1.0, 2.0], [3.0, -1.0]]])
    expected = relation_loss(logits, torch.tensor([[[1.0, 1], [0, 0]]]), torch.tensor([[[0.0, 0], [0, 1]]]), True)
    torch.testing.assert_close(objective.loss(logits, torch.tensor([0])), expected)


def test_the_surer_map_is_kept():
    """Eqs. 10 and 11; where both are equally sure the new one."""
    prior, refined = torch.tensor([0.9, 0.1, 0.6, 0.3, 1.0]), torch.tensor([0.2, 0.95, 0.3, 0.7, 0.0])
    assert merge(prior, refined).tolist() == pytest.approx([0.9, 0.95, 0.3, 0.7, 0.0])


def test_undecided_pixels_are_decided(data, trained):
    images, prior, masks = data
    refined = dict(Refiner(trained.network).refine_all(images, prior, batch=5))
    wrong = {key: np.abs(refined[key] - mask).mean() for key, mask in zip(images.ids, masks, strict=True)}
    before = {key: np.abs(prior[key] - mask).mean() for key, mask in zip(images.ids, masks, strict=True)}
    others = images.ids[:-1]
    assert np.mean([wrong[k] for k in others]) < 0.5 * np.mean([before[k] for k in others])
    assert trained.history[-1]["loss"] < 0.3 * trained.history[0]["loss"]


def test_a_training_has_the_papers_iterations_and_momentum_without_nesterov(data, monkeypatch):
    """5.3: 60 steps of 4 of the 11 images that are left are 22 whole epochs."""
    seen = []
    monkeypatch.setattr("usod.systems.ldps.fit", lambda *arguments: seen.append(arguments[5]) or [])
    train(data[0], data[1], SETTINGS, NETWORK, Process(CPU))
    assert [(s.epochs, s.lr_every, s.nesterov, s.optimiser) for s in seen] == [(22, "step", False, "sgd")]


def test_guides_are_mirrored_with_their_images():
    network = new_network(relation_network(NETWORK), 0)
    images, priors = (
        np.random.default_rng(0).integers(0, 256, shape, np.uint8) for shape in ((2, 32, 32, 3), (2, 32, 32))
    )
    rows, view = torch.arange(2), View(torch.tensor([True, False]))
    (seen, guide), _ = Inputs(images, CPU, guides=priors).of(network, rows, view)
    expected = np.stack([priors[0, :, ::-1], priors[1]]) / 255
    assert guide[:, 0].numpy() == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(seen[:1].flip(-1), network.as_input(torch.from_numpy(images[:1])))


def test_merged_maps_are_stretched_where_that_is_asked_for_and_there_is_something_to_stretch(trained):
    prior, said = torch.tensor([[[0.9, 0.2, 0.55]], [[0.3, 0.3, 0.3]]]), torch.full((2, 1, 3), 0.5)
    stretched = Refiner(trained.network, MergeConfig(stretch=True)).merge(prior, said)
    torch.testing.assert_close(stretched, torch.tensor([[[1, 0, 0.5]], [[0.3, 0.3, 0.3]]]))
    torch.testing.assert_close(Refiner(trained.network).merge(prior, said), prior)


def test_a_lower_threshold_makes_a_vague_prior_certain(data, trained):
    images, prior, _ = data
    given, vague = images["i11"][None], prior["i11"][None]
    as_it_was = Refiner(deepcopy(trained.network), MergeConfig(stretch=True)).refine(given, vague)
    assert np.array_equal(as_it_was, vague.astype(np.float32)), "not even stretched"
    lower = Refiner(deepcopy(trained.network), MergeConfig(theta_fg=0.5)).refine(given, vague)
    assert (np.abs(lower - vague) > 0.1).mean() > 0.02


def test_the_head_learns_a_single_image_at_its_own_rate(data):
    images, prior, _ = data
    found = [
        dict(refine_singly(images, prior, SingleImageConfig(iterations=3, head_lr_factor=factor), *rest, ids=["i0"]))[
            "i0"
        ]
        for rest in [(MergeConfig(), NETWORK, CPU)]
        for factor in (1.0, 1.0, 10.0)
    ]
    assert np.array_equal(found[0], found[1]) and not np.allclose(found[0], found[2])


def test_a_prior_that_is_nowhere_certain_is_left_out_and_comes_back_as_it_was(data, trained):
    images, prior, _ = data
    assert trained.notes["left_out"] == 1
    stretched = Refiner(trained.network, MergeConfig(stretch=True))
    assert np.allclose(dict(stretched.refine_all(images, prior))["i11"], prior["i11"])
    alone = list(refine_singly(images, prior, SingleImageConfig(), MergeConfig(), NETWORK, CPU, ids=["i11"]))
    assert np.allclose(alone[0][1], prior["i11"])


def test_what_counts_as_certain_depends_on_the_size_of_the_pairs():
    prior = torch.zeros(1, 8, 8)
    prior[0, 0, 0] = 1  # a single pixel: a quarter of a cell at half the size
    assert not has_guides(prior, NetworkConfig(head="relation"), 0.9)
    assert has_guides(prior, NetworkConfig(head={"name": "relation", "variant": "released"}), 0.9)
    assert not has_guides(torch.ones(1, 8, 8), NetworkConfig(head="relation"), 0.9, theta_abg=0.3)


def test_a_prior_of_its_own_size_is_merged_there(data, trained, tmp_path):
    """Where the prior is the surer one it is kept pixel by pixel, and not resampled."""
    images, prior, _ = data
    stripes = np.arange(12)[:, None] % 2 * np.ones((12, 12))
    for key in images.ids:
        large = resize_map(prior[key], (96, 80)).copy()
        large[:12, :12] = 0 if key == "i11" else stripes
        write_map(tmp_path / f"{key}.png", large)
    own = open_maps(tmp_path)
    refined = dict(Refiner(trained.network).refine_all(images, own))
    # With a rate that leaves the network unsure.
    gentle = SingleImageConfig(lr=0.001)
    alone = dict(refine_singly(images, own, gentle, MergeConfig(), NETWORK, CPU, ["i1"]))
    for key, found in [*refined.items(), *alone.items()]:
        kept = found == own[key]
        assert found.shape == (96, 80) and kept[:12, :12].mean() > 0.9, "but where the network's 0 or 1 is as sure"
        assert key in ("i11", "i1") or (~kept).mean() > 0.02, "undecided pixels are decided"
    assert np.array_equal(refined["i11"], own["i11"])


def test_no_usable_prior_is_one_line(data, tmp_path):
    images, _, _ = data
    with write_maps(tmp_path / "flat.h5", images.ids, images.size, images.original_size, ATTRIBUTES) as rows:
        for key in images.ids:
            rows[key] = np.full(images.size, 0.5, np.float32)
    with pytest.raises(UsodError, match=r"flat.h5: no map reaches theta_fg = 0.9"):
        train(images, MapStore(tmp_path / "flat.h5"), SETTINGS, NETWORK, Process(CPU))


def test_a_folder_of_maps_of_other_sizes_is_a_prior(data, trained, tmp_path):
    images, prior, _ = data
    for key in images.ids:
        write_map(tmp_path / f"{key}.png", resize_map(prior[key], (96, 80)))
    first = dict(Refiner(trained.network).refine_all(images, prior))
    second = dict(Refiner(trained.network).refine_all(images, open_maps(tmp_path)))
    assert np.mean([np.abs(first[k] - resize_map(second[k], (48, 48))).mean() for k in images.ids]) < 0.03


def test_one_image_is_enough(data):
    """The single-image mode decides, and every image starts anew: the order of the images does not matter."""
    images, prior, masks = data
    config = SingleImageConfig(iterations=20)
    found = dict(refine_singly(images, prior, config, MergeConfig(), NETWORK, CPU, ids=["i0", "i1"]))
    again = dict(refine_singly(images, prior, config, MergeConfig(), NETWORK, CPU, ids=["i1", "i0"]))
    assert all(np.array_equal(found[key], again[key]) for key in found)
    for number in (0, 1):
        key = f"i{number}"
        assert np.abs(found[key] - masks[number]).mean() < 0.85 * np.abs(prior[key] - masks[number]).mean()


def test_the_learning_rate_falls_step_by_step():
    from usod.training.loop import Schedule

    schedule = Schedule(epochs=2, batch_size=1, lr=1, lr_decay="poly", lr_every="step")
    assert [schedule.lr_factor(e) for e in (0, 0.5, 1.5)] == pytest.approx([1, 0.75**0.9, 0.25**0.9])
