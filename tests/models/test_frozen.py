"""Frozen encoders: features at hand give what the images themselves give, and nothing of the encoder moves."""

import subprocess

import numpy as np
import pydantic
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from usod.data.features import FeatureStore
from usod.data.mapstore import ImageStore, write_images, write_maps
from usod.errors import UsageError, UsodError
from usod.inference.features import write_features_of
from usod.inference.predict import Model, predict_store
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.model_file import load_model, save_model
from usod.models.timm_encoder import TimmEncoder
from usod.plan import features_name
from usod.provenance import describe
from usod.systems import a2s, deepusps, distil
from usod.systems.a2s_settings import RectifyConfig
from usod.systems.deepusps_settings import Binarisation, FuseConfig, RefineConfig
from usod.systems.distil_settings import LearnConfig, StudentConfig
from usod.training import inputs, placement
from usod.training.checkpoint import Checkpoint
from usod.training.inputs import KeptFeatures
from usod.training.parallel import Process
from usod.training.views import View

from .. import forked

ENCODERS = ("timm/test_vit", "timm/test_resnet", "mobilenet_v2")
CPU = torch.device("cpu")
IDS = [f"i{i}" for i in range(6)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Name -> a file of random weights; frozen encoders want some."""
    folder, found = tmp_path_factory.mktemp("weights"), {}
    for name in ENCODERS:
        torch.manual_seed(1)
        found[name] = folder / f"{name.removeprefix('timm/')}.safetensors"
        encoder = build_network(NetworkConfig(name=name)).backbone.train()
        with torch.no_grad():
            for _ in range(30):  # statistics of the batch norms, without which nothing is left at the end
                encoder.stages(torch.randn(4, 3, 64, 64))
        save_file({key: tensor.contiguous() for key, tensor in encoder.state_dict().items()}, found[name])
    return found


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Six images of 64x64 whose left or right half is bright, and that half as their label."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 90, (6, 64, 64, 3)).astype(np.uint8)
    masks = np.zeros((6, 64, 64), np.uint8)
    for row in range(6):
        masks[row, :, 32 * (row % 2) : 32 * (row % 2 + 1)] = 255
    pixels[masks > 0] += 150
    sizes, attributes = np.full((6, 2), 64), describe({}, {}) | {"created_by": "test"}
    with write_images(folder / "images.h5", IDS, (64, 64), sizes, attributes) as rows:
        rows.fill(pixels)
    with write_maps(folder / "maps.h5", IDS, (64, 64), sizes, attributes) as rows:
        rows.fill(masks)
    return ImageStore(folder / "images.h5")


def frozen(weights, name="timm/test_vit", **keys):
    return NetworkConfig(name=name, weights=str(weights[name]), frozen=True, **keys)


def network_of(config):
    torch.manual_seed(0)
    return build_network(config).eval()


def kept(images, config, path):
    attributes = describe({}, {"images": images.path}) | {"created_by": "test"}
    write_features_of(images, network_of(config), path, attributes, batch=4)
    return FeatureStore(path)


@torch.no_grad()
def test_the_grid_is_that_of_the_chosen_blocks_side_by_side(weights):
    network = network_of(frozen(weights, features={"layers": [-2, -1]}))
    image = torch.rand(2, 3, 64, 96)
    plain = TimmEncoder("timm/test_vit", depth=2).eval()
    plain.load_state_dict(network.backbone.encoder.state_dict())
    expected = plain.model.forward_intermediates(
        image, indices=2, norm=True, output_fmt="NCHW", intermediates_only=True
    )
    torch.testing.assert_close(network.backbone.features(image), torch.cat(expected, 1))


@torch.no_grad()
def test_stages_of_a_convolutional_encoder_come_to_the_finer_grid(weights):
    network = network_of(frozen(weights, "timm/test_resnet"))
    image = torch.rand(1, 3, 64, 64)
    *_, fourth, fifth = network.backbone.encoder.stages(image)
    grid = network.backbone.features(image)
    assert grid.shape == (1, 192 + 96, 4, 4)
    assert torch.equal(grid[:, :192], fourth)
    enlarged = functional.interpolate(fifth, (4, 4), mode="bilinear", align_corners=False)
    assert torch.equal(grid[:, 192:], enlarged)


def test_a_frozen_encoder_keeps_its_statistics_where_it_sees_the_images_of_a_training(weights, images):
    network = network_of(frozen(weights, "mobilenet_v2")).train()
    before = {key: value.clone() for key, value in network.backbone.state_dict().items()}
    network(network.as_input(torch.from_numpy(images.read_all()))).sum().backward()
    assert all(torch.equal(value, before[key]) for key, value in network.backbone.state_dict().items())
    assert all(p.grad is None for p in network.backbone.parameters())
    assert all(p.grad is not None for p in network.head.parameters())


@torch.no_grad()
def test_the_encoder_can_be_given_a_larger_image_in_whole_patches(weights):
    network = network_of(frozen(weights, features={"size": 100}))
    image = torch.rand(1, 3, 64, 64)
    assert network.backbone.given_size((64, 64)) == (96, 96)
    assert network.backbone.features(image).shape[-2:] == (6, 6)
    assert network(network.normalise(image)).shape == (1, 1, 64, 64)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("head", ["patch", "guided", "skip", "ram"])
def test_features_at_hand_give_what_the_images_give(weights, images, tmp_path, name, head, dtype):
    config = frozen(weights, name, head=head, features={"dtype": dtype})
    network = network_of(config)
    save_model(tmp_path / "m.safetensors", network, config, input_size=64)
    kept(images, config, tmp_path / "f.h5").close()
    model = Model(tmp_path / "m.safetensors", "cpu")
    for out, features in (("1.h5", None), ("2.h5", tmp_path / "f.h5")):
        predict_store(model, tmp_path / "m.safetensors", images.path, tmp_path / out, 4, features)
    with deepusps.MapStore(tmp_path / "1.h5") as plain, deepusps.MapStore(tmp_path / "2.h5") as cached:
        assert np.ptp(plain.read_all()) > 0
        difference = np.abs(plain.read_all().astype(int) - cached.read_all())
    assert difference.mean() < (0.3 if dtype == "float16" else 2)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_batches_are_the_same_from_memory_and_from_the_file(weights, images, tmp_path, monkeypatch, stream, dtype):
    monkeypatch.setattr(inputs, "host_memory", lambda: 0 if stream else 2**40)
    store = kept(images, frozen(weights, features={"dtype": dtype}), tmp_path / "f.h5")
    features = KeptFeatures(store, IDS[::-1])
    assert (features.values is None) == stream
    rows = torch.tensor([4, 0])
    expected = np.stack([store["i1"], store["i5"]]).transpose(0, 3, 1, 2)
    placement.UPCOMING.rows = later = torch.tensor([1, 1, 3])
    np.testing.assert_array_equal(features[rows].numpy(), expected)
    placement.UPCOMING.rows = None
    assert (features._ahead._begun is not None) == stream
    expected = np.stack([store["i4"], store["i4"], store["i2"]]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(features[later].numpy(), expected)


@pytest.mark.parametrize("head", ["patch", "guided"])
def test_a_mirrored_image_goes_with_mirrored_features(weights, images, tmp_path, head):
    config = frozen(weights, head=head)
    store = kept(images, config, tmp_path / "f.h5")
    network, pixels = network_of(config), images.read_all()
    given = inputs.Inputs.with_features(pixels, images, network, "cpu", store)
    rows = torch.tensor([3, 1])
    plain, mirrored = (given.of(network, rows, View(torch.tensor([flip, False]))) for flip in (False, True))
    assert network.sees_image == (head == "guided") == bool(plain[0][0].any())
    for before, after in ((plain[0][0], mirrored[0][0]), (plain[1]["features"], mirrored[1]["features"])):
        assert torch.equal(before[0].flip(-1), after[0]) and torch.equal(before[1], after[1])


@torch.no_grad()
@pytest.mark.parametrize("head", ["patch", "guided"])
def test_a_frozen_networks_maps_are_compared_at_a_size_of_their_own(weights, images, tmp_path, head):
    """Its features are those of the whole image: the smaller map is nearly the larger one made smaller."""
    config = frozen(weights, head=head)
    network = network_of(config)
    with ImageStore(images.path) as same:
        given = inputs.Inputs.with_features(
            images.read_all(), same, network, "cpu", kept(images, config, tmp_path / "f.h5")
        )
    maps = []
    for size in (None, 32):
        arguments, named = given.of(network, torch.arange(6), View(torch.zeros(6, dtype=torch.bool), size=size))
        maps.append(network(*arguments, **named))
    assert maps[1].shape == (6, 1, 32, 32)
    smaller = functional.interpolate(maps[0], (32, 32), mode="bilinear", antialias=True)
    assert (smaller - maps[1]).abs().mean() < 0.05 * maps[0].std()


@pytest.mark.parametrize("size", [32, 96])
def test_its_encoder_sees_the_images_as_they_are_without_kept_features_too(weights, images, tmp_path, size):
    config, settings = frozen(weights), LearnConfig(epochs=2, min_steps=0, batch_size=3, flip=False, size=size)
    told = (images, deepusps.MapStore(images.path.parent / "maps.h5"), settings, config, Process(CPU))
    done = [distil.learn(*told, features) for features in (None, kept(images, config, tmp_path / "f.h5"))]
    assert done[0].history[-1]["loss"] == pytest.approx(done[1].history[-1]["loss"], abs=2e-3)


def test_labels_are_refined_by_the_images_where_features_stand_for_them(weights, images, tmp_path):
    config, rest = frozen(weights, head="ram"), {"keep": 0.2, "untouched_epochs": 0, "refinement": {"weight": 0.8}}
    settings = RectifyConfig(epochs=2, batch_size=3, flip=False, lr=1e-9, **rest)
    told = (images, deepusps.MapStore(images.path.parent / "maps.h5"), settings, config, Process(CPU))
    done = [a2s.stage2(*told, features).labels for features in (None, kept(images, config, tmp_path / "f.h5"))]
    assert np.abs(done[0].astype(int) - done[1]).mean() < 0.5


def test_a_frozen_student_is_shown_no_other_views_than_its_features_are_of(weights, images, tmp_path):
    store, histories = kept(images, frozen(weights), tmp_path / "f.h5"), []
    for augment in (None, {}):
        settings = StudentConfig(epochs=1, min_steps=0, batch_size=3, augment=augment)
        with deepusps.MapStore(images.path.parent / "maps.h5") as labels:
            done = distil.learn(images, labels, settings, frozen(weights), Process(CPU), store)
        histories.append([row["loss"] for row in done.history])
    assert histories[0] == histories[1]


def test_only_the_head_learns_and_only_it_is_kept_for_a_resume(weights, images, tmp_path):
    config = frozen(weights)
    store = kept(images, config, tmp_path / "f.h5")
    settings = FuseConfig(epochs=30, batch_size=3, lr=3e-3)
    with deepusps.MapStore(images.path.parent / "maps.h5") as maps:
        done = deepusps.fuse(
            images, {"a": maps}, 0, settings, config, Process(CPU), features=store, work=tmp_path / "work"
        )
    assert done.history[-1]["loss"] < done.history[0]["loss"] / 2
    before = build_network(config).backbone.state_dict()
    assert all(torch.equal(value, before[key]) for key, value in done.network.backbone.state_dict().items())
    state = torch.load(next((tmp_path / "work").glob("*.pt")), weights_only=True)
    assert state["network"] and all(key.startswith("head.") for key in state["network"])


def test_a_resumed_training_is_the_one_that_was_not_stopped(weights, images, tmp_path, monkeypatch):
    config, settings = frozen(weights), RefineConfig(epochs=4, batch_size=3, lr=3e-3, crf=None)
    store = kept(images, config, tmp_path / "f.h5")

    def stage(work):
        with deepusps.MapStore(images.path.parent / "maps.h5") as maps:
            return deepusps.refine(images, maps, 0, settings, config, CPU, features=store, work=work)

    whole, saved, save = stage(None), [], Checkpoint.save

    def stops(self, state):
        save(self, state)
        saved.append(state)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", stops)
    with pytest.raises(KeyboardInterrupt):
        stage(tmp_path / "work")
    monkeypatch.setattr(Checkpoint, "save", save)
    resumed = stage(tmp_path / "work")
    assert len(saved) == 2 and np.array_equal(resumed.labels, whole.labels)
    theirs = whole.network.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in resumed.network.state_dict().items())


@pytest.mark.parametrize("other", ["features", "unrefined"])
def test_a_training_that_was_told_otherwise_begins_anew(weights, images, tmp_path, other):
    """Mirrored features are not quite those of mirrored images, and maps are binarised in another way than labels."""
    config, settings = frozen(weights), FuseConfig(epochs=1, batch_size=3, flip=True)
    more = {other: kept(images, config, tmp_path / "f.h5") if other == "features" else {"a": Binarisation()}}
    told = (images, {"a": deepusps.MapStore(images.path.parent / "maps.h5")}, 0, settings, config, Process(CPU))
    done = [deepusps.fuse(*told, work=tmp_path / "work", **given).history for given in ({}, {}, more)]
    assert done[0] == done[1] != done[2]


def test_a_model_file_holds_its_encoder(weights, tmp_path):
    config = frozen(weights)
    network = network_of(config)
    save_model(tmp_path / "m.safetensors", network, config, input_size=64)
    weightless = config.model_copy(update={"weights": str(tmp_path / "gone.safetensors")})
    save_model(tmp_path / "n.safetensors", network, weightless, input_size=64)
    image = torch.rand(1, 3, 64, 64)
    for name in ("m", "n"):
        loaded, _ = load_model(tmp_path / f"{name}.safetensors")
        assert torch.equal(loaded(image), network(image))


def test_features_of_other_weights_are_refused(weights, images, tmp_path):
    store = kept(images, frozen(weights), tmp_path / "f.h5")
    other = tmp_path / "other.safetensors"
    torch.manual_seed(2)
    save_file(build_network(NetworkConfig(name="timm/test_vit")).backbone.state_dict(), other)
    config = NetworkConfig(name="timm/test_vit", weights=str(other), frozen=True)
    with pytest.raises(UsodError, match="features of an encoder with weights"):
        inputs.Inputs.with_features(images.read_all(), images, network_of(config), "cpu", store)


def test_features_of_other_images_of_the_same_names_are_refused(weights, images, tmp_path):
    kept(images, frozen(weights), tmp_path / "f.h5").close()
    sizes, attributes = np.full((6, 2), 64), describe({}, {}) | {"created_by": "test"}
    with write_images(tmp_path / "images.h5", IDS, (64, 64), sizes, attributes) as rows:
        rows.fill(images.read_all()[::-1])
    config = frozen(weights)
    save_model(tmp_path / "m.safetensors", network_of(config), config, input_size=64)
    model = Model(tmp_path / "m.safetensors", "cpu")
    with pytest.raises(UsodError, match="f.h5: features of other images than .*images.h5; make them again"):
        predict_store(model, model.path, tmp_path / "images.h5", tmp_path / "o.h5", 4, tmp_path / "f.h5")
    assert not (tmp_path / "o.h5").exists()


def test_a_resume_state_of_an_encoder_with_other_weights_is_not_used(weights, images, tmp_path):
    """It holds the head alone, learnt on features that are no longer those of the encoder."""
    settings = RefineConfig(epochs=1, batch_size=3, lr=3e-3, crf=None)
    file = tmp_path / "w.safetensors"

    def losses():
        with deepusps.MapStore(images.path.parent / "maps.h5") as maps:
            done = deepusps.refine(
                images, maps, 0, settings, frozen({"timm/test_vit": file}), CPU, work=tmp_path / "work"
            )
        return [row["seconds"] for row in done.history]

    file.write_bytes(weights["timm/test_vit"].read_bytes())
    first = losses()
    assert losses() == first, "gone on with: nothing was left to do"
    torch.manual_seed(5)
    save_file(build_network(NetworkConfig(name="timm/test_vit")).backbone.state_dict(), file)
    assert losses() != first


def test_one_command_computes_them_and_another_learns_from_them(weights, images, tmp_path):
    network = frozen(weights).model_dump_json()
    usod = [forked.command()]
    made = [*usod, "features", "--images", images.path, "--network", network, "--out", tmp_path / "f.h5"]
    subprocess.run(made, check=True)
    out = [
        "--out-labels",
        tmp_path / "l.h5",
        "--out-model",
        tmp_path / "m.safetensors",
        "--history",
        tmp_path / "h.csv",
    ]
    given = ["--images", images.path, "--maps", images.path.parent / "maps.h5", "--features", tmp_path / "f.h5"]
    small = ["--config", '{"epochs": 1, "crf": null}', "--network", network]
    subprocess.run([*usod, "deepusps", "refine", *given, *small, *out], check=True)
    with deepusps.MapStore(tmp_path / "l.h5") as labels:
        assert labels.labels == "unknown", "random weights of an unknown file"
    given[2:4] = ["--labels", images.path.parent / "maps.h5"]
    small = ["--config", '{"epochs": 1}', "--network", network]
    subprocess.run([*usod, "a2s", "stage2", *given, *small, *out], check=True)
    # Compared with its labels at 32 pixels, it sees images of 64 all the same.
    small[1] = '{"epochs": 1, "size": 32}'
    given[2:4] = ["--labels", f"a={images.path.parent / 'maps.h5'}"]
    subprocess.run([*usod, "deepusps", "fuse", *given, *small, "--out", out[3], *out[4:]], check=True)
    assert Model(out[3], "cpu").size == 64
    learns = [*usod, "features", "--images", images.path, "--network", '{"name": "light"}', "--out", tmp_path / "g.h5"]
    failed = subprocess.run(learns, capture_output=True, text=True)
    assert failed.returncode == 2 and "add frozen: true" in failed.stderr and not (tmp_path / "g.h5").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"weights": "none"}, "frozen: there is nothing to keep with weights: none"),
        ({"head": "fcn"}, "head: fcn does not go with frozen: true; use patch or guided"),
        ({"reflect_padding": 32}, "reflect_padding: not with frozen: true"),
        ({"frozen": False, "features": {"size": 64}}, "features: only of a frozen encoder; add frozen: true"),
    ],
)
def test_what_does_not_go_together_is_one_line(weights, keys, message):
    given = {"name": "timm/test_vit", "weights": str(weights["timm/test_vit"]), "frozen": True} | keys
    with pytest.raises(pydantic.ValidationError, match=message):
        NetworkConfig(**given)


def test_a_layer_that_is_not_there_is_one_line(weights):
    for name, message in (("timm/test_vit", "timm/test_vit has -6 to -1, not -9"), ("mobilenet_v2", "has -5 to -1")):
        with pytest.raises(UsageError, match=f"network.features.layers: .*{message}"):
            build_network(frozen(weights, name, features={"layers": [-9]}))


@torch.no_grad()
def test_keys_and_attention_are_those_of_the_last_block():
    """By hand, from what goes into it; what is added to all keys changes neither."""
    torch.manual_seed(0)
    encoders = {what: TimmEncoder("timm/test_vit", what=what).eval() for what in ("keys", "attention")}
    attn = encoders["keys"].model.blocks[-1].attn
    encoders["attention"].load_state_dict(encoders["keys"].state_dict())
    image, given = torch.rand(2, 3, 64, 96), []
    hook = attn.register_forward_hook(lambda _, inputs, __: given.append(inputs[0]))
    (keys,) = encoders["keys"].layer_features(image, [-1])
    hook.remove()
    (attention,) = encoders["attention"].layer_features(image, [-1])
    query, key, _ = attn.qkv.weight.view(3, attn.num_heads, attn.head_dim, -1)
    k = torch.einsum("btc,hdc->bhdt", given[0], key)
    q = torch.einsum("bc,hdc->bhd", given[0][:, 0], query) + attn.qkv.bias.view(3, attn.num_heads, -1)[0]
    a = (torch.einsum("bhd,bhdt->bht", q, k) / attn.head_dim**0.5).softmax(-1)
    torch.testing.assert_close(keys, k[..., -24:].reshape(2, -1, 4, 6))
    torch.testing.assert_close(attention, a[..., -24:].reshape(2, -1, 4, 6))
    for encoder in encoders.values():
        encoder.model.blocks[-1].attn.qkv.bias.view(3, -1)[1] += 7
    torch.testing.assert_close(encoders["keys"].layer_features(image, [-1])[0], keys)
    torch.testing.assert_close(encoders["attention"].layer_features(image, [-1])[0], attention)


def test_an_encoder_is_given_the_nearest_number_of_whole_cells_and_learns_nothing(weights):
    network = network_of(frozen(weights))
    assert network.backbone.given_size((60, 71)) == (64, 64) and network.backbone.given_size((5, 73)) == (16, 80)
    assert {p.requires_grad for p in network.backbone.parameters()} == {False}
    assert {p.requires_grad for p in network.head.parameters()} == {True}


def test_keys_are_kept_under_their_own_name_and_not_taken_for_tokens(weights, images, tmp_path):
    tokens, keys = frozen(weights), frozen(weights, features={"what": "keys", "layers": [-2, -1]})
    assert features_name(tokens) != features_name(frozen(weights, features={"what": "keys"}))
    store = kept(images, keys, tmp_path / "f.h5")
    assert store.shape == (4, 4, 2 * 64) and store.encoder["what"] == "keys"
    with pytest.raises(UsodError, match="features of an encoder with what 'keys', but the network's has 'tokens'"):
        store.require_of(network_of(frozen(weights, features={"layers": [-2, -1]})).encoder_identity)
    other = keys.model_copy(update={"normalisation": "cityscapes"})
    with pytest.raises(UsodError, match="features of an encoder with normalisation"):
        store.require_of(network_of(other).encoder_identity)


def test_an_encoder_without_keys_or_a_class_token_is_one_line(weights):
    with pytest.raises(pydantic.ValidationError, match=r"features.what: only vision transformers have keys, and mob"):
        frozen(weights, "mobilenet_v2", features={"what": "keys"})
    with pytest.raises(UsageError, match=r"network.features.what: only vision .* timm/test_resnet is none; use tokens"):
        build_network(frozen(weights, "timm/test_resnet", features={"what": "attention"}))
    with pytest.raises(UsageError, match="test_vit2 has no class token, whose attention is asked for; use another"):
        TimmEncoder("timm/test_vit2", what="attention")
