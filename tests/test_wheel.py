"""The wheel: what is in it, its page on PyPI, and the workflow run from it where there is no checkout."""

import email
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from readme_renderer.markdown import render

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from hatch_build import BUNDLED, absolute_links  # noqa: E402

pytestmark = pytest.mark.xdist_group("wheel")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the source archive, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (file,) = built.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def page(wheel):
    """The project's page as PyPI shows it."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata.get_content_type() == "text/plain" and metadata["Description-Content-Type"] == "text/markdown"
    html = render(metadata.get_payload(decode=True).decode())
    assert html is not None
    return html


def files_of(folder):
    names = [path.relative_to(ROOT).as_posix() for path in folder.rglob("*") if path.is_file()]
    return {name for name in names if "__pycache__" not in name}


def test_the_wheel_holds_the_package_and_the_workflow_and_no_more(wheel):
    bundled = {name for top in BUNDLED for name in (files_of(ROOT / top) if (ROOT / top).is_dir() else {top})}
    assert {"Snakefile", "workflow/rules/common.smk", "workflow/report/workflow.rst", "envs/usod.yaml"} <= bundled
    expected = {f"usod/bundled/{name}": ROOT / name for name in bundled}
    expected |= {name.removeprefix("src/"): ROOT / name for name in files_of(ROOT / "src") if "egg-info" not in name}
    assert {"usod/py.typed", "usod/reporting/published/a2s_table1.csv"} <= set(expected)
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert held == set(expected)
        assert [name for name in held if archive.read(name) != expected[name].read_bytes()] == []


def test_the_tree_gives_the_same_wheel_as_the_source_archive(wheel, tmp_path):
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_the_source_archive_has_the_tests_and_nothing_that_was_made(built):
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tests/test_wheel.py", "Makefile", "docs/guide.md", "results/.gitkeep"} <= names
    assert not [name for name in names if re.search(r"__pycache__|\.venv|\.snakemake/|egg-info|^results/[^.]", name)]


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        # The page gives each heading a link to itself.
        self.found += [value for name, value in attrs if name in ("href", "src") and "user-content-" not in value]


def links(html):
    parser = Links()
    parser.feed(html)
    return parser.found


def test_every_link_of_the_page_leads_somewhere_without_the_checkout(page):
    assert "<h1" in page and "<table" in page
    assert [link for link in links(page) if not link.startswith(("https://", "http://"))] == []


def test_with_an_address_the_links_and_the_picture_lead_to_the_repository():
    address = "https://git.example.org/usod"
    found = links(render(absolute_links((ROOT / "README.md").read_text(), address)))
    assert f"{address}/raw/HEAD/workflow/report/demo.png" in found and f"{address}/blob/HEAD/docs/guide.md" in found
    assert [link for link in found if not link.startswith(address)] == []


def anywhere(folder, *command):
    """Run it in a folder, without any variable that could lead to the checkout; its output."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment["PATH"] = "/usr/local/bin:/usr/bin:/bin"
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def usod(wheel, tmp_path_factory):
    """The `usod` of an environment of its own, in which the wheel is installed.

    Its dependencies are those of this environment, which come after the environment's own in the search path: to
    install them once more would take 5 GB.
    """
    folder = tmp_path_factory.mktemp("environment")
    anywhere(folder, sys.executable, "-m", "venv", folder)
    anywhere(folder, folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    found = anywhere(folder, folder / "bin/python", "-c", "import usod; print(usod.__file__)")
    assert found.strip() == str(site / "usod/__init__.py")
    return folder / "bin/usod"


@pytest.mark.wheel
def test_an_installed_wheel_plans_for_a_folder_of_photographs(usod, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.effect_noise((64, 48), 90).convert("RGB").save(tmp_path / "photos/a.jpg")
    output = anywhere(tmp_path, usod, "run", "photos", "-n")
    assert "export_masks" in output and str(ROOT) not in output


@pytest.mark.wheel
def test_an_installed_wheel_runs_every_step(usod, tmp_path):
    """The smoke preset, in an empty folder."""
    output = anywhere(tmp_path, usod, "run", "--preset", "smoke")
    assert re.search(r"^Report: +results/report/report.html$", output, flags=re.MULTILINE)
    assert (tmp_path / "results/report/report.html").stat().st_size > 10_000
    logs = "".join(file.read_text() for file in tmp_path.glob(".snakemake/log/*.log"))
    # The dependencies may lie in the checkout's own environment.
    assert "bundled/Snakefile" in logs and not [name for name in ("src", "Snakefile") if str(ROOT / name) in logs]
    assert "nothing to do" in anywhere(tmp_path, usod, "run", "--preset", "smoke")
