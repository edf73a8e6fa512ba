import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from usod.data.mapstore import MapStore, write_maps
from usod.errors import UsageError, UsodError
from usod.settings.sections import read_yaml

FUZZ = Path(__file__).with_name("fuzz.py")
ATTRIBUTES = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0"}


def test_damaged_and_hostile_files_are_refused_in_one_line(tmp_path):
    """A few of the inputs of `tests/fuzz.py`, which is run with many more by hand."""
    command = [sys.executable, FUZZ, "--inputs", "700", "--keep", tmp_path / "found"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "700 inputs in" in done.stdout and done.stdout.strip().endswith("0 went wrong")


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "maps.h5"
    with write_maps(path, ["a", "b"], (8, 8), [[8, 8]] * 2, ATTRIBUTES) as rows:
        for key in ("a", "b"):
            rows[key] = np.eye(8)
    return path


def test_a_store_cannot_make_files_outside_the_folder_it_is_exported_to(store):
    for name in ("../outside", "/etc/outside", "x/../../outside", ""):
        with h5py.File(store, "r+") as file:
            file["ids"][0] = name
        with pytest.raises(UsodError, match="an id .* that is no relative path"):
            MapStore(store)


def test_a_store_cannot_read_other_files(store):
    with h5py.File(store, "r+") as file:
        del file["maps"]
        file.create_dataset("maps", (2, 8, 8), "u1", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
    with pytest.raises(UsodError, match="maps is no table of its own"):
        MapStore(store)


def test_a_store_cannot_claim_more_than_it_holds(store):
    with h5py.File(store, "r+") as file:
        del file["original_size"]
        file.create_dataset("original_size", (2**36, 2), "i8", chunks=(8, 2))
    with pytest.raises(UsodError, match="original_size claims .* rows"):
        MapStore(store)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: &a [*a]", "an alias inside itself"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("\n".join(f"x{i + 1}: &x{i + 1} [{', '.join([f'*x{i}' if i else 'x'] * 10)}]" for i in range(9)), "more than"),
    ],
)
def test_hostile_yaml_is_one_line(tmp_path, text, line):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UsageError, match=line) as caught:
        read_yaml(tmp_path / "c.yaml")
    assert "\n" not in str(caught.value)
