import h5py
import numpy as np
import pytest

from usod.data.features import FeatureStore, quantised, write_features
from usod.errors import UsodError

IDS = ["a", "b", "deep/c"]
SIZES = np.full((3, 2), 100)
ENCODER = {"name": "timm/test_vit", "weights": "abc", "layers": [-1]}
ATTRIBUTES = {
    "created_by": "test", "config": {"encoder": ENCODER}, "inputs": {}, "usod_version": "0", "labels": "none",
}  # fmt: skip


def grids(scale=1.0):
    """(3, 4, 5, 6): channels of very different sizes, as those of vision transformers are."""
    rng = np.random.default_rng(0)
    return (scale * rng.normal(size=(3, 4, 5, 6)) * np.array([1e-3, 1, 1, 10, 100, 0])).astype(np.float32)


def written(path, values, dtype="float16"):
    with write_features(path, IDS, values.shape[1:], SIZES, ATTRIBUTES, dtype) as rows:
        for number in (2, 0, 1):
            rows[IDS[number]] = values[number]
    return FeatureStore(path)


def test_float16_rows_come_back_by_id(tmp_path):
    values = grids()
    with written(tmp_path / "f.h5", values) as store:
        assert (store.size, store.shape, store.dtype) == ((4, 5), (4, 5, 6), np.float16)
        for key, row in zip(IDS, values, strict=True):
            assert np.array_equal(store[key], row.astype(np.float16).astype(np.float32))
        assert store.nbytes == 3 * 4 * 5 * 6 * 2
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["features"].chunks == (1, 4, 5, 6), "one chunk an image"


def test_int8_is_off_by_half_a_scale_of_its_channel(tmp_path):
    values = grids()
    with written(tmp_path / "f.h5", values, "int8") as store:
        assert store.nbytes == 3 * 4 * 5 * 6
        for key, row in zip(IDS, values, strict=True):
            step = np.abs(row).max((0, 1)) / 127
            assert (np.abs(store[key] - row) <= 0.51 * np.maximum(step, 6e-8)).all()
            assert store.raw(key).max() <= 127 and store.raw(key).min() >= -127
        assert np.array_equal(store.scales(["deep/c", "a"]), store.scale[[2, 0]])


@pytest.mark.parametrize("largest", [0.0, 1e-9, 1e-3, 127.0, 6e4])
def test_no_channel_overflows_its_bytes(largest):
    scale, values = quantised(np.linspace(-largest, largest, 9, dtype=np.float32).reshape(3, 3, 1))
    assert np.abs(values.astype(int)).max() <= 127
    assert np.abs(values * scale.astype(np.float32)).max() == pytest.approx(largest, rel=0.01, abs=1e-7)


def test_scales_below_the_normal_numbers_of_float16_do_not_overflow_either():
    """Rounded to the nearest, such a scale can be so much too small that its channel's largest value is 128 of them."""
    row = np.geomspace(1e-6, 1e-2, 500, dtype=np.float32).reshape(1, 1, 500)
    scale, values = quantised(row)
    assert (values > 0).all() and (np.abs(values * scale.astype(np.float32) - row) <= 0.51 * scale).all()


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e5])
def test_values_that_cannot_be_kept_leave_nothing_behind(tmp_path, dtype, value):
    values = grids()
    values[1, 2, 3, 4] = value
    with pytest.raises(UsodError, match="features of 'b' are not finite as float16; use another layer"):
        written(tmp_path / "f.h5", values, dtype)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("table", ["features", "scale"])
def test_a_damaged_row_or_scale_names_its_image(tmp_path, table):
    written(tmp_path / "f.h5", grids(), "int8").close()
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        row = file[table][1]
        row.flat[0] += 1
        file[table][1] = row
    with FeatureStore(tmp_path / "f.h5") as store, pytest.raises(UsodError, match="image 'b' is damaged"):
        assert store["a"].shape == (4, 5, 6)
        store["b"]


def test_features_of_another_encoder_are_refused_with_what_differs(tmp_path):
    with written(tmp_path / "f.h5", grids()) as store:
        store.require_of(ENCODER)
        with pytest.raises(UsodError, match=r"f.h5: features of an encoder with weights 'abc', but .* has 'def'"):
            store.require_of(ENCODER | {"weights": "def"})
