import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import usod.handcrafted
from usod.handcrafted import METHODS
from usod.provenance import PACKAGE


def test_a_method_loads_no_other() -> None:
    code = (
        "import sys, usod.handcrafted as h; h.METHODS['mc']; "
        "print(sorted(m.split('.')[-1] for m in sys.modules if m.startswith('usod.handcrafted.')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'_mc'" in loaded
    assert not {"_rbd", "_dsr", "_hs", "_mbd", "_bsca"} & set(loaded.replace("'", " ").split())


def test_the_package_alone_loads_no_compiler() -> None:
    code = "import sys, usod.handcrafted as h; list(h.METHODS), 'rbd' in h.METHODS; print('numba' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "False"


def test_a_method_is_a_function_of_the_package() -> None:
    from usod.handcrafted import rbd

    assert usod.handcrafted.rbd is rbd is METHODS["rbd"]


def test_methods_by_name() -> None:
    assert list(METHODS) == ["rbd", "dsr", "mc", "hs", "mbd", "bsca"]
    assert "mc" in METHODS and "gbvs" not in METHODS
    with pytest.raises(KeyError, match="there are rbd, dsr, mc, hs, mbd, bsca"):
        METHODS["gbvs"]
    with pytest.raises(AttributeError, match="gbvs"):
        _ = usod.handcrafted.gbvs


def test_the_method_that_the_readme_shows_is_one(tmp_path):
    """Pasted into the sources as it says: extracted from a photograph of any kind, larger than it is made for."""
    shutil.copytree(PACKAGE, tmp_path / "src/usod", ignore=shutil.ignore_patterns("__pycache__"))
    readme = (PACKAGE.parents[1] / "README.md").read_text()
    (module,) = [text for text in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "def contrast" in text]
    package = tmp_path / "src/usod/handcrafted"
    (package / "_contrast.py").write_text(module)
    names = package / "__init__.py"
    names.write_text(names.read_text().replace('"bsca")', '"bsca", "contrast")'))
    Image.fromarray(np.zeros((90, 1280, 4), np.uint8)).save(tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, "-m", "usod", "maps", "extract", "contrast", tmp_path / "a.png", "--out", tmp_path / "maps"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "maps/a.png").size == (1280, 90)
