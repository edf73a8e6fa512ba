import json
import subprocess
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from usod.cli import app
from usod.crf import refine as crf_refine
from usod.data.mapstore import ImageStore, MapStore, write_images, write_maps
from usod.errors import UsodError
from usod.models.config import NetworkConfig
from usod.models.weights import read_model_header
from usod.systems import deepusps
from usod.systems.deepusps import Fusion, PseudoLabels, Refinement, discretisation_threshold
from usod.systems.deepusps_settings import Binarisation, FuseConfig, RefineConfig
from usod.training.losses import f_beta_loss
from usod.training.moving_average import MovingAverage
from usod.training.parallel import Process
from usod.training.placement import Kept
from usod.training.views import View

from .. import forked

CPU = torch.device("cpu")
NETWORK = NetworkConfig(light_width=8)
ATTRIBUTES = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0", "labels": "none"}
FAST = RefineConfig(epochs=2, batch_size=4, lr=3e-3, crf={"bilateral_sxy": 8})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Discs on textured ground, and noisy maps of them: missing halves, false alarms at the border."""
    folder = tmp_path_factory.mktemp("deepusps")
    rng = np.random.default_rng(0)
    n, size = 24, 48
    y, x = np.mgrid[:size, :size]
    images, masks, maps = [], [], []
    for i in range(n):
        cy, cx, r = rng.uniform(14, 34), rng.uniform(14, 34), rng.uniform(7, 12)
        mask = (y - cy) ** 2 + (x - cx) ** 2 < r**2
        ground, colour = rng.uniform(90, 200, 3), rng.uniform(0, 70, 3)
        image = np.where(mask[..., None], colour, ground) + rng.normal(0, 12, (size, size, 3))
        noisy = mask * np.where((x > cx) & (i % 2 == 0), 0.1, 0.8) + 0.9 * ((y < 5) & (i % 3 == 0))
        images.append(np.clip(image, 0, 255).astype(np.uint8))
        masks.append(mask)
        maps.append(np.clip(noisy + rng.normal(0, 0.05, mask.shape), 0, 1))
    ids = [f"i{i}" for i in range(n)]
    sizes = np.full((n, 2), size)
    with write_images(folder / "images.h5", ids, (size, size), sizes, ATTRIBUTES) as rows:
        for key, image in zip(ids, images, strict=True):
            rows[key] = image
    # Another order than the images': rows are matched by id.
    with write_maps(folder / "maps.h5", ids[::-1], (size, size), sizes, ATTRIBUTES) as rows:
        for key, saliency in zip(ids, maps, strict=True):
            rows[key] = saliency
    return ImageStore(folder / "images.h5"), MapStore(folder / "maps.h5"), np.array(masks)


def mae(labels, masks):
    return float(np.abs(labels / 255 - masks).mean())


def test_the_oracle_takes_each_pixels_best_label():
    labels = [np.array([[10, 200], [90, 0]], np.uint8), np.array([[40, 100], [91, 255]], np.uint8)]
    truth = np.array([[True, True], [False, False]])
    assert deepusps.best_pixels(labels, truth).tolist() == [[40, 200], [90, 0]]


def test_handcrafted_maps_are_fused_at_their_own_threshold(data, tmp_path, capsys):
    """Maps that never reach 0.5 would be empty labels; relative to their mean they are objects."""
    images, maps, _ = data
    with write_maps(tmp_path / "dark.h5", images.ids, images.size, images.original_size, ATTRIBUTES) as rows:
        for key in images.ids:
            rows[key] = 0.4 * maps[key]
    config = FuseConfig(epochs=2, batch_size=4, lr=3e-3)
    losses = []
    fixed = Binarisation(threshold=0.39)
    for unrefined in ({}, {"dark": Binarisation()}, {"dark": fixed}):
        history = deepusps.fuse(
            images, {"dark": MapStore(tmp_path / "dark.h5")}, 0, config, NETWORK, Process(CPU), unrefined=unrefined
        ).history
        losses.append(history[-1]["loss"])
        said = "fusion, dark: 24 of 24 labels are empty, nothing is learnt from them"
        assert (said in capsys.readouterr().err) == (not unrefined)
    assert losses[0] == pytest.approx(1) and losses[1] < 0.9, "1 - F of an empty label is 1 whatever is predicted"
    assert losses[1] < losses[2] < 1, "hardly any pixel is above the method's own threshold"


def test_the_command_binarises_each_source_of_maps_as_it_is_told(data, tmp_path):
    images, maps, _ = data
    learn = '{"epochs": 1, "batch_size": 8, "lr": 3e-3}'
    given = ["deepusps", "fuse", "--images", images.path, "--maps", f"a={maps.path}", "--maps", f"b={maps.path}"]
    given += [
        "--config",
        learn,
        "--network",
        '{"light_width": 8}',
        "--device",
        "cpu",
        "--out",
        tmp_path / "m.safetensors",
    ]
    losses = []
    for how in ({}, {"b": {"threshold": 0.8}}, {"a": {"threshold": 0.8}, "b": {"threshold": 0.8}}):
        more = ["--binarise", json.dumps(how), "--history", tmp_path / "h.csv"]
        app(list(map(str, given + more)), standalone_mode=False)
        losses.append(float((tmp_path / "h.csv").read_text().splitlines()[1].split(",")[1]))
    assert losses[1] == pytest.approx((losses[0] + losses[2]) / 2, abs=0.01)
    assert len(set(losses)) == 3


def test_an_oracle_says_that_it_learnt_from_masks(data, tmp_path):
    images, _, masks = data
    lines = ["id,mask,threshold,foreground_share"]
    for key, mask in zip(images.ids, masks, strict=True):
        large = mask.repeat(2, 0).repeat(2, 1)
        large[0, 0] = True  # a quarter of a pixel at the images' size
        Image.fromarray(large).save(tmp_path / f"{key}.png")
        lines.append(f"{key},{tmp_path / key}.png,0.5,{mask.mean()}")
    (tmp_path / "masks.csv").write_text("\n".join(lines) + "\n")
    usod = [forked.command(), "deepusps"]
    given = ["--images", images.path, "--masks", tmp_path / "masks.csv"]
    subprocess.run([*usod, "oracle", *given, "--out", tmp_path / "oracle.h5"], check=True)
    with MapStore(tmp_path / "oracle.h5") as oracle:
        assert np.array_equal(oracle.read_all(images.ids), masks * np.uint8(255))
    small = ["--config", '{"epochs": 1}', "--network", '{"light_width": 8}', "--history", tmp_path / "h.csv"]
    labels = ["--images", images.path, "--labels", f"oracle={tmp_path / 'oracle.h5'}"]
    subprocess.run([*usod, "fuse", *labels, *small, "--out", tmp_path / "m.safetensors"], check=True)
    assert read_model_header(tmp_path / "m.safetensors")["labels"] == "masks"
    (tmp_path / "masks.csv").write_text("\n".join(lines[:-1]) + "\n")
    failed = subprocess.run([*usod, "oracle", *given, "--out", tmp_path / "n.h5"], capture_output=True, text=True)
    assert failed.returncode == 1 and "1 of 24 images have no mask: i23" in failed.stderr
    assert not (tmp_path / "n.h5").exists()


def test_the_threshold_is_one_and_a_half_times_the_mean():
    maps = np.zeros((2, 2, 2), np.uint8)
    maps[0], maps[1] = 51, 153  # 0.2 and 0.6: mean 0.4 over the data set
    np.testing.assert_allclose(discretisation_threshold(maps), [0.6, 0.6], rtol=1e-6)
    np.testing.assert_allclose(discretisation_threshold(maps, scope="image"), [0.3, 0.9], rtol=1e-6)


def test_the_threshold_never_excludes_everything():
    maps = np.full((1, 2, 2), 255, np.uint8)
    assert (maps[0] / 255 > discretisation_threshold(maps)[0]).all()


def test_labels_are_discretised_before_the_loss():
    maps = np.array([[[0, 100], [101, 255]]], np.uint8)
    labels = PseudoLabels(maps, np.array([100 / 255], np.float32))
    p = torch.rand(1, 2, 2)
    expected = f_beta_loss(p, torch.tensor([[[0.0, 0.0], [1.0, 1.0]]]), 0.3)
    torch.testing.assert_close(labels.loss(p, torch.tensor([0]), 0.3, False), expected)


def test_fusion_is_the_mean_of_the_losses():
    rng = np.random.default_rng(1)
    sources = [
        PseudoLabels(rng.integers(0, 256, (3, 5, 5)).astype(np.uint8), np.full(3, 0.5, np.float32)) for _ in range(3)
    ]
    p, rows = torch.rand(2, 5, 5), torch.tensor([2, 0])
    expected = sum(s.loss(p, rows, 4, False) for s in sources) / 3
    torch.testing.assert_close(Fusion(sources, FuseConfig()).loss(p, rows), expected)


def test_the_fusion_compares_smaller_maps_with_smaller_labels():
    """Blocks of 32 pixels at half the size, mirrored: those above a quarter, but for the pixels along their borders."""
    blocks = np.array([[10, 80], [0, 200]], np.uint8)
    labels = PseudoLabels(blocks.repeat(32, 0).repeat(32, 1)[None], np.full(1, 0.25, np.float32))
    fusion = Fusion([labels], FuseConfig())
    expected = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).repeat_interleave(16, 0).repeat_interleave(16, 1)[None]
    agreeing, view = (expected - 0.5) * 100, View(torch.tensor([True]), size=32)
    loss = fusion.loss(fusion.read(agreeing[None], view), torch.tensor([0]))
    assert loss.item() < 0.03
    assert fusion.loss(fusion.read(-agreeing[None], view), torch.tensor([0])).item() > 0.95


def test_equal_weights_change_no_bit_and_weights_are_those_of_the_image():
    rng = np.random.default_rng(1)
    sources = [
        PseudoLabels(rng.integers(0, 256, (3, 5, 5)).astype(np.uint8), np.full(3, 0.5, np.float32)) for _ in "ab"
    ]
    p, rows = torch.rand(2, 5, 5), torch.tensor([2, 0])
    first, second = (source.loss(p, rows, 4, False) for source in sources)
    assert torch.equal(Fusion(sources, FuseConfig()).loss(p, rows), torch.stack([first, second]).mean(0))
    weights = np.array([[0.25, 0.75], [0, 1], [0.5, 0.5]], np.float32)
    found = Fusion(sources, FuseConfig(), Kept(weights)).loss(p, rows)
    expected = [(first[0] + second[0]) / 2, first[1] / 4 + second[1] * 3 / 4]
    torch.testing.assert_close(found, torch.stack(expected))


def test_labels_that_agree_with_no_other_weigh_nothing(data, tmp_path):
    """Two maps that vote the same, one of them darker, and one that is empty: the loss is that of the first alone."""
    images, maps, _ = data
    for name, factor in (("dark", 0.4), ("empty", 0)):
        with write_maps(tmp_path / f"{name}.h5", images.ids, images.size, images.original_size, ATTRIBUTES) as rows:
            for key in images.ids:
                rows[key] = factor * maps[key]
    three = {"one": maps, **{name: MapStore(tmp_path / f"{name}.h5") for name in ("dark", "empty")}}
    config, losses = FuseConfig(epochs=1, batch_size=24, lr=1e-9), {}
    relative = dict.fromkeys(["one", "dark"], Binarisation())
    for sources, weights in (({"one": maps}, "equal"), (three, "equal"), (three, "agreement")):
        settings = config.model_copy(update={"weights": weights})
        done = deepusps.fuse(images, sources, 0, settings, NETWORK, Process(CPU), unrefined=relative)
        losses[len(sources), weights] = done.history[-1]["loss"]
    alone = losses[1, "equal"]
    assert losses[3, "agreement"] == pytest.approx(alone, abs=2e-3)
    assert losses[3, "equal"] == pytest.approx((2 * alone + 1) / 3, abs=2e-3), "an empty label costs 1"


ALIKE = (20, 3, 2, 3, 40)
"""Pixels with no vote, of each set of one, of two, of three, and of all four label sets."""
UNLIKE = (20, 8, 2, 0, 0)


@pytest.mark.parametrize(
    ("pixels", "beta2", "votes"),
    [(ALIKE, 4, 1), (ALIKE, 1, 2), (ALIKE, 0.3, 3), (UNLIKE, 4, 1), (UNLIKE, 1, 1), (UNLIKE, 0.3, 2)],
)
def test_beta2_says_how_many_of_four_votes_a_pixel_needs(pixels, beta2, votes):
    """The best of all predictions, found pixel by pixel, has those with at least K F / (1 + beta^2) votes.

    The mean of K losses with equal |t_i| = T is 1 - (1 + beta^2)/K sum_p p v(p) / (sum_p p + beta^2 T), v(p) the votes:
    a quotient of two linear functions, largest where p = 1 for v(p) (1 + beta^2)/K above its own value F, else 0.
    """
    voters = [chosen for chosen in product([0, 1], repeat=4) for _ in range(pixels[sum(chosen)])]
    table = np.array(voters, np.uint8).T[:, None, None] * np.uint8(255)
    fusion = Fusion([PseudoLabels(maps, np.full(1, 0.5, np.float32)) for maps in table], FuseConfig(beta2=beta2))
    logits = torch.zeros(1, 1, len(voters), requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.2)
    for _ in range(300):
        optimiser.zero_grad()
        loss = fusion.loss(logits.sigmoid(), torch.tensor([0])).sum()
        loss.backward()
        optimiser.step()
    found = logits.sigmoid().detach().flatten()
    expected = torch.tensor([float(sum(chosen) >= votes) for chosen in voters])
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)
    assert votes == np.ceil(4 * (1 - loss.item()) / (1 + beta2))


def test_what_is_averaged_is_the_crf_of_the_prediction(data):
    from usod.crf import CRFParams, DenseCRF

    images, _, _ = data
    pixels = images.read_all()
    params = CRFParams(bilateral_sxy=8)
    average = MovingAverage(len(images), (48, 48), alpha=0.7)
    objective = Refinement(None, average, DenseCRF(pixels, params), RefineConfig())
    rows = torch.tensor([5, 1])
    first, second = torch.rand(2, 2, 48, 48)
    for p in (first, second):
        objective.remember(objective.observe(p, rows), rows)
    refined = [torch.from_numpy(crf_refine(pixels[[5, 1]], p.numpy(), params)) for p in (first, second)]
    expected = (0.7 * 0.3 * refined[0] + 0.3 * refined[1]) / (1 - 0.7**2)
    torch.testing.assert_close(average.read(rows), expected, atol=2e-3, rtol=0)


def test_stages_make_better_labels_than_they_start_from(data):
    """The method's claim, in small: consistency between images removes what a single map got wrong."""
    images, maps, masks = data
    config = FAST.model_copy(update={"epochs": 14})
    torch.set_num_threads(1)
    done = deepusps.refine(images, maps, 0, config, NETWORK, CPU)
    start = mae(maps.read_all(images.ids), masks)
    assert mae(done.labels, masks) < 0.7 * start
    assert 0 < done.notes["movement"] < 1 and len(done.history) == 14


def test_the_same_seed_gives_the_same_labels_and_resuming_too(data, tmp_path):
    images, maps, _ = data
    first = deepusps.refine(images, maps, 0, FAST, NETWORK, CPU)
    assert np.array_equal(first.labels, deepusps.refine(images, maps, 0, FAST, NETWORK, CPU, work=tmp_path).labels)
    # The state of the finished training lies in `work`: a second call goes on from there, and has nothing left to do.
    again = deepusps.refine(images, maps, 0, FAST, NETWORK, CPU, work=tmp_path)
    assert np.array_equal(first.labels, again.labels)
    other = deepusps.refine(images, maps, 0, FAST, NETWORK, CPU, seed=1)
    assert not np.array_equal(first.labels, other.labels)


def test_a_later_stage_has_its_own_start_rate_and_threshold(data, capsys):
    images, maps, _ = data
    config = FAST.model_copy(update={"threshold": 0.2, "later_threshold": 0.2, "lr_growth": 1.0})
    stages = [deepusps.refine(images, maps, stage, config, NETWORK, CPU) for stage in (0, 1)]
    assert not np.array_equal(*(done.labels for done in stages)), "the new layers are drawn anew"
    config = FAST.model_copy(update={"lr_growth": 2.0, "threshold": 0.1, "later_threshold": 0.7})
    capsys.readouterr()
    rates = [deepusps.refine(images, maps, stage, config, NETWORK, CPU).history[0]["lr"] for stage in (0, 1, 2)]
    assert rates == pytest.approx([3e-3, 6e-3, 12e-3])
    said = [line for line in capsys.readouterr().err.splitlines() if "labels are salient above" in line]
    assert said == [
        f"stage {n}: labels are salient above {level}" for n, level in enumerate(("0.100", "0.700", "0.700"))
    ]


def test_any_number_of_threads_gives_the_same_labels(data, threads):
    """With the CRF of every prediction between two steps, whose threads must leave the network's alone."""
    images, maps, _ = data
    config = FAST.model_copy(update={"epochs": 1})
    assert config.crf is not None
    done = deepusps.refine(images, maps, 0, config, NETWORK, CPU)
    assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    alone = deepusps.refine(images, maps, 0, config, NETWORK, CPU)
    assert np.abs(done.labels.astype(int) - alone.labels).max() <= 1
    for name, weight in alone.network.state_dict().items():
        torch.testing.assert_close(done.network.state_dict()[name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("count", [1, 3])
def test_fusion_takes_any_number_of_methods(data, count):
    images, maps, _ = data
    sources = {f"m{i}": maps for i in range(count)}
    done = deepusps.fuse(images, sources, 0, FuseConfig(epochs=1, batch_size=8), NETWORK, Process(CPU))
    network, history = done.network, done.history
    assert len(history) == 1 and network(torch.zeros(1, 3, 48, 48)).shape == (1, 1, 48, 48)


def test_stable_labels_are_recognised():
    config = RefineConfig(stable=0.01)
    assert deepusps.is_stable({"movement": 0.009}, 1, config)
    assert not deepusps.is_stable({"movement": 0.011}, 1, config)
    assert not deepusps.is_stable({"movement": 0.0}, 0, config)
    assert not deepusps.is_stable({"movement": 0.0}, 1, RefineConfig())
    assert not deepusps.is_stable({}, 1, config), "labels that do not say what moved"


def test_maps_of_another_size_are_one_line(data, tmp_path):
    images, _, _ = data
    sizes = np.ones((len(images), 2))
    with write_maps(tmp_path / "small.h5", images.ids, (24, 24), sizes, ATTRIBUTES) as rows:
        for key in images.ids:
            rows[key] = np.zeros((24, 24))
    with pytest.raises(UsodError, match=r"small.h5: has 24x24"):
        deepusps.refine(images, MapStore(tmp_path / "small.h5"), 0, FAST, NETWORK, CPU)


def test_settled_labels_are_handed_on_with_their_network(data, tmp_path):
    images, maps, _ = data
    with write_maps(
        tmp_path / "labels.h5", images.ids, images.size, images.original_size, ATTRIBUTES | {"movement": 0.001}
    ) as rows:
        for key in images.ids:
            rows[key] = maps[key]
    (tmp_path / "model.safetensors").write_bytes(b"the network")
    command = ["deepusps", "refine", "--images", images.path, "--maps", tmp_path / "labels.h5", "--stage", 2]
    outputs = ["--out-labels", tmp_path / "l.h5", "--out-model", tmp_path / "m", "--history", tmp_path / "h.csv"]
    more = ["--model-before", tmp_path / "model.safetensors", "--config", '{"stable": 0.01}']
    subprocess.run([forked.command(), *map(str, command + outputs + more)], check=True)
    assert (tmp_path / "m").read_bytes() == b"the network"
    assert (tmp_path / "l.h5").read_bytes() == (tmp_path / "labels.h5").read_bytes()
    assert (tmp_path / "h.csv").read_text().startswith("epoch,loss")


def test_two_processes_fuse_as_one(data, tmp_path):
    """The same network up to float error, and its files written once."""
    images, maps, _ = data
    config = '{"epochs": 2, "batch_size": 5, "lr": 1e-3, "flip": true}'
    for count in ("1", "2"):
        folder = tmp_path / count
        command = ["deepusps", "fuse", "--images", images.path, "--labels", f"m={maps.path}", "--config", config]
        command += ["--network", '{"light_width": 8}', "--device", "cpu", "--devices", count, "--threads", "1"]
        command += ["--out", folder / "model.safetensors", "--history", folder / "h.csv", "--work", folder / "work"]
        subprocess.run([forked.command(), *map(str, command)], check=True)
        assert sorted(file.name for file in folder.iterdir()) == ["h.csv", "model.safetensors"]
    one, two = (load_file(tmp_path / count / "model.safetensors") for count in ("1", "2"))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-3, atol=1e-4)


def test_few_images_are_trained_on_for_more_epochs(data):
    images, maps, _ = data
    config = FAST.model_copy(update={"epochs": 1, "min_steps": 13})
    done = deepusps.refine(images, maps, 0, config, NETWORK, CPU)
    assert len(done.history) == 3, "24 images in batches of 4 are 6 steps: 13 need 3 epochs"
    fuse = FuseConfig(epochs=2, batch_size=5, lr=3e-3, min_steps=9)
    history = deepusps.fuse(images, {"m": maps}, 0, fuse, NETWORK, Process(CPU)).history
    assert len(history) == 2, "10 steps are enough"


@pytest.mark.parametrize(("most", "epochs"), [(17, 3), (11, 2), (1, 1)])
def test_many_images_are_trained_on_for_fewer_epochs(data, most, epochs):
    images, maps, _ = data
    fuse = FuseConfig(epochs=9, batch_size=5, lr=3e-3, max_steps=most, min_steps=30)
    history = deepusps.fuse(images, {"m": maps}, 0, fuse, NETWORK, Process(CPU)).history
    assert len(history) == epochs, "24 images in batches of 5 are 5 steps"
    assert [row["lr"] for row in history] == [pytest.approx(3e-3 * (1 - i / epochs) ** 0.9) for i in range(epochs)]


@pytest.mark.parametrize(
    ("limit", "epochs", "power"), [({"epochs": 2, "min_steps": 6}, 6, 1 / 3), ({"epochs": 6, "max_steps": 2}, 2, 3)]
)
def test_the_average_reaches_over_the_same_share_of_a_longer_or_shorter_training(data, limit, epochs, power):
    """Epochs of one step. Two that become six: alpha is of two of them, its cube root of each; and the reverse."""
    images, maps, _ = data
    asked = FAST.model_copy(update={"batch_size": 24} | limit)
    written_out = FAST.model_copy(update={"batch_size": 24, "epochs": epochs, "alpha": FAST.alpha**power})
    found, expected = (deepusps.refine(images, maps, 0, config, NETWORK, CPU) for config in (asked, written_out))
    assert len(found.history) == epochs and np.array_equal(found.labels, expected.labels)
    per_step = deepusps.refine(images, maps, 0, written_out.model_copy(update={"alpha": FAST.alpha}), NETWORK, CPU)
    assert not np.array_equal(found.labels, per_step.labels)


def test_maps_that_are_binarised_must_be_given(tmp_path):
    call = ["fuse", "--images", "i.h5", "--maps", "rbd=rbd.h5", "--out", "m.safetensors", "--history", "h.csv"]
    usod = [forked.command(), "deepusps", *call, "--binarise"]
    for text, line in (
        ('{"mc": {}}', "--binarise: no --maps of the name 'mc'"),
        ('{"rbd": {"threshold": 2}}', "--binarise: rbd.threshold: must be below 1, not 2"),
    ):
        failed = subprocess.run([*usod, text], capture_output=True, text=True, cwd=tmp_path)
        assert failed.returncode == 2 and line in failed.stderr
