"""`images=FOLDER`: what becomes of the user's word, and which data set it is."""

import pytest

from usod.folders import dataset_of_folder, images_folder


@pytest.mark.parametrize(
    ("given", "root"),
    [
        ("photos", "photos"),
        ("-photos", "./-photos"),  # no option of a command
        ("demo", "./demo"),  # not the bundled scenes
        ("{here}/demo", "./demo"),
        ("{here}/my photos", "my photos"),  # moves along with the results
        ("../elsewhere", "../elsewhere"),
    ],
)
def test_a_folder_is_the_root_of_a_data_set_as_it_is_seen_from_here(tmp_path, monkeypatch, given, root):
    (here := tmp_path / "here").mkdir()
    for name in ("photos", "-photos", "demo", "my photos", "../elsewhere"):
        (here / name).mkdir()
    monkeypatch.chdir(here)
    assert images_folder(given.format(here=here)) == root


@pytest.mark.parametrize("written", ["photos", "./photos", "more/../photos", "{here}/photos"])
def test_a_data_set_of_ones_own_is_known_by_its_folder_however_that_is_written(tmp_path, monkeypatch, written):
    monkeypatch.chdir(tmp_path)
    section = {"root": written.format(here=tmp_path), "tags": "tags.csv"}
    assert dataset_of_folder("photos", {"other": {"root": "others"}, "mine": section}) == ("mine", section)
    name, made = dataset_of_folder("photos", {"photos": {"root": "others"}})
    assert name != "photos" and made == {"root": "photos", "has_masks": False}
