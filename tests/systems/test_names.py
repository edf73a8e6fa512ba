"""Names of what is scored, taken apart and put together."""

import pytest

from usod.systems.descriptions import SYSTEMS
from usod.systems.names import SystemName, variant_folder, variant_in


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("rbd", SystemName("rbd")),
        ("deepusps-seed0", SystemName("deepusps-seed0")),
        ("a2s-stage2@a2s_table8.HMA", SystemName("a2s-stage2", "a2s_table8.HMA")),
        ("ldps-rbd-iter1@t.raw-x", SystemName("ldps-rbd-iter1", "t.raw-x")),
        ("raw-deepusps-seed0", SystemName("deepusps-seed0", post=("raw",))),
        ("spcrf-crf-wss-pretrain@t.a", SystemName("wss-pretrain", "t.a", ("spcrf", "crf"))),
        ("crf", SystemName("crf")),
    ],
)
def test_a_name_is_parsed_and_written_again(text, name):
    assert SYSTEMS.name(text) == name and str(name) == text


def test_words_that_no_system_offers_belong_to_the_name():
    assert SystemName.parse("spcrf-rbd", posts=("crf",)) == SystemName("spcrf-rbd")


def test_what_is_inside_of_a_name():
    name = SYSTEMS.name("spcrf-crf-rbd@t.a")
    assert str(name.inner) == "crf-rbd@t.a" and str(name.inner.inner) == "rbd@t.a"


def test_a_variant_is_a_folder():
    assert (SystemName("a", "t.x").folder, SystemName("a").folder) == ("variants/t.x/", "")
    assert variant_in(variant_folder("t.x")) == "t.x" and variant_in(variant_folder("")) == ""


@pytest.mark.parametrize(
    "name", ["deepusps2", "rbd-iter3", "fusion", "ldps_x", "crf-rbd", "raw-rbd", "oracle-x", "wss"]
)
def test_a_method_cannot_be_called_like_a_part(name):
    assert SYSTEMS.reserves(name) and not SYSTEMS.reserves(f"my-{name}".replace("-iter", "_iter"))
