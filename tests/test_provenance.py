import subprocess
import sys
from pathlib import Path

import pytest

from usod import provenance
from usod.handcrafted import METHODS

SOURCE = provenance.PACKAGE


def names(*modules):
    return {path.relative_to(SOURCE).as_posix() for path in provenance.source_files(*modules)}


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_sources_are_the_modules_it_loads(method):
    """Against Python itself: every usod module in sys.modules after a run is on the list, no other method's is."""
    script = (
        "import sys, numpy as np\nfrom usod.handcrafted import METHODS\n"
        f"METHODS[{method!r}](np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.partition('.')[0] == 'usod'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {Path(file).relative_to(SOURCE).as_posix() for file in done.stdout.split()}
    listed = names(f"usod.handcrafted.{method}")
    assert loaded <= listed
    assert not listed & {f"handcrafted/{other}.py" for other in METHODS if other != method}


def test_training_does_not_depend_on_evaluation():
    assert not [name for name in names("usod.commands.deepusps") if name.startswith(("evaluation", "handcrafted"))]


def test_an_unknown_module_is_refused():
    with pytest.raises(ModuleNotFoundError):
        provenance.source_files("usod.nothing")


def test_digests_follow_the_content(tmp_path):
    file = tmp_path / "a"
    file.write_text("1")
    first, folder = provenance.file_digest(file), provenance.file_digest(tmp_path)
    assert first == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    file.write_text("22")
    assert provenance.file_digest(file) != first and provenance.file_digest(tmp_path) != folder
