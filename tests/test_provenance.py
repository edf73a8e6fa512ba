import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from usod import provenance
from usod.errors import UsodError
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
        "print(*(m.__file__ for n, m in sys.modules.items() if n.partition('.')[0] == 'usod'), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {Path(file).relative_to(SOURCE).as_posix() for file in done.stdout.splitlines()}
    listed = names(f"usod.handcrafted._{method}")
    assert loaded <= listed
    assert not listed & {f"handcrafted/_{other}.py" for other in METHODS if other != method}


def test_training_does_not_depend_on_evaluation():
    assert not [
        name for name in names("usod.commands.deepusps") if name.startswith(("evaluation", "reporting", "handcrafted"))
    ]


def test_an_unknown_module_is_refused():
    with pytest.raises(ModuleNotFoundError):
        provenance.source_files("usod.nothing")


@pytest.fixture
def sources(tmp_path):
    """A checkout of its own, to be edited."""
    shutil.copytree(SOURCE, tmp_path / "src/usod", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pyproject.toml").touch()
    return tmp_path / "src/usod"


def code_digest(package, module="usod.crf.densecrf", python=sys.executable):
    """By the provenance of that package, without importing more of it than the module itself."""
    script = f"import runpy; print(runpy.run_path({str(package / 'provenance.py')!r})['code_digest']({module!r}))"
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""', '"""Said otherwise. '),
        ("import numpy as np\n", "import numpy as np  # the arrays\n\n"),
        ("if TYPE_CHECKING:\n", "if TYPE_CHECKING:\n    import json\n"),
    ],
)
def test_what_is_not_executed_has_no_part_in_the_codes_digest(sources, old, new):
    before = code_digest(sources, "usod.training.moving_average")
    file = sources / "training/moving_average.py"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    assert code_digest(sources, "usod.training.moving_average") == before


def test_a_reworded_description_is_no_other_code_and_another_default_is(sources):
    before = code_digest(sources, "usod.settings.sections")
    file = sources / "settings/sections.py"
    text = file.read_text()
    file.write_text(text.replace('description="', 'description="In other words: '))
    assert code_digest(sources, "usod.settings.sections") == before != code_digest(sources)
    file.write_text(text.replace("Field(5,", "Field(6,", 1))
    assert file.read_text() != text and code_digest(sources, "usod.settings.sections") != before


def test_a_text_is_silent_only_where_it_describes(tmp_path):
    written = {
        "first": 'option(default="a", help="b")',
        "other words": 'option(default="a", help="c")',
        "another default": 'option(default="c", help="b")',
    }
    digests = []
    for name, text in written.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "step.py").write_text(text)
        digests.append(provenance.code_digest(str(tmp_path / name / "step.py")))
    first, words, default = digests
    assert first == words != default


def test_an_edit_below_an_import_reaches_what_imports_it(sources):
    before = [code_digest(sources, module) for module in ("usod.crf.densecrf", "usod.data.tree")]
    file = sources / "crf/lattice.py"
    file.write_text(file.read_text() + "\nANSWER = 42\n")
    after = [code_digest(sources, module) for module in ("usod.crf.densecrf", "usod.data.tree")]
    assert after[0] != before[0] and after[1] == before[1]


def test_the_same_code_elsewhere_has_the_same_digest(sources):
    assert code_digest(sources) == code_digest(SOURCE)


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_every_python_reads_the_same_code(minor):
    """Newer ones have more fields in their syntax trees."""
    python = shutil.which(f"python3.{minor}")
    if minor == sys.version_info.minor or python is None or subprocess.run([python, "--version"]).returncode:
        pytest.skip(f"no other Python 3.{minor} here")
    for module in ("usod.commands.deepusps", "usod.commands.maps", "usod.cli"):
        assert code_digest(SOURCE, module, python) == code_digest(SOURCE, module)


def test_an_installed_release_counts_by_its_version(sources):
    (sources.parents[1] / "pyproject.toml").unlink()
    assert code_digest(sources) == f"usod {provenance.usod_version()}"


def test_digests_follow_the_content(tmp_path):
    file = tmp_path / "a"
    file.write_text("1")
    first, folder = provenance.file_digest(file), provenance.file_digest(tmp_path)
    assert first == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    file.write_text("22")
    assert provenance.file_digest(file) != first and provenance.file_digest(tmp_path) != folder
    for content, changed in (("1", 1), ("2", 2)):  # of one size
        file.write_text(content)
        os.utime(file, ns=(changed, changed))
    assert provenance.file_digest(file) == "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"
    folder = provenance.file_digest(tmp_path)
    file.rename(tmp_path / "b")
    assert provenance.file_digest(tmp_path) != folder, "a name is a part of what is in a folder"
    (tmp_path / "b").unlink()
    with pytest.raises(UsodError, match="b: no such file"):
        provenance.describe({}, {"labels": tmp_path / "b"})


def test_a_training_goes_on_only_with_the_code_that_it_began_with(sources):
    """The states of two checkouts of the same inputs and libraries, whose code differs in one number."""
    script = (
        f"import sys; sys.path.insert(0, {str(sources.parent)!r}); from usod.provenance import resume_identity\n"
        "print(sorted(resume_identity({'inputs': {}}, 'usod.training.moving_average').items()))"
    )

    def identity() -> str:
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    before = identity()
    file = sources / "training/moving_average.py"
    file.write_text(file.read_text() + "\nANSWER = 42\n")
    assert identity() != before and "'torch'" in before


@pytest.mark.parametrize(("cores", "policy"), [(None, None), (1, None), (10_000, "PASSIVE")])
def test_threads_wait_asleep_where_there_are_more_than_cores(monkeypatch, cores, policy):
    for name in ("PATH", "USOD_VERSION", "USOD_SOURCE"):
        monkeypatch.setenv(name, "")  # put back afterwards
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    provenance.lead_to_usod(cores)
    assert os.environ.get("OMP_WAIT_POLICY") == policy
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)


@pytest.mark.parametrize("begins", ["#!{}", "#!/bin/sh\n'''exec' \"{}\" \"$0\"", "#!/bin/sh\n'''exec' {} \"$0\""])
@pytest.mark.parametrize(("python", "kept"), [(sys.executable, True), ("/usr/bin/python3", False)])
def test_the_jobs_call_the_usod_of_this_python(monkeypatch, tmp_path, python, kept, begins):
    """A wrapper of this environment stays in its place; one of another environment, activated or not, does not."""
    if " " in python and '"{}"' not in begins:  # pip quotes such a path
        begins = begins.replace("' {} ", '\' "{}" ')
    (tmp_path / "usod").write_text(begins.format(python) + "\n")
    (tmp_path / "usod").chmod(0o755)
    for name in ("USOD_VERSION", "USOD_SOURCE"):
        monkeypatch.setenv(name, "")  # put back afterwards
    monkeypatch.setenv("PATH", str(tmp_path))
    provenance.lead_to_usod()
    found = shutil.which("usod")
    assert found == (str(tmp_path / "usod") if kept else str(Path(sys.executable).parent / "usod"))
