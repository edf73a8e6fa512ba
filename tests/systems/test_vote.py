"""Votes: overlaps and rules by hand, and the command on small maps."""

import subprocess

import numpy as np
import pytest

from usod.data.mapstore import MapStore, write_maps
from usod.provenance import describe
from usod.systems import vote

from .. import forked

IDS = ["a", "deep/b"]


def votes(*rows):
    """Votes of one row of pixels each, in the middle of a frame of three rows: none spans it from top to bottom."""
    found = np.zeros((len(rows), 3, len(rows[0])), bool)
    found[:, 1] = [[pixel == "x" for pixel in row] for row in rows]
    return found


def test_thresholds_are_one_and_a_half_means_of_the_set_or_of_each_map_and_below_one():
    maps = [np.full((2, 2), level, np.uint8) for level in (0, 51, 204)]  # 0, 0.2, 0.8: mean 1/3, median 0.2
    np.testing.assert_allclose(vote.discretisation_threshold(maps), [0.5] * 3, rtol=1e-6)
    each = vote.discretisation_threshold(maps, scope="image")
    np.testing.assert_allclose(each, [0, 0.3, 254.5 / 255], rtol=1e-6)
    assert (maps[2] / 255 > vote.discretisation_threshold(maps, 0.9, "image")[2]).all()


def test_overlap_is_the_intersection_over_the_union_and_two_empty_votes_agree():
    found = vote.overlap(votes("xxxx..", "xx....", ".xx...", "......", "......"))
    np.testing.assert_allclose(found[:3], [[1, 1 / 2, 1 / 2, 0, 0], [1 / 2, 1, 1 / 3, 0, 0], [1 / 2, 1 / 3, 1, 0, 0]])
    np.testing.assert_allclose(found[3:], [[0, 0, 0, 1, 1]] * 2)


def test_agreement_is_the_share_of_the_mean_overlap_with_the_others():
    """By hand: 1/2 + 1/2, 1/2 + 1/3 and 1/2 + 1/3 of a sum of 8/3."""
    np.testing.assert_allclose(vote.agreement(votes("xxxx..", "xx....", ".xx...")), [3 / 8, 5 / 16, 5 / 16])
    np.testing.assert_allclose(vote.agreement(votes("xx....", "xx....", "....xx")), [1 / 2, 1 / 2, 0])
    assert vote.agreement(votes("x..", ".x.", "..x")).tolist() == [1 / 3] * 3, "nobody agrees with anybody"
    assert vote.agreement(votes("x..")).tolist() == [1]


def test_a_vote_spans_the_frame_from_one_border_to_the_opposite_one():
    found = np.zeros((6, 4, 5), bool)
    found[0, 0, 1] = found[0, 3, 4] = True  # top and bottom
    found[1, 1, 0] = found[1, 2, 4] = True  # left and right
    found[2, 0, 0] = True  # a corner: top and left
    found[3, 0, 0] = found[3, 0, 3] = True
    found[4, 3, 4] = found[4, 1, 4] = True  # bottom and right
    assert vote.spanning(found).tolist() == [True, True, False, False, False, False]


def test_a_pixel_is_salient_where_more_than_half_vote_for_it():
    row = ".xxxx"
    four = votes(row, "..xxx", "...xx", "....x")
    np.testing.assert_allclose(vote.majority(four)[1], [0, 0.25, 0.5, 0.75, 1])
    assert vote.fuse(four, "majority")[1].tolist() == [0, 0, 0, 1, 1], "two of four are no majority"
    assert vote.fuse(four, "majority", soft=True)[1].tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_a_vote_that_agrees_with_the_others_weighs_more():
    """By hand: IoU 2/3 of the first two, 1/5 of the last two, 0 of the outer two: 10, 13 and 3 of 26."""
    three = votes(".xx....", ".xxx...", "...xxx.")
    expected = np.array([0, 23, 23, 16, 3, 3, 0]) / 26
    np.testing.assert_allclose(vote.fuse(three, "weighted", soft=True)[1], expected, rtol=1e-6)
    assert vote.fuse(three, "weighted")[1].tolist() == [0, 1, 1, 1, 0, 0, 0]
    many = np.random.default_rng(0).random((50, 3, 4, 5)) > 0.6
    assert all(np.array_equal(vote.fuse(each, "weighted"), vote.fuse(each, "majority")) for each in many), "of three"
    # Where two of four vote for a pixel the weights decide.
    four = votes(".xx..", ".xx..", "..xx.", "...x.")
    assert vote.fuse(four, "majority")[1].tolist() == [0, 0, 1, 0, 0]
    assert vote.fuse(four, "weighted")[1].tolist() == [0, 1, 1, 0, 0]


def test_the_best_vote_is_that_of_the_largest_sum_of_overlaps_among_those_that_do_not_span():
    three = votes(".xxx..", ".xx...", "..xxx.")
    assert vote.fuse(three, "best")[1].tolist() == [0, 1, 1, 1, 0, 0]
    # The first agrees with both others, but goes from side to side.
    framed = votes("xxxxxx", ".xxxx.", ".xxx..", "...xx.")
    assert vote.overlap(framed).sum(1).argmax() == 1 and vote.fuse(framed, "best")[1].tolist() == [0, 1, 1, 1, 1, 0]
    spanning = votes("xxxxxx", "xxxxx.", "xxxxxx", "...xx.")
    spanning[1, 1, 5] = True
    spanning[1, 1, 2] = False
    assert vote.fuse(spanning, "best")[1].tolist() == [0, 0, 0, 1, 1, 0], "the only one that does not"
    assert vote.fuse(spanning[:3], "best")[1].tolist() == [1] * 6, "all span: it is chosen among all"
    assert vote.fuse(votes(".x..", "..x."), "best")[1].tolist() == [0, 1, 0, 0], "of equals the first"


@pytest.fixture
def files(tmp_path):
    """Two labels, a map that never reaches 0.5, labels of other images and of another size."""
    described = describe({}, {}) | {"created_by": "test", "labels": "none"}
    rng = np.random.default_rng(0)
    blob = np.zeros((8, 8))
    blob[2:6, 2:6] = 1
    stores = {
        "one": (IDS, blob),
        "two": (IDS[::-1], np.roll(blob, 1, 1)),
        "dark": (IDS, 0.4 * np.roll(blob, 1, 0)),
        "others": (["c"], blob),
        "small": (IDS, rng.random((4, 4))),
    }
    for name, (ids, saliency) in stores.items():
        sizes = np.full((len(ids), 2), 64)
        with write_maps(tmp_path / f"{name}.h5", ids, saliency.shape, sizes, described) as rows:
            for key in ids:
                rows[key] = saliency
    return tmp_path


def _usod(folder, *words, code=0):
    call = [forked.command(), "vote", "make", *words, "--out", "fused.h5"]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr


def test_a_vote_is_one_command(files):
    given = ("--labels", "one=one.h5", "--labels", "two=two.h5", "--maps", "dark=dark.h5")
    with MapStore(files / "one.h5") as one, MapStore(files / "two.h5") as two, MapStore(files / "dark.h5") as dark:
        three = np.stack([one["a"] > 0.5, two["a"] > 0.5, dark["a"] > 0.15])
        ids = one.ids
    for options, expected in (
        ((), vote.majority(three) > 0.5),
        (("--soft", "--rule", "weighted"), vote.weighted(three)),
        (("--rule", "best"), three[0]),
    ):
        _usod(files, *given, *options)
        with MapStore(files / "fused.h5") as fused:
            assert fused.ids == ids and fused.original_size.tolist() == [[64, 64]] * 2 and fused.labels == "none"
            assert np.abs(fused["deep/b"] - expected).max() < 0.003
    _usod(files, *given[:4], "--labels", "dark=dark.h5", "--soft")
    with MapStore(files / "fused.h5") as fused:
        assert fused["a"].max() < 0.7, "as a label the dark map votes for nothing"


def test_maps_of_sizes_of_their_own_vote_at_the_size_of_the_labels(files):
    with write_maps(files / "own.h5", IDS, np.array([[3, 5], [9, 4]]), np.full((2, 2), 64), {"labels": "none"}) as rows:
        rows.fill([np.ones((3, 5)), np.ones((9, 4))])
    _usod(files, "--labels", "one=one.h5", "--maps", "own=own.h5")
    with MapStore(files / "fused.h5") as fused:
        assert fused.size == (8, 8)


@pytest.mark.parametrize(
    ("words", "line", "code"),
    [
        (("--labels", "one=one.h5"), "--labels, --maps: 1 cannot vote; give NAME=FILE of two label sets or more", 2),
        ((), "--labels, --maps: 0 cannot vote", 2),
        (("--labels", "one=one.h5", "--maps", "one=dark.h5"), "--labels one: --maps has that name, too", 2),
        (
            ("--labels", "one=one.h5", "--labels", "c=others.h5"),
            "others.h5: 2 of 2 images have no map here: a, deep/b",
            1,
        ),
        (("--labels", "one=one.h5", "--labels", "s=small.h5"), "small.h5: has 4x4, but one.h5 8x8", 1),
        (("--labels", "one=one.h5", "--labels", "x=none.h5"), "none.h5: no such file", 1),
        (("--labels", "one=one.h5", "--labels", "two=two.h5", "--rule", "all"), "'all' is not one of 'majority'", 2),
    ],
)
def test_what_cannot_be_voted_on_is_one_line(files, words, line, code):
    error = _usod(files, *words, code=code)
    assert line in error and error.count("\n") == 1 and not (files / "fused.h5").exists()
