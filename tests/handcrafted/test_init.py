import subprocess
import sys

import pytest

import usod.handcrafted
from usod.handcrafted import METHODS


def test_a_method_loads_no_other() -> None:
    code = (
        "import sys, usod.handcrafted as h; h.METHODS['mc']; "
        "print(sorted(m.split('.')[-1] for m in sys.modules if m.startswith('usod.handcrafted.')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'mc'" in loaded
    assert not {"rbd", "dsr", "hs", "mbd", "bsca"} & set(loaded.replace("'", " ").split())


def test_a_method_is_a_function_however_its_module_was_imported() -> None:
    import usod.handcrafted.rbd
    from usod.handcrafted import rbd

    assert callable(rbd)
    assert usod.handcrafted.rbd is rbd is METHODS["rbd"]


def test_methods_by_name() -> None:
    assert list(METHODS) == ["rbd", "dsr", "mc", "hs", "mbd", "bsca"]
    assert "mc" in METHODS and "gbvs" not in METHODS
    with pytest.raises(KeyError, match="there are rbd, dsr, mc, hs, mbd, bsca"):
        METHODS["gbvs"]
    with pytest.raises(AttributeError, match="gbvs"):
        _ = usod.handcrafted.gbvs
