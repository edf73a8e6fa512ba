"""The command line as a person uses it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from PIL import Image

from usod.data.mapstore import MapStore

from . import forked


def usod(*arguments, expect=0):
    done = subprocess.run([forked.command(), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stderr
    return done


def verbs():
    import typer.main

    from usod.cli import app

    def walk(command, path):
        inner = getattr(command, "commands", None)
        if inner is None:
            yield path, command
        else:
            for name, sub in inner.items():
                yield from walk(sub, (*path, name))

    return list(walk(typer.main.get_command(app), ()))


@pytest.mark.parametrize(
    ("path", "command"), verbs(), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_verb_has_an_example_and_can_be_quiet(path, command):
    assert f"Example: usod {' '.join(path)}" in command.help
    assert "--quiet" in [option for parameter in command.params for option in parameter.opts]


@pytest.mark.parametrize(
    ("path", "command"), verbs(), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_the_name_of_a_verb_says_its_file(path, command):
    """`usod maps agree`: commands/maps/agree.py, or commands/maps.py."""
    names = [name.replace("-", "_") for name in path]
    at_hand = {".".join(["usod.commands", *names]), ".".join(["usod.commands", *names[:-1]])} - {"usod.commands"}
    assert command.callback.__module__.rstrip("_") in at_hand, "a trailing _ stands behind a word of Python's own"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Six drawn scenes with index, masks, images and RBD maps, made with the verbs themselves."""
    folder = tmp_path_factory.mktemp("scenes")
    usod("data", "demo", "--out", folder / "data", "--train", 4, "--test", 2, "--size", 72)
    usod("data", "index", folder / "data", "--out", folder / "index.csv")
    usod("data", "masks", folder / "data", "--out", folder / "masks.csv")
    usod("data", "images", "--index", folder / "index.csv", "--size", 64, "--out", folder / "images.h5", "--workers", 2)
    usod("maps", "extract", "rbd", "--index", folder / "index.csv", "--out", folder / "rbd.h5", "--workers", 2)
    return folder


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (("evaluate", "maps.h5", "--normalize"), "--protocol a2s"),
        (("maps", "extract", "rbd", "--size", 64), "leave it out"),
        (("a2s", "stage1", "--out-labels", "labels.h5"), "usod a2s labels"),
    ],
)
def test_an_option_that_is_gone_says_what_to_do(call, instead):
    (line,) = usod(*call, expect=2).stderr.splitlines()
    assert "No such option" in line and instead in line


def assert_same_maps(some, every):
    for key in some.ids:
        np.testing.assert_array_equal(some.raw(key), every.raw(key))


def test_parts_make_the_same_maps_as_one_piece(scenes, tmp_path):
    for part in ("1-of-2", "2-of-2"):
        out = tmp_path / f"{part}.h5"
        usod("maps", "extract", "rbd", "--index", scenes / "index.csv", "--chunk", part, "--out", out)
    usod(
        "maps",
        "merge",
        tmp_path / "2-of-2.h5",
        tmp_path / "1-of-2.h5",
        "--index",
        scenes / "index.csv",
        "--out",
        tmp_path / "all.h5",
    )
    with MapStore(tmp_path / "all.h5") as merged, MapStore(scenes / "rbd.h5") as whole:
        assert merged.ids == whole.ids
        assert_same_maps(merged, whole)


def test_a_broken_image_costs_no_other_its_map(scenes, tmp_path):
    """Truncated after indexing: the run fails and names it; mended, the next run has that one left to do."""
    shutil.copytree(scenes / "data", tmp_path / "data")
    usod("data", "index", tmp_path / "data", "--out", tmp_path / "index.csv")
    broken = sorted((tmp_path / "data" / "images").iterdir())[2]
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    extract = ("maps", "extract", "rbd", "--index", tmp_path / "index.csv", "--out", tmp_path / "maps.h5")
    failed = usod(*extract, expect=1)
    assert f"1 of 6 images failed, the other maps are kept in {tmp_path}" in failed.stderr
    assert failed.stderr.splitlines()[-1].count(str(broken)) == 1
    assert not (tmp_path / "maps.h5").exists()
    broken.write_bytes(whole)
    assert "5 of 6 maps are there" in usod(*extract).stderr
    assert not (tmp_path / "maps.h5.partial").exists()
    with MapStore(tmp_path / "maps.h5") as mended, MapStore(scenes / "rbd.h5") as through:
        assert_same_maps(mended, through)


def test_more_parts_than_images(scenes, tmp_path):
    usod("data", "index", scenes / "data", "--split", "test", "--out", tmp_path / "index.csv")
    options = ("--index", tmp_path / "index.csv", "--out")
    parts = [tmp_path / f"{number}-of-4.h5" for number in (1, 2, 3, 4)]
    for part in parts:
        usod("maps", "extract", "rbd", "--chunk", part.stem, *options, part)
    usod("maps", "merge", *parts, *options, tmp_path / "all.h5")
    with MapStore(tmp_path / "all.h5") as merged, MapStore(scenes / "rbd.h5") as whole:
        assert len(merged) == 2
        assert_same_maps(merged, whole)


def test_maps_go_to_pngs_and_back(scenes, tmp_path):
    usod("maps", "export", scenes / "rbd.h5", "--out", tmp_path / "png", "--working-size")
    usod("maps", "import", tmp_path / "png", "--index", scenes / "index.csv", "--out", tmp_path / "back.h5")
    with MapStore(tmp_path / "back.h5") as back, MapStore(scenes / "rbd.h5") as before:
        assert_same_maps(back, before)
        assert {back.raw(key).shape for key in back.ids} == {tuple(size) for size in back.original_size}, "as they are"


def test_a_map_of_one_image_has_its_size(scenes, tmp_path):
    image = next((scenes / "data" / "images").iterdir())
    usod("maps", "extract", "mc", image, "--out", tmp_path)
    assert Image.open(tmp_path / f"{image.stem}.png").size == Image.open(image).size


def test_the_crf_backends_agree(scenes, tmp_path):
    pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 is not installed (it needs a C++ compiler)")
    for backend in ("torch", "pydensecrf"):
        usod(
            "crf",
            "refine",
            scenes / "rbd.h5",
            "--images",
            scenes / "images.h5",
            "--backend",
            backend,
            "--out",
            tmp_path / f"{backend}.h5",
        )
    with MapStore(tmp_path / "torch.h5") as ours, MapStore(tmp_path / "pydensecrf.h5") as theirs:
        assert np.abs(ours.read_all().astype(int) - theirs.read_all()).max() <= 1


def test_predictions_have_the_precision_asked_for(scenes, model_file, tmp_path):
    maps = {}
    for precision in ("auto", "float32", "bf16"):
        out = tmp_path / f"{precision}.h5"
        usod("predict", model_file, scenes / "images.h5", "--out", out, "--device", "cpu", "--precision", precision)
        with MapStore(out) as store:
            maps[precision] = store.read_all().astype(int)
    assert (maps["auto"] == maps["float32"]).all(), "on a CPU"
    assert 0 < np.abs(maps["bf16"] - maps["float32"]).max() < 10


def test_predictions_of_a_store_and_of_files_are_the_same(scenes, model_file, tmp_path):
    usod("predict", model_file, scenes / "images.h5", "--out", tmp_path / "maps.h5", "--device", "cpu")
    usod("predict", model_file, scenes / "data" / "images", "--out", tmp_path / "png", "--device", "cpu", "--batch", 4)
    with MapStore(tmp_path / "maps.h5") as maps:
        assert len(list((tmp_path / "png").iterdir())) == len(maps) == 6
        key = maps.ids[3]
        png = Image.open(tmp_path / "png" / f"{key}.png")
        assert png.size == tuple(maps.original_size[3][::-1])
        small = np.asarray(png.resize((64, 64), Image.Resampling.BILINEAR)) / 255
        assert np.abs(small - maps[key]).mean() < 0.02


def test_scores_by_index_and_by_folder_are_the_same(scenes):
    by_index = usod("evaluate", scenes / "rbd.h5", "--index", scenes / "masks.csv").stdout
    assert by_index == usod("evaluate", scenes / "rbd.h5", "--masks", scenes / "data" / "masks").stdout
    assert by_index.startswith("n            6\nmae ")


def test_quiet_says_nothing(scenes, tmp_path):
    done = usod(
        "maps", "import", scenes / "rbd.h5", "--index", scenes / "index.csv", "--out", tmp_path / "a.h5", "--quiet"
    )
    assert done.stdout == done.stderr == ""
    done = usod("evaluate", scenes / "rbd.h5", "--index", scenes / "masks.csv", "--quiet")
    assert done.stdout == done.stderr == ""


def test_python_finds_the_packages_by_attribute(model_file):
    import usod as package

    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    assert package.load(model_file).predict(image).shape == (50, 70)
    assert package.handcrafted.rbd(image).shape == (50, 70)
    assert package.crf.refine(image, np.full((50, 70), 0.5, np.float32)).shape == (50, 70)
    assert package.evaluation.score(np.zeros((4, 4)), np.zeros((4, 4), bool))["mae"] == 0
    assert package.data.MapStore is MapStore


CUT = "cut.h5"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["maps", "extract", "gbvs", "--index", "INDEX"], 2, "no method 'gbvs'; there are rbd, dsr, mc, hs"),
        (["maps", "extract", "rbd"], 2, "give either --index or the images"),
        (
            ["maps", "extract", "rbd", "--index", "INDEX", "--params", '{"mu": 1}', "--out", "OUT"],
            2,
            "rbd has no parameter mu",
        ),
        (["maps", "info", CUT], 1, CUT),
        (["maps", "info", "nowhere.h5"], 1, "nowhere.h5: no such file"),
        (["predict", "nowhere.safetensors", "INDEX", "--out", "OUTDIR"], 1, "nowhere.safetensors"),
        (["predict", "MODEL", "nowhere", "--out", "OUTDIR"], 1, "nowhere: no such file or folder"),
        (["evaluate", CUT, "--index", "MASKS"], 1, CUT),
        (["evaluate", CUT], 2, "give the masks"),
        (
            [
                "deepusps",
                "refine",
                "--images",
                CUT,
                "--maps",
                CUT,
                "--out-labels",
                "OUT",
                "--out-model",
                "OUT",
                "--history",
                "OUT",
            ],
            1,
            CUT,
        ),
        (
            ["deepusps", "fuse", "--images", CUT, "--labels", "rbd", "--out", "OUT", "--history", "OUT"],
            2,
            "write NAME=path",
        ),
        (["data", "demo"], 2, "Missing option"),
        (["config", "check", "nowhere.yaml"], 2, "nowhere.yaml: no such file"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(scenes, model_file, tmp_path, arguments, code, text):
    (tmp_path / CUT).write_bytes((scenes / "rbd.h5").read_bytes()[:3000])
    names = {
        "INDEX": scenes / "index.csv",
        "MASKS": scenes / "masks.csv",
        "MODEL": model_file,
        "OUT": tmp_path / "out.h5",
        "OUTDIR": tmp_path / "out",
    }
    before = set(os.listdir(tmp_path))
    command = [forked.command(), *(str(names.get(word, word)) for word in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("usod: error: ")]
    assert done.returncode == code and len(errors) == 1 and text in errors[0]
    assert "Traceback" not in done.stderr and set(os.listdir(tmp_path)) == before


def test_ctrl_c_is_one_line_that_says_what_is_kept(tmp_path):
    command = [sys.executable, "-m", "usod", "data", "demo", "--out", str(tmp_path / "data"), "--train", "20000"]
    # A script's background, where a test may run, has Ctrl-C switched off.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    while process.poll() is None and not list(tmp_path.rglob("*.png")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130 and "usod: error: stopped; say the same again" in said
    assert "Traceback" not in said
