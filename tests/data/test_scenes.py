import numpy as np
import pandas as pd
import pytest
from PIL import Image

from usod.data.index import build_index, build_masks
from usod.data.scenes import LARGEST, SMALLEST, draw_scene, write_demo
from usod.data.sprites import KINDS, Drawing
from usod.data.textures import BACKGROUNDS, draw_at_contrast, noise, oklab_to_srgb
from usod.errors import UsageError


def test_a_scene_depends_on_its_arguments_alone():
    first, other = draw_scene(3, 5, 96), draw_scene(3, 6, 96)
    draw_scene(1, 1, 64)
    again = draw_scene(3, 5, 96)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert first.image.shape != other.image.shape or (first.image != other.image).any()


def test_scenes_keep_their_promises():
    kinds = set()
    for index in range(40):
        scene = draw_scene(0, index, 80)
        assert scene.image.dtype == np.uint8
        assert scene.mask.dtype == bool
        assert scene.image.shape == (*scene.mask.shape, 3)
        assert max(scene.mask.shape) == 80
        assert SMALLEST <= scene.mask.mean() <= LARGEST
        assert scene.image.std() > 5
        kinds |= set(scene.tags)
    assert kinds == set(KINDS)
    assert draw_scene(0, 0, (50, 70)).mask.shape == (50, 70)


def test_a_scene_is_the_same_at_every_size():
    for index in range(6):
        small, large = draw_scene(1, index, (96, 128)), draw_scene(1, index, (192, 256))
        assert small.tags == large.tags
        coarse = np.asarray(Image.fromarray(large.mask).convert("L").resize((128, 96), Image.Resampling.BOX)) > 127
        assert (coarse != small.mask).mean() < 0.02


def test_mask_edge_is_where_the_colour_changes():
    """An outline of the mask is an outline of the picture: neighbours differ more across it than elsewhere."""
    steps = []
    for index in range(12):
        scene = draw_scene(2, index, 128)
        grey = scene.image.astype(float)
        inner = scene.mask[:, 1:] != scene.mask[:, :-1]
        change = np.abs(np.diff(grey, axis=1)).sum(2)
        steps.append(change[inner].mean() / change[~inner].mean())
    assert np.median(steps) > 2


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_lies_whole_in_its_frame_and_has_several_colours(kind):
    for seed in range(20):
        drawing = Drawing()
        KINDS[kind](np.random.default_rng(seed), drawing)
        border = np.concatenate([drawing.labels[[0, -1]], drawing.labels[:, [0, -1]].T])
        assert not border.any() and (drawing.labels > 0).mean() > 0.05
    assert len(np.unique(drawing.labels)) > 2


def test_colours():
    lab = np.array([[1.0, 0, 0], [0.0, 0, 0], [0.627955, 0.224863, 0.125846]])  # white, black, red (Ottosson 2020)
    np.testing.assert_allclose(oklab_to_srgb(lab), [[1, 1, 1], [0, 0, 0], [1, 0, 0]], atol=2e-3)
    rng = np.random.default_rng(0)
    base = np.array([[0.5, 0, 0], [0.8, 0.05, 0]])
    got = [np.linalg.norm(base - draw_at_contrast(rng, base, 0.2), axis=1).min() for _ in range(20)]
    assert np.abs(np.array(got) - 0.2).max() < 0.06


def test_textures_are_finite_and_normal():
    rng = np.random.default_rng(0)
    colours = oklab_to_srgb(np.array([[0.4, 0, 0], [0.6, 0.05, 0], [0.8, 0, 0.05]]))
    for family in BACKGROUNDS.values():
        image = family(rng, (48, 64), colours)
        assert image.shape == (48, 64, 3)
        assert np.isfinite(image).all()
    assert noise(rng, (64, 64), 8, 3).std() == pytest.approx(1, rel=1e-3)


def test_demo_is_a_data_set(tmp_path):
    table = write_demo(tmp_path, train=6, test=4, size=64, seed=1, held_out=["mug", "fish"])
    train = table[table["split"] == "train"]
    assert not train["tags"].str.contains("mug|fish").any()
    index, masks = build_index(tmp_path), build_masks(tmp_path)
    assert list(index["id"]) == list(masks["id"]) == sorted(table["id"])
    assert index["split"].value_counts().to_dict() == {"train": 6, "test": 4}
    assert index.attrs["split_source"] == "split.csv"
    assert masks["foreground_share"].between(SMALLEST, LARGEST).all()
    assert list(pd.read_csv(tmp_path / "tags.csv")) == ["id", "tags"]
    before = {path.name: path.read_bytes() for path in (tmp_path / "masks").iterdir()}
    write_demo(tmp_path, train=6, test=4, size=64, seed=1, held_out=["mug", "fish"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "masks").iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": 0, "test": 0, "size": 64}, "at least one scene"),
        ({"train": 1, "test": 0, "size": 8}, "size 8"),
        ({"train": 1, "test": 0, "size": 64, "held_out": ["cup"]}, "held_out cup: no such kind"),
        ({"train": 1, "test": 0, "size": 64, "held_out": list(KINDS)}, "at least one kind"),
    ],
)
def test_demo_mistakes(tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        write_demo(tmp_path, **arguments)


def test_demo_leaves_other_peoples_images_alone(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "holiday.jpg").touch()
    with pytest.raises(UsageError, match="already holds other images"):
        write_demo(tmp_path, train=1, test=0, size=64)
