import re
import unicodedata

import pytest

from usod.settings.names import LONGEST, PATTERN, RESERVED, usable_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("photos.v2", "photos.v2"),
        ("my set", "my-set"),
        ("Urlaub Köln 2", "Urlaub-Koln-2"),
        (" a b ", "a-b"),
        ("Straße", "Strasse"),
        ("DCIM　2024", "DCIM-2024"),  # an ideographic space
    ],
)
def test_what_can_be_read_stays_readable(text, name):
    assert usable_name(text) == name


@pytest.mark.parametrize(
    "text",
    ["写真", "ガーデン", "旅行 2024", "Фото", "🏖 Meer", "...", "", "-", "data", "Masks", "x" * 300, "a.-b", "\udcff"],
)
def test_every_name_is_a_name(text):
    name = usable_name(text)
    assert re.match(PATTERN, name) and name.casefold() not in RESERVED and len(name) <= LONGEST + 10
    assert usable_name(unicodedata.normalize("NFD", text)) == name, "as another archive or system spells it"


def test_folders_whose_letters_are_lost_do_not_share_a_name():
    names = {usable_name(text) for text in ("写真", "旅行", "旅行 2024", "写真 2024", "2024", "Фото 2024")}
    assert len(names) == 6
    assert len({usable_name(text) for text in ("a b", "a,b", "a#b", "Trip 1", "Trip (1)")}) == 5
    assert usable_name("photos", taken={"photos"}) != usable_name("photos")
