import pytest

from usod.data.rights import in_sum, rights_of
from usod.errors import UsageError, UsodError

IDS = ["a", "x/b", "y/c"]


def test_rights_are_of_all_or_of_each(tmp_path):
    assert rights_of("CC0", IDS) == ["CC0"] * 3
    table = tmp_path / "rights.csv"
    table.write_text('id,rights,more\nb.jpg,"CC-BY 4.0, Ann",x\na,,y\n')
    assert rights_of(str(table), IDS) == ["unknown", "CC-BY 4.0, Ann", "unknown"]
    assert in_sum(["CC-BY"] * 2 + ["unknown"]) == "2 CC-BY, 1 unknown"
    assert in_sum(map(str, range(10))).endswith("1 7, 2 others")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,rights\nz,CC0\n", "names 'z', which is no image"),
        ("id,rights\na,CC0\na.jpg,CC0\n", "names 'a.jpg' twice"),
        ("id,licence\na,CC0\n", "no CSV table of id and rights"),
    ],
)
def test_a_table_that_does_not_fit_is_named(tmp_path, text, said):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(UsodError, match=said):
        rights_of(str(tmp_path / "r.csv"), IDS)


def test_a_table_that_is_not_there_is_no_text():
    with pytest.raises(UsageError, match="no file gone.csv"):
        rights_of("gone.csv", IDS)
