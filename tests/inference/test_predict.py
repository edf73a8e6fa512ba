import sys

import numpy as np
import pytest
import torch
from PIL import Image

import usod
from usod import devices
from usod.cli import main
from usod.data.images import resize_image
from usod.data.mapstore import MapStore, write_images
from usod.errors import UsodError
from usod.inference.predict import Model, output_names, predict_files, predict_store
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.model_file import save_model
from usod.settings.sections import CrfConfig


@pytest.fixture(scope="module")
def model(model_file):
    return Model(model_file, "cpu")


def put(root, *names, size=(20, 10)):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise(size, 90).convert("RGB").save(path)
    return root


def names(inputs, out):
    return {
        target.removeprefix(f"{out}/"): source.relative_to(inputs).as_posix()
        for target, source in output_names([inputs], out).items()
    }


def test_batches_predict_what_single_images_do(model, rng):
    images = [(str(number), rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for number in range(5)]
    batched = dict(model.predict_all(iter(images), batch=2))
    assert list(batched) == [key for key, _ in images]
    for key, image in images:
        assert batched[key].dtype == np.float32 and 0 <= batched[key].min() <= batched[key].max() <= 1
        np.testing.assert_allclose(batched[key], model.predict_batch(image[None])[0], atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 64), (50, 71), (1, 1), (200, 30)])
def test_a_map_has_the_size_of_its_image(model_file, rng, shape):
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    saliency = usod.load(model_file, "cpu").predict(image)
    assert saliency.shape == shape and saliency.dtype == np.float32


def test_only_rgb_bytes_are_images(model):
    for image in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3))):
        with pytest.raises(ValueError, match="expected"):
            model.predict(image)


def test_files_and_stores_hold_the_networks_maps(model, model_file, tmp_path, rng):
    photo = rng.integers(0, 256, (30, 50, 3), dtype=np.uint8)
    (tmp_path / "x").mkdir()
    Image.fromarray(photo).save(tmp_path / "x" / "a.png")
    predict_files(model, [tmp_path / "x"], tmp_path / "out", batch=3)
    written = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    np.testing.assert_array_equal(written, np.rint(model.predict(photo) * 255))
    attributes = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0"}
    small = resize_image(photo, (64, 64))
    for size in (64, 32):
        with write_images(tmp_path / f"{size}.h5", ["a"], (size, size), [[30, 50]], attributes) as rows:
            rows["a"] = resize_image(photo, (size, size))
    predict_store(model, model_file, tmp_path / "64.h5", tmp_path / "maps.h5", batch=3)
    with MapStore(tmp_path / "maps.h5") as maps:
        assert np.abs(maps["a"] - model.predict_batch(small[None])[0]).max() <= 0.5 / 255 + 1e-6
    # Of another size: what the model sees is enlarged, and its map made smaller again.
    predict_store(model, model_file, tmp_path / "32.h5", tmp_path / "small.h5", batch=3)
    with MapStore(tmp_path / "small.h5") as maps:
        enlarged = np.asarray(
            Image.fromarray(resize_image(photo, (32, 32))).resize((64, 64), Image.Resampling.BILINEAR)
        )
        expected = np.asarray(Image.fromarray(model.predict_batch(enlarged[None])[0]).resize((32, 32)))
        assert maps["a"].shape == (32, 32) and np.abs(maps["a"] - expected).mean() < 0.02


def test_a_tree_of_photos_keeps_its_names_and_folders(tmp_path):
    photos = put(tmp_path / "photos", "a.jpg", "x y/b.PNG", "x y/deep/b.jpeg")
    for stray in ("._a.jpg", "__MACOSX/a.jpg", ".cache/c.jpg", "notes.txt"):
        (photos / stray).parent.mkdir(exist_ok=True)
        (photos / stray).write_bytes(b"no image")
    assert names(photos, tmp_path / "out") == {
        "a.png": "a.jpg",
        "x y/b.png": "x y/b.PNG",
        "x y/deep/b.png": "x y/deep/b.jpeg",
    }


def test_masks_of_a_data_set_are_not_predicted(tmp_path):
    folders = put(tmp_path / "folders", "images/a.jpg", "images/b.jpg", "masks/a.png")
    assert names(folders, tmp_path / "out") == {"images/a.png": "images/a.jpg", "images/b.png": "images/b.jpg"}
    flat = put(tmp_path / "flat", "a.jpg", "a.png", "b.jpg", "b.png")
    assert names(flat, tmp_path / "out") == {"a.png": "a.jpg", "b.png": "b.jpg"}
    only = put(tmp_path / "only", "masks/a.png")  # no data set: these are the images meant
    assert names(only, tmp_path / "out") == {"masks/a.png": "masks/a.png"}


def test_no_image_mask_or_map_is_overwritten(tmp_path):
    photos = put(tmp_path / "photos", "a.png", "b.jpg")
    flat = put(tmp_path / "flat", "a.jpg", "a.png")
    two = put(tmp_path / "two", "a.jpg", "a.bmp")
    for inputs, out in (([photos], photos), ([photos / "a.png"], photos), ([flat], flat)):
        with pytest.raises(UsodError, match=r"a\.png: is a file that was given"):
            output_names(inputs, out)
    assert names(two, tmp_path / "out") == {"a.jpg.png": "a.jpg", "a.bmp.png": "a.bmp"}
    put(two, "a.jpg.gif")
    assert set(names(two, tmp_path / "out")) == {"a.jpg.png", "a.bmp.png", "a.jpg.gif.png"}
    with pytest.raises(UsodError, match="its map would overwrite that of .*; predict them apart"):
        output_names([photos, flat], tmp_path / "out")


def test_earlier_maps_are_no_images(tmp_path):
    photos = put(tmp_path, "a.jpg", "x/b.jpg")
    first = output_names([photos], photos / "out")
    put(photos, "out/a.png", "out/x/b.png")
    assert output_names([photos], photos / "out") == first


def test_what_cannot_be_predicted_is_one_line(tmp_path):
    with pytest.raises(UsodError, match="nowhere: no such file or folder"):
        output_names([tmp_path / "nowhere"], tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsodError, match="no images in there"):
        output_names([tmp_path], tmp_path / "out")


def test_a_relation_network_is_refused(tmp_path):
    config = NetworkConfig(light_width=8, head="relation")
    save_model(tmp_path / "relation.safetensors", build_network(config), config, input_size=64)
    with pytest.raises(UsodError, match="use usod ldps refine"):
        Model(tmp_path / "relation.safetensors", "cpu")


@pytest.fixture
def usod_predict(monkeypatch, capsys):
    """usod_predict(argument, ...) -> exit code and what it said, in this process."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["usod", "predict", *map(str, arguments), "--device", "cpu"])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    before = torch.get_num_threads()
    yield call
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_any_number_of_threads_predicts_the_same_with_a_crf(model_file, tmp_path, usod_predict, count, monkeypatch):
    """The CRF runs in inference mode, image by image, beside a network that needs none of it."""
    monkeypatch.setattr(devices, "cpu_cores", lambda: 8)
    photos = put(tmp_path / "photos", *(f"{number}.png" for number in range(5)), size=(80, 60))
    crf = '{"bilateral_sxy": 8}'
    for threads in (1, count):
        out = tmp_path / str(threads)
        done, told = usod_predict(model_file, photos, "--out", out, "--crf", crf, "--threads", threads)
        assert done == 0 and f"cpu ({threads} threads)" in told
    for number in range(5):
        one, same = (np.asarray(Image.open(tmp_path / str(n) / f"{number}.png")).astype(int) for n in (1, count))
        assert one.shape == (60, 80) and np.abs(one - same).max() <= 1


def test_there_are_no_more_threads_than_cores(model_file, tmp_path, usod_predict, monkeypatch):
    photos = put(tmp_path / "photos", "0.png", size=(80, 60))
    monkeypatch.setattr(devices, "cpu_cores", lambda: 2)
    assert "cpu (2 threads)" in usod_predict(model_file, photos, "--out", tmp_path / "out", "--threads", 8)[1]


def test_files_that_cannot_be_read_cost_no_other_its_map(model_file, tmp_path, usod_predict):
    photos = put(tmp_path / "photos", *(f"{name}.jpg" for name in "abcdef"))
    truncated = (photos / "b.jpg").read_bytes()[:400]
    (photos / "b.jpg").write_bytes(truncated)
    (photos / "e.jpg").write_bytes(b"")
    out = tmp_path / "out"
    code, told = usod_predict(model_file, photos, "--out", out, "--batch", 2, "--quiet")
    lines = told.splitlines()
    assert code == 1 and sorted(path.name for path in out.iterdir()) == ["a.png", "c.png", "d.png", "f.png"]
    assert [line.split(": ")[1] for line in lines[:2]] == [str(photos / name) for name in ("b.jpg", "e.jpg")]
    assert lines[2].startswith(f"usod: error: 2 of 6 images failed, the maps of the others are in {out}. The first: ")
    assert len(lines) == 3
    code, told = usod_predict(model_file, photos / "b.jpg", "--out", out)
    assert code == 1 and told.splitlines()[-1].startswith(f"usod: error: {photos / 'b.jpg'}: cannot be decoded")
    assert not (out / "b.png").exists()


@pytest.mark.parametrize("crf", [None, CrfConfig()])
def test_a_network_that_predicts_no_numbers_is_named(model_file, tmp_path, crf):
    broken = Model(model_file, "cpu", crf=crf)
    with torch.no_grad():
        next(broken.network.parameters()).fill_(float("nan"))
    photos = put(tmp_path / "photos", "a.png")
    with pytest.raises(UsodError, match=r"model\.safetensors: predicts values that are not finite"):
        predict_files(broken, [photos], tmp_path / "out", 4)
    assert not (tmp_path / "out" / "a.png").exists()


def test_a_run_that_was_interrupted_goes_on_and_nothing_is_overwritten(model, tmp_path):
    photos = put(tmp_path / "photos", "a.jpg", "b/c.png")
    out = tmp_path / "out"
    predict_files(model, [photos], out, 4)
    (out / "a.png").write_bytes(b"mine")
    (out / "b/c.png").unlink()
    predict_files(model, [photos], out, 4)
    assert (out / "a.png").read_bytes() == b"mine" and (out / "b/c.png").exists()
    predict_files(model, [photos], out, 4, overwrite=True)
    assert (out / "a.png").read_bytes() != b"mine"


def export(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["usod", "export", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_a_copy_says_the_crf_of_its_maps(model_file, tmp_path, rng, monkeypatch, usod_predict):
    photo = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    copy = tmp_path / "copy.safetensors"
    assert not export(monkeypatch, model_file, copy, "--crf", '{"bilateral_sxy": 9, "iterations": 2}')
    sharpened = Model(model_file, "cpu", crf=CrfConfig(bilateral_sxy=9, iterations=2)).predict(photo)
    plain = Model(model_file, "cpu").predict(photo)
    assert np.abs(sharpened - plain).max() > 0.01
    np.testing.assert_array_equal(usod.load(copy, "cpu").predict(photo), sharpened)
    np.testing.assert_array_equal(usod.load(copy, "cpu", crf=None).predict(photo), plain)
    Image.fromarray(photo).save(tmp_path / "a.png")
    for words, expected in (((), sharpened), (("--crf", "none"), plain)):
        usod_predict(copy, tmp_path / "a.png", "--out", tmp_path / f"out{len(words)}", *words)
        written = np.asarray(Image.open(tmp_path / f"out{len(words)}/a.png"))
        np.testing.assert_array_equal(written, np.rint(255 * expected))
    # Of copies of a copy the last word counts, and its weights are the same bytes.
    again = tmp_path / "again.safetensors"
    assert not export(monkeypatch, copy, again, "--crf", "none")
    np.testing.assert_array_equal(Model(again, "cpu").predict(photo), plain)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["out.safetensors"], "out.safetensors: of a .safetensors copy only --crf is said, and must be"),
        (["out.safetensors", "--crf", "none", "--rembg"], "out.safetensors: of a .safetensors copy only --crf"),
        (["out.safetensors", "--crf", '{"sxy": 3}'], "--crf: sxy"),
        (
            ["out.onnx", "--crf", "none"],
            "--crf: an ONNX graph has none; leave it out, or write out.safetensors",
        ),
    ],
)
def test_a_wrong_export_is_one_line(model_file, tmp_path, monkeypatch, capsys, arguments, line):
    monkeypatch.chdir(tmp_path)
    assert export(monkeypatch, model_file, *arguments) == 2
    assert f"usod: error: {line}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_store_holds_maps_and_no_masks(model_file, tmp_path, usod_predict):
    code, told = usod_predict(model_file, tmp_path / "images.h5", "--out", tmp_path / "maps.h5", "--type", "mask")
    assert (
        code == 2
        and told == "usod: error: --type mask: a MapStore holds maps; give a folder for --out, or --type map\n"
    )


def test_features_are_those_of_a_store(model_file, tmp_path, usod_predict):
    code, told = usod_predict(model_file, tmp_path, "--out", tmp_path / "out", "--features", tmp_path / "f.h5")
    assert code == 2 and told.startswith("usod: error: --features: of an images.h5 only;") and told.count("\n") == 1


def test_images_that_show_nothing_are_listed_and_stay_away(model_file, tmp_path, usod_predict, monkeypatch):
    photos, out = put(tmp_path / "photos", "a.jpg", "x/b.png", "x/c.png"), tmp_path / "out"
    values = dict(zip(["a", "b", "c"], [0.9, 0.3, 0.81], strict=True))
    seen = []

    def nothing(saliency):
        seen.append(saliency)
        return list(values.values())[len(seen) - 1]

    monkeypatch.setattr("usod.inference.skipped.nothing_in_map", nothing)
    code, told = usod_predict(model_file, photos, "--out", out, "--skip-empty")
    assert code == 0 and "2 of 3 images show nothing salient" in told
    assert (out / "skipped.csv").read_text().split() == ["file,nothing", "a.png,0.900000", "x/c.png,0.810000"]
    assert [path.name for path in out.rglob("*.png")] == ["b.png"]
    usod_predict(model_file, photos, "--out", out, "--skip-empty")
    assert len(seen) == 3, "none was predicted again"
    values = dict.fromkeys("abcd", 0.81)
    usod_predict(model_file, photos, "--out", out, "--skip-empty", "--empty-above", "0.85")
    assert len(seen) == 4 and (out / "x/c.png").exists() and not (out / "a.png").exists()
    assert usod_predict(model_file, photos, "--out", out, "--empty-above", "0.5")[0] == 2


def test_a_list_of_skipped_images_serves_several_runs(model_file, tmp_path, usod_predict, monkeypatch):
    monkeypatch.setattr("usod.inference.skipped.nothing_in_map", lambda saliency: 0.9)
    first, other, out = put(tmp_path / "1", "a.jpg"), put(tmp_path / "2", "b.jpg", "c.jpg"), tmp_path / "out"
    usod_predict(model_file, first, "--out", out)
    assert (out / "a.png").exists()
    usod_predict(model_file, first, "--out", out, "--skip-empty", "--overwrite")
    assert not (out / "a.png").exists(), "it is listed, so there is no file"
    listed = out / "skipped.csv"
    listed.write_text(listed.read_text() + "b.png,0.")  # the disk was full
    code, told = usod_predict(model_file, other, "--out", out, "--skip-empty")
    assert code == 0 and "2 of 2 images show nothing" in told, "not the image of another run"
    assert listed.read_text().split()[1:] == ["a.png,0.900000", "b.png,0.900000", "c.png,0.900000"]
    listed.write_text("name\na\n")
    code, told = usod_predict(model_file, other, "--out", out, "--skip-empty")
    assert code == 1 and "skipped.csv: not a list that --skip-empty has written" in told


def test_a_model_says_that_its_map_shows_nothing(model_file):
    model = usod.load(model_file, "cpu")
    assert model.nothing(np.zeros((8, 8))) > 0.99 and model.nothing(np.eye(8)) < 0.3
