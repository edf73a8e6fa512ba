"""Scoring as the papers did: each protocol against a plain version of what its paper or code says."""

import json
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from usod.errors import UsageError
from usod.evaluation import PROTOCOLS, evaluate
from usod.reporting.published import published
from usod.settings.names import F_OF_PROTOCOL, ProtocolName


class Maps(dict):
    @property
    def ids(self):
        return list(self)


def f_of(binary, g, beta2=0.3):
    hits = (binary & g).sum()
    if not hits:
        return 0.0
    precision, recall = hits / binary.sum(), hits / g.sum()
    return (1 + beta2) * precision * recall / (beta2 * precision + recall)


@pytest.fixture
def image():
    """A map of 0.1 to 0.7 at another size than its mask, whose object it finds in part."""
    rng = np.random.default_rng(0)
    mask = np.zeros((54, 108), bool)
    mask[10:40, 20:70] = True
    p = 0.1 + 0.3 * rng.random((54, 108)) + 0.3 * np.roll(mask, 5, axis=1)
    return Maps(a=p.astype(np.float32)), {"a": mask}


def under(name, image):
    maps, masks = image
    return evaluate(maps, masks, under=[name])["protocols"][name]


def test_deepusps_scores_squares_of_432_at_a_threshold_of_one_half(image):
    maps, masks = image
    p = np.asarray(Image.fromarray(maps["a"]).resize((432, 432), Image.Resampling.BILINEAR))
    g = np.kron(masks["a"], np.ones((8, 4), bool))  # 54 x 108: whole cells
    scores = under("deepusps", image)
    assert scores["f"] == pytest.approx(f_of(p > 0.5, g))
    assert scores["mae"] == pytest.approx(np.abs(p - g).mean())
    assert scores["iou"] == pytest.approx(((p > 0.5) & g).sum() / ((p > 0.5) | g).sum())
    assert scores["accuracy"] == pytest.approx(((p > 0.5) == g).mean())


@pytest.mark.parametrize(("name", "stretched"), [("own", False), ("wss", False), ("a2s", True), ("ldps", True)])
def test_twice_the_mean_of_maps_that_a2s_and_ldps_stretch_first(image, name, stretched):
    maps, masks = image
    p, g = maps["a"].astype(float), masks["a"]
    if stretched:
        p = (p - p.min()) / (p.max() - p.min())
    scores = under(name, image)
    assert scores["f"] == pytest.approx(f_of(p >= 2 * p.mean(), g))
    assert scores["mae"] == pytest.approx(np.abs(p - g).mean())


def test_selfmask_squares_beta_twice_and_takes_each_images_best_threshold(image):
    maps, masks = image
    p, g = maps["a"].astype(float), masks["a"]
    best = max(f_of(p >= k / 255, g, 0.3**2) for k in range(256))
    assert under("selfmask", image)["f"] == pytest.approx(best)
    second = Maps(maps, b=np.ones((54, 108), np.float32))
    both = evaluate(second, {**masks, "b": ~masks["a"]}, under=["selfmask"])["protocols"]["selfmask"]["f"]
    assert both == pytest.approx((best + f_of(np.ones_like(g), ~g, 0.09)) / 2), "the mean of maxima"


def test_a_large_mask_is_brought_to_432_by_nearest_neighbour():
    rng = np.random.default_rng(1)
    mask = rng.random((1296, 2160)) > 0.5  # three and five times 432: each centre lies in one pixel
    g = np.asarray(Image.fromarray(mask).resize((432, 432), Image.Resampling.NEAREST))
    scores = under("deepusps", (Maps(a=g.astype(np.float32)), {"a": mask}))
    assert scores["mae"] == 0 and scores["iou"] == 1


def test_e_is_of_the_map_that_f_is_of(image):
    results = evaluate(*image, under=["own", "csnet"])
    half = evaluate(Maps(a=image[0]["a"] > 0.5), image[1])
    assert results["protocols"]["own"]["e"] == pytest.approx(results["e_adaptive"])
    assert results["protocols"]["csnet"]["e"] == pytest.approx(half["e_adaptive"]) != results["e_adaptive"]


def test_ldps_finds_what_is_all_but_white():
    """Twice the mean is above 1 here: white alone is salient for A2S, .9995 too for LDPS."""
    p, g = np.array([[0, 0.9995, 1, 1]], np.float32), np.array([[False, True, True, True]])
    pair = Maps(a=p), {"a": g}
    assert under("ldps", pair)["f"] == 1 > under("a2s", pair)["f"]


def test_csnet_scores_at_one_half_at_the_size_of_the_mask(image):
    maps, masks = image
    assert under("csnet", image)["f"] == pytest.approx(f_of(maps["a"] > 0.5, masks["a"]))


def test_a_uniform_map_is_not_stretched_and_an_empty_pair_is_right():
    empty = Maps(a=np.zeros((8, 8), np.float32)), {"a": np.zeros((8, 8), bool)}
    assert under("a2s", empty)["f"] == 0 and under("deepusps", empty)["f"] == 1
    assert under("a2s", empty)["iou"] == under("a2s", empty)["accuracy"] == 1
    assert under("ldps", (Maps(a=np.full((8, 8), 0.4, np.float32)), empty[1]))["mae"] == pytest.approx(0.4)


def test_grey_masks_are_read_as_the_protocol_does(tmp_path):
    """Half of 255 for most, everything above 0 for LDPS, the data set's own share for usod."""
    Image.fromarray(np.array([[0, 100, 200, 255]], np.uint8)).save(tmp_path / "m.png")
    table = pd.DataFrame([{"id": "a", "mask": str(tmp_path / "m.png"), "threshold": 0.9}])
    maps = Maps(a=np.ones((1, 4), np.float32))
    scores = evaluate(maps, table, under=["own", "csnet", "ldps"])["protocols"]
    assert [scores[name]["accuracy"] for name in ("own", "csnet", "ldps")] == [0.25, 0.5, 0.75]


def test_an_image_without_object_is_left_out_of_every_protocol_when_asked(image):
    maps, masks = image
    more = Maps(maps, b=maps["a"])
    scores = evaluate(more, {**masks, "b": np.zeros((54, 108), bool)}, under=list(PROTOCOLS), empty="skip")
    alone = evaluate(maps, masks, under=list(PROTOCOLS))
    assert scores["protocols"] == alone["protocols"]


def test_scores_are_written_and_a_name_that_is_none_is_refused(image, tmp_path):
    results = evaluate(*image, under=["own", "a2s"], json_path=tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["protocols"] == results["protocols"]
    assert results["protocols"]["own"]["f"] == pytest.approx(results["f_adaptive"])
    with pytest.raises(UsageError, match="'a2s-v9'.*own, deepusps"):
        evaluate(*image, under=["a2s-v9"])


def test_settings_and_published_tables_name_the_protocols_that_there_are():
    assert set(get_args(ProtocolName)) == set(PROTOCOLS)
    f = {"fixed": "f_fixed", "adaptive": "f_adaptive", "maximum": "f_max"}
    assert {name: f[protocol.f] for name, protocol in PROTOCOLS.items()} == F_OF_PROTOCOL
    assert set(published()["protocol"]) - {"unknown"} <= set(PROTOCOLS)
