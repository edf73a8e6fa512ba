"""The walk-through's script does what its page says, where nothing can be downloaded."""

import re
import subprocess
import sys

import pytest
from PIL import Image

from .conftest import ROOT

PAGE = ROOT / "docs/tutorial.md"
SHOWN = re.findall(r"!\[[^\]]+\]\(tutorial/(\S+)\)", PAGE.read_text(encoding="utf-8"))


@pytest.mark.workflow
@pytest.mark.faults
def test_the_walk_through_makes_the_pictures_of_its_page(tmp_path):
    command = [sys.executable, ROOT / "docs/make_tutorial.py", "--work", tmp_path / "my folder"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "finished" in done.stdout and "deepusps/fusion/seed0" in done.stdout, "what usod status shows"
    assert sorted(file.name for file in (tmp_path / "my folder/pictures").iterdir()) == sorted(SHOWN)
    assert Image.open(tmp_path / "my folder/cut/temple.png").mode == "RGBA"


def test_the_pages_pictures_are_there_and_small():
    files = [PAGE.parent / "tutorial" / name for name in SHOWN]
    assert len(files) == 3 and sum(file.stat().st_size for file in files) < 600_000
