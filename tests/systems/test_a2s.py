import numpy as np
import pytest
import torch
from torch.nn import functional

from usod.data.images import resize_image
from usod.data.mapstore import ImageStore, MapStore, write_images, write_maps
from usod.errors import UsodError
from usod.models.activation import Decisions
from usod.models.config import NetworkConfig
from usod.settings.sections import CrfConfig
from usod.systems import a2s
from usod.systems.a2s import Activation, Rectification
from usod.systems.a2s_labels import activation_variance, pseudo_labels
from usod.systems.a2s_settings import ActivationConfig, PseudoLabelConfig, RectifyConfig
from usod.training.a2s_losses import adb_loss, detection_loss
from usod.training.parallel import Process

CPU = torch.device("cpu")
NETWORK = NetworkConfig(light_width=8)
ATTRIBUTES = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0"}
STAGE1 = ActivationConfig(epochs=2, lr=0.1, batch_size=4, random_encoder=True)
STAGE2 = RectifyConfig(epochs=4, lr=3e-3, batch_size=4, untouched_epochs=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Bright discs on dark ground, and labels of them of which every third lacks a half."""
    folder = tmp_path_factory.mktemp("a2s")
    rng = np.random.default_rng(0)
    ids, size = [f"i{i}" for i in range(12)], (48, 48)
    y, x = np.mgrid[:48, :48]
    masks = [(y - cy) ** 2 + (x - cx) ** 2 < r**2 for cy, cx, r in rng.uniform((14, 14, 8), (34, 34, 12), (12, 3))]
    arguments = (ids, size, np.full((12, 2), 48), ATTRIBUTES)
    with write_images(folder / "images.h5", *arguments) as rows:
        for key, mask in zip(ids, masks, strict=True):
            image = np.where(mask[..., None], (220, 180, 60), (40, 60, 70)) + rng.normal(0, 12, (48, 48, 3))
            rows[key] = image.clip(0, 255).astype(np.uint8)
    with write_maps(folder / "labels.h5", *arguments) as rows:
        for number, (key, mask) in enumerate(zip(ids, masks, strict=True)):
            rows[key] = mask * np.where((x > 24) & (number % 3 == 0), 0.0, 1.0)
    return ImageStore(folder / "images.h5"), MapStore(folder / "labels.h5"), np.array(masks)


def test_the_loss_of_stage_1_is_that_of_four_maps():
    """Eq. 4 on F, F3, F4, F5 with the released weights; no auxiliary ones are A1 of Table IV."""
    theta = [torch.randn(2, 8, 8), torch.randn(2, 4, 4), torch.randn(2, 2, 2), torch.randn(2, 1, 1)]
    decisions, rows = Decisions(theta[0], tuple(theta[1:])), torch.tensor([0, 1])
    config = ActivationConfig(drop=0, alpha=0.2)
    expected = sum(w * adb_loss(t, 0.2) for w, t in zip((1, 0.1, 0.3, 0.5), theta, strict=True))
    torch.testing.assert_close(Activation(config).loss(decisions, rows), expected)
    alone = ActivationConfig(drop=0, alpha=0.2, auxiliary_weights=(0, 0, 0))
    torch.testing.assert_close(Activation(alone).loss(decisions, rows), adb_loss(theta[0], 0.2))


def test_half_of_the_pixels_are_dropped_anew_in_every_step():
    theta = torch.randn(1, 64, 64)
    objective = Activation(ActivationConfig(auxiliary_weights=(0, 0, 0)))
    decisions = Decisions(theta, (theta, theta, theta))
    losses = [objective.loss(decisions, torch.tensor([0])).item() for _ in range(3)]
    assert len(set(losses)) == 3
    assert losses == pytest.approx([adb_loss(theta).item()] * 3, rel=0.1)


def test_labels_follow_the_predictions_after_the_untouched_epochs():
    """Eq. 14 by hand: 1, then 0.4 * 1 + 0.6 * 0.5 = 0.7, then 0.4 * 0.7 + 0.6 * 0.5 = 0.58."""
    objective = Rectification(np.full((2, 1, 1), 255, np.uint8), RectifyConfig(untouched_epochs=2), CPU)
    rows, half = torch.tensor([1]), torch.zeros(1, 1, 1)
    seen = []
    for _ in range(4):
        objective.remember(objective.observe(half, rows), rows)
        seen.append(objective.average.average[1].item())
    assert seen == pytest.approx([1, 1, 0.7, 0.58], abs=1e-3)
    assert objective.average.average[0].item() == 1


def test_the_detector_learns_the_label_of_the_moment_as_it_is_or_above_one_half():
    labels = np.array([[[255, 153], [102, 0]]], np.uint8)
    logits, rows = torch.randn(1, 2, 2), torch.tensor([0])
    for hard, target in ((False, [[1.0, 0.6], [0.4, 0.0]]), (True, [[1.0, 1.0], [0.0, 0.0]])):
        objective = Rectification(labels, RectifyConfig(hard_labels=hard), CPU)
        expected = detection_loss(logits, torch.tensor([target]))
        torch.testing.assert_close(objective.loss(logits, rows), expected, atol=1e-3, rtol=0)


def test_a_pixel_that_is_wrong_beyond_doubt_is_still_learnt():
    """The sigmoid of 30 is 1 in float32: cross entropy has the gradient 1 / 4 there, SSIM and IoU none."""
    logits = torch.tensor([[[30.0, 0.0], [0.0, 0.0]]], requires_grad=True)
    detection_loss(logits, torch.zeros(1, 2, 2)).sum().backward()
    assert logits.grad[0, 0, 0].item() == pytest.approx(0.25)


def test_stage_1_freezes_its_encoder(data):
    images, _, _ = data
    torch.manual_seed(STAGE1.seed)
    before = {k: v.clone() for k, v in a2s.activation_network(NETWORK).backbone.state_dict().items()}
    done = a2s.stage1(images, STAGE1, NETWORK, CPU)
    assert all(torch.equal(v, before[k]) for k, v in done.network.backbone.state_dict().items())
    assert len(done.history) == 2 and done.history[1]["loss"] < done.history[0]["loss"]
    assert done.network.config.head.name == "activation"


def test_an_encoder_without_batch_norms_is_frozen_too(tmp_path):
    from safetensors.torch import save_file

    from usod.models.build import build_backbone
    from usod.models.model_file import load_model, save_model

    save_file(build_backbone(NetworkConfig(name="vgg16")).state_dict(), tmp_path / "w.safetensors")
    net = a2s.activation_network(NetworkConfig(name="vgg16", weights=str(tmp_path / "w.safetensors")))
    assert not any(parameter.requires_grad for parameter in net.backbone.parameters())
    save_model(tmp_path / "m.safetensors", net, net.config, ATTRIBUTES, input_size=(64, 64))
    assert load_model(tmp_path / "m.safetensors")[0].config.name == "vgg16"


def test_without_pretrained_weights_stage_1_says_what_it_needs(data):
    with pytest.raises(UsodError, match="network.weights: none"):
        a2s.stage1(data[0], ActivationConfig(), NETWORK, CPU)


def test_stage_2_learns_and_mends_labels(data):
    images, labels, masks = data
    config = STAGE2.model_copy(update={"epochs": 14, "untouched_epochs": 6})
    done = a2s.stage2(images, labels, config, NetworkConfig(light_width=8, head="ram"), Process(CPU))
    start = np.abs(labels.read_all(images.ids) / 255 - masks).mean()
    assert done.history[-1]["loss"] < 0.7 * done.history[0]["loss"]
    assert np.abs(done.labels / 255 - masks).mean() < 0.7 * start


def test_a_stopped_stage_2_resumes_to_the_same_labels(data, tmp_path, monkeypatch):
    images, labels, _ = data
    network = NetworkConfig(light_width=8, head="ram")
    through = a2s.stage2(images, labels, STAGE2, network, Process(CPU))
    remember = Rectification.remember

    def stop_in_the_third_epoch(objective, observed, rows):
        if objective.average.updates[rows].min() == 2:
            raise KeyboardInterrupt
        remember(objective, observed, rows)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Rectification, "remember", stop_in_the_third_epoch)
        a2s.stage2(images, labels, STAGE2, network, Process(CPU), work=tmp_path)
    again = a2s.stage2(images, labels, STAGE2, network, Process(CPU), work=tmp_path)
    assert len(again.history) == 4 and np.array_equal(through.labels, again.labels)


def test_watched_images_are_kept_before_training_and_after_every_epoch(data, tmp_path):
    images, _, _ = data
    config = STAGE1.model_copy(update={"watch": 3})
    done = a2s.stage1(images, config, NETWORK, CPU)
    assert (done.notes["watched"], len(done.notes["looks"]), done.notes["looks"][0].shape) == (
        [0, 6, 11],
        3,
        (3, 24, 24),
    )
    done.network.eval()
    logits = done.network(done.network.normalise(torch.from_numpy(images["i6"]).permute(2, 0, 1)[None].float() / 255))
    last = logits.sigmoid()[0, 0].detach().reshape(24, 2, 24, 2).mean((1, 3))
    assert np.abs(done.notes["looks"][-1][1] - last.numpy() * 255).max() <= 1
    a2s.stage1(images, config, NETWORK, CPU, work=tmp_path)
    again = a2s.stage1(images, config, NETWORK, CPU, work=tmp_path)  # from the resume state
    assert all(np.array_equal(a, b) for a, b in zip(done.notes["looks"], again.notes["looks"], strict=True))


def test_watching_changes_nothing(data):
    images, _, _ = data
    without = a2s.stage1(images, STAGE1.model_copy(update={"watch": 0}), NETWORK, CPU).network.state_dict()
    watched = a2s.stage1(images, STAGE1, NETWORK, CPU).network.state_dict()
    assert all(torch.equal(value, watched[key]) for key, value in without.items())


def test_pseudo_labels_are_made_at_the_size_of_each_image(data):
    """Eq. 6 by hand: the network sees 48 x 48, the CRF's and the filter's pixels are those of 70 x 90."""
    from scipy.ndimage import median_filter

    from usod.crf import CRFParams, refine

    images, _, _ = data
    own = resize_image(images["i3"], (70, 90))
    torch.manual_seed(1)
    network = a2s.activation_network(NETWORK).eval()
    config = PseudoLabelConfig(crf={"bilateral_sxy": 8, "iterations": 2}, median=5)
    small = torch.tensor(resize_image(own, (48, 48)))[None]
    theta = functional.interpolate(network(network.as_input(small)).detach(), (70, 90), mode="bilinear")[0, 0]
    params = CRFParams(bilateral_sxy=8, bilateral_srgb=5, iterations=2)
    expected = median_filter(refine(own, theta.sigmoid(), params).numpy() > 0.5, size=5)
    (found,) = pseudo_labels(network, [own], (48, 48), config)
    assert found.shape == (70, 90) and 0 < found.mean() < 1 and np.array_equal(found, expected)
    (reduced,) = pseudo_labels(network, [own], (48, 48), config.model_copy(update={"max_side": 45}))
    assert reduced.shape == (35, 45)
    (small,) = pseudo_labels(network, [own], (48, 48), config.model_copy(update={"refined": "working"}))
    again = resize_image(own, (48, 48))
    assert np.array_equal(small, next(pseudo_labels(network, [again], (48, 48), config)))
    theta = network(network.as_input(torch.tensor(own)[None])).detach()[0, 0]
    plain = PseudoLabelConfig(crf=None, median=1, shown="own")
    assert np.array_equal(next(pseudo_labels(network, [own], (48, 48), plain)), theta.numpy() > 0)


def test_the_historical_moving_average_takes_predictions_after_their_crf(data):
    """Table VIII, by hand: nothing for one epoch, then 0.7 G + 0.3 CRF(Y)."""
    from usod.crf import CRFParams, DenseCRF

    images, _, masks = data
    crf = DenseCRF(images.read_all(), CRFParams(bilateral_sxy=8))
    config = RectifyConfig(keep=0.7, untouched_epochs=1, crf={"bilateral_sxy": 8})
    objective = Rectification(np.zeros((12, 48, 48), np.uint8), config, CPU, crf)
    rows, prediction = torch.tensor([3]), torch.from_numpy(np.where(masks[3], 0.7, 0.3)).float()[None]
    for _ in range(2):
        objective.remember(objective.observe(prediction.logit(), rows), rows)
    expected = 0.3 * crf.refine(prediction, [3])[0]
    assert (expected / 0.3 - prediction[0]).abs().max() > 0.2, "the CRF does something"
    torch.testing.assert_close(objective.average.average[3].float(), expected, atol=1e-3, rtol=0)


def test_a_detector_trains_with_the_moving_average(data):
    images, labels, _ = data
    config = STAGE2.model_copy(update={"keep": 0.7, "crf": CrfConfig(bilateral_sxy=8)})
    network = NetworkConfig(light_width=8, head="ram")
    averaged = a2s.stage2(images, labels, config, network, Process(CPU)).labels.astype(int)
    plain = a2s.stage2(images, labels, config.model_copy(update={"crf": None}), network, Process(CPU)).labels
    assert np.abs(averaged - plain).mean() > 0.5


def test_otsu_divides_activations_best_and_the_mean_comes_next(data):
    """Table I; the number for the mean is worked out with NumPy."""
    images, _, _ = data
    torch.manual_seed(0)
    network = a2s.activation_network(NETWORK)
    found = activation_variance(network, images.read_all())
    assert found["otsu"] * 1.001 >= found["mean"] > 0 and found["otsu"] * 1.001 >= found["median"] > 0
    by_hand = []
    for key in images.ids:
        inputs = network.normalise(torch.from_numpy(images[key]).permute(2, 0, 1)[None].float() / 255)
        m = network(inputs)[0, 0].detach().double().numpy()
        m = (m - m.min()) / (m.max() - m.min())
        above = m >= m.mean()
        by_hand.append(above.mean() * (~above).mean() * (m[above].mean() - m[~above].mean()) ** 2)
    assert found["mean"] == pytest.approx(np.mean(by_hand), rel=1e-4)
