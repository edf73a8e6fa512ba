"""Spectral labels: the cut against a plain eigenproblem, the rules by hand, and the commands on tiny images."""

import subprocess

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.linalg import eig

from usod.data.features import write_features
from usod.data.mapstore import MapStore, write_images
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.timm_encoder import TimmEncoder
from usod.provenance import describe
from usod.systems import spectral
from usod.systems.spectral_settings import FoundConfig, SelfmentConfig, TokenCutConfig

from .. import forked

IDS = ["a", "b", "deep/c"]


@pytest.mark.parametrize("dense", [0, 100])
def test_the_vector_solves_the_generalised_eigenproblem(rng, monkeypatch, dense):
    """(D - A) v = lambda D v, second smallest, by a plain solver of unsymmetric problems and by both of ours."""
    monkeypatch.setattr(spectral, "DENSE", dense)
    weights = spectral.affinity(spectral.unit(rng.normal(size=(5, 4, 3))), tau=0.2, epsilon=1e-2)
    degrees = np.diag(weights.sum(1))
    values, vectors = eig(degrees - weights, degrees)
    expected = vectors[:, np.argsort(values.real)[1]].real
    found = spectral.second_eigenvector(weights)
    assert abs(found @ expected) == pytest.approx(np.linalg.norm(found) * np.linalg.norm(expected), rel=1e-9)


def test_links_are_by_cosine():
    vectors = spectral.unit(np.array([[[3.0, 0], [0, 2], [1, 1], [0, 0]]]))
    np.testing.assert_allclose(vectors[2], [0.5**0.5] * 2)
    expected = [[1, 0.1, 1, 0.1], [0.1, 1, 1, 0.1], [1, 1, 1, 0.1], [0.1] * 4]
    np.testing.assert_allclose(spectral.affinity(vectors, tau=0, epsilon=0.1), expected)


def test_a_planted_object_is_cut_out(rng):
    """Two directions with noise: the smaller part, which lies in two pieces, is the object; its seed is in one."""
    planted = np.zeros((9, 8), bool)
    planted[1:4, 1:4] = planted[6:8, 5:7] = True
    features = np.where(planted[..., None], [4.0, 0, 0, 0], [0, 4, 0, 0]) + rng.normal(size=(9, 8, 4))
    assert np.array_equal(spectral.tokencut(features, TokenCutConfig(connected=False)), planted)
    (piece,) = [p for p in (planted[:5], planted[5:]) if p.sum() == spectral.tokencut(features, TokenCutConfig()).sum()]
    assert piece.any()
    optimised = spectral.selfment(features, SelfmentConfig(smallest=5))
    assert np.array_equal(optimised, planted), "both pieces"


@pytest.mark.parametrize("sign", [1, -1])
def test_the_seed_is_foreground_whatever_the_sign_and_keeps_its_neighbours(sign):
    """The mean is 0.375; of the seed's part the entry at the lower right touches it by a corner only."""
    vector = sign * np.array([[-3.0, -1.0, 2.0], [1.0, 2.0, 2.0], [1.0, 1.0, 1.0], [-2.0, 2.0, -1.0]])
    low = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 1]], bool)
    assert np.array_equal(spectral.foreground(vector, connected=False), low)
    low[3] = False
    assert np.array_equal(spectral.foreground(vector, connected=True), low)


def test_patches_go_to_the_mean_that_they_agree_with_more():
    """By hand: mu_f = (1, 0) and mu_b = (.4, .6), so that f . (.6, -.6) > 0 is foreground: the third patch joins."""
    features = np.array([[[1.0, 0], [5, 0], [1, 0], [1, 0], [0, 2], [0, 1], [0, 1]]])
    mask = np.array([[1, 1, 0, 0, 0, 0, 0]], bool)
    following = [[True, True, True, True, False, False, False]]
    assert spectral.optimise(features, mask, 1, 1).tolist() == following
    assert spectral.optimise(features, mask, 0, 1).tolist() == mask.tolist()
    assert spectral.optimise(features, mask, 20, 3).tolist() == mask.tolist(), "two patches are less than three"
    assert spectral.optimise(features, mask, 20, 2).tolist() == following
    assert spectral.optimise(features, ~mask, 20, 2).tolist() == (~np.array(following)).tolist()


def test_a_mask_that_would_lose_too_many_patches_is_not_taken():
    features = np.array([[[1.0, 0.1], [0.1, 1], [0, 1], [0, 1], [0.1, 1]]])
    mask = np.array([[1, 1, 0, 0, 0]], bool)
    assert spectral.optimise(features, mask, 1, 1).tolist() == [[True, False, False, False, False]]
    assert spectral.optimise(features, mask, 20, 2).tolist() == mask.tolist()


def test_parts_that_change_places_are_changed_back():
    """Unit vectors at these angles: after three steps the difference of the means points against the first."""
    angles = np.radians([50, 0, -130, 180, -170, 170])
    vectors = np.stack([np.cos(angles), np.sin(angles)], -1)[None]
    mask = np.array([[0, 1, 0, 1, 0, 1]], bool)

    def difference(mask):
        return vectors[mask].mean(0) - vectors[~mask].mean(0)

    third = spectral.optimise(vectors, mask, 3, 1)
    assert difference(third) @ difference(mask) < 0
    assert np.array_equal(spectral.optimise(vectors, mask, 4, 1), vectors @ -difference(third) > 0)


@torch.no_grad()
def test_found_weighs_heads_by_how_few_patches_they_look_at():
    """By hand, of the keys and the attention of a tiny vision transformer."""
    torch.manual_seed(0)
    image, seen = torch.rand(1, 3, 96, 96), {}
    for what in ("keys", "attention"):
        torch.manual_seed(1)
        encoder = TimmEncoder("timm/test_vit", what=what).eval()
        encoder.model.blocks[-1].attn.qkv.weight *= 20  # random weights look everywhere alike
        seen[what] = encoder.layer_features(image, [-1])[0][0].permute(1, 2, 0).numpy()
    keys, attention = seen["keys"], seen["attention"]
    above = [sum(attention[y, x, head] > attention.mean() for y in range(6) for x in range(6)) for head in range(2)]
    betas = [np.log(sum(above) / count) for count in above]
    assert above[0] != above[1] and min(above) > 0
    np.testing.assert_allclose(spectral.head_weights(attention), betas, rtol=1e-6)
    attended = {(y, x): float(attention[y, x] @ betas) for y in range(6) for x in range(6)}
    seed = min(attended, key=attended.get)
    weighted = np.concatenate([keys[..., :32] * betas[0], keys[..., 32:] * betas[1]], -1).astype(float)
    weighted /= np.linalg.norm(weighted, axis=-1, keepdims=True)
    cosine = weighted @ weighted[seed]
    mask = spectral.found(keys, attention, FoundConfig(similarity=float(np.median(cosine))))
    assert np.array_equal(mask, cosine <= np.median(cosine)) and not mask[seed]


def test_heads_are_measured_by_the_mean_of_all_of_them():
    """By hand: above 0.345 lie one patch of the first head, three of the second; a single head has nothing to share."""
    attention = np.array([[[0.9, 0.3], [0.02, 0.4], [0.02, 0.5], [0.02, 0.6]]])
    np.testing.assert_allclose(spectral.head_weights(attention), np.log([4, 4 / 3]), rtol=1e-6)
    assert spectral.head_weights(np.array([[[0.1], [0.9]]])).tolist() == [1]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three images of noise with a bright square, and what random weights see in them."""
    folder, rng = tmp_path_factory.mktemp("spectral"), np.random.default_rng(0)
    pixels = rng.integers(0, 60, (3, 64, 64, 3)).astype(np.uint8)
    pixels[:, 16:48, 32:64] += 180
    described = describe({}, {}) | {"created_by": "test"}
    with write_images(folder / "images.h5", IDS, (64, 64), np.full((3, 2), 64), described) as rows:
        rows.fill(pixels)
    torch.manual_seed(0)
    backbone = build_network(NetworkConfig(name="timm/test_vit")).backbone
    save_file({name: tensor.contiguous() for name, tensor in backbone.state_dict().items()}, folder / "w.safetensors")
    for what in ("tokens", "keys", "attention"):
        network = NetworkConfig(
            name="timm/test_vit", weights=str(folder / "w.safetensors"), frozen=True, features={"what": what}
        )
        (folder / f"{what}.yaml").write_text(network.model_dump_json())
        _usod(folder, "features", "--network", f"{what}.yaml", "--out", f"{what}.h5")
    return folder


def _usod(folder, *words, code=0):
    call = [forked.command(), *words, "--images", "images.h5"]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("recipe", "features"),
    [("tokencut", ["keys.h5"]), ("selfment", ["tokens.h5"]), ("found", ["keys.h5", "attention.h5"])],
)
def test_each_recipe_is_one_command(files, tmp_path, recipe, features):
    names = ("--features", "--attention")
    options = [word for pair in zip(names, features, strict=False) for word in pair]
    _usod(files, "spectral", recipe, *options, "--out", f"{recipe}.h5", "--workers", "2")
    with MapStore(files / f"{recipe}.h5") as masks:
        assert list(masks.ids) == IDS and masks.size == (64, 64) and masks.labels == "unknown"
        assert masks.attributes["config"][recipe]["crf"] is None
        plain = masks.read_all()
    centres = plain[:, 7::16, 7::16]
    assert ((centres < 20) | (centres > 235)).all(), "a mask of patches, soft between their centres"
    again = [*options, "--config", '{"crf": {"bilateral_sxy": 10}}']
    _usod(files, "spectral", recipe, *again, "--out", str(tmp_path / "crf.h5"))
    with MapStore(tmp_path / "crf.h5") as sharpened:
        assert sharpened.read_all().shape == plain.shape


def test_what_a_recipe_cannot_read_is_one_line(files, tmp_path):
    with write_features(tmp_path / "f.h5", ["a"], (4, 4, 64), np.full((1, 2), 64), _of("keys")) as rows:
        rows["a"] = np.ones((4, 4, 64))
    out = ("--out", str(tmp_path / "m.h5"))
    for words, line in (
        (("tokencut", "--features", "tokens.h5"), "tokens.h5: features of an encoder with what 'tokens', but"),
        (("found", "--features", "keys.h5", "--attention", "keys.h5"), "what 'keys', but"),
        (("tokencut", "--features", str(tmp_path / "f.h5")), "2 of 3 images have no map here: b, deep/c"),
    ):
        error = _usod(files, "spectral", *words, *out, code=1)
        assert line in error and error.count("\n") == 1 and not (tmp_path / "m.h5").exists()
    line = _usod(files, "spectral", "tokencut", "--features", "keys.h5", "--config", '{"tau": 1}', *out, code=2)
    assert "--config: tau:" in line


def _of(what):
    return describe({"encoder": {"what": what}}, {}) | {"created_by": "test"}
