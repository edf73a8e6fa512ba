"""Do the tests notice? Curated faults in the sources, each put into a copy of the project while its tests run.

    python tests/mutants.py                         all of them, in an hour or two of a core
    python tests/mutants.py evaluation data/store   those whose number, package or file has one of these words
    python tests/mutants.py --list

The faults stand in `tests/mutants/PACKAGE.yaml`:

    FILE:
      tests: what must notice, below tests/
      faults:
        - [a text that stands once in the file, what stands there instead]
        - [another text, its replacement, other tests]

Tests that are known to call what a fault changes run first, and a noticed fault takes a fraction of a second; most of
the time goes into running each test once, and into survivors. A test that failed is run once without any fault, unless
it has passed before: one that fails by itself notices nothing.

Photographs are never used, so what passes here passes for everybody. The work tree is never changed.
"""

import argparse
import compileall
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)] * (__name__ == "__main__")

from tests.called import Noting, in_order, read_known  # noqa: E402
from tests.exchange import Live, changed_functions, exchange, live_functions  # noqa: E402

LIST = ROOT / "tests/mutants"
# Imported once and inherited by every run, which saves it most of its seconds.
HEAVY = (
    *("h5py", "matplotlib.pyplot", "numba", "pandas", "pydantic", "sklearn.cluster", "sklearn.mixture"),
    *("skimage.color", "skimage.segmentation", "scipy.ndimage", "scipy.sparse.linalg", "torchvision", "tqdm"),
)


class Fault(NamedTuple):
    """One fault: in `file`, below the project's folder, `was` becomes `now`, and one of `tests` is to fail."""

    number: int
    package: str
    file: str
    was: str
    now: str
    tests: tuple[str, ...]

    @property
    def line(self) -> int:
        return self.text.partition(self.was)[0].count("\n") + 1

    @property
    def text(self) -> str:
        """The file's, without the fault."""
        return (ROOT / self.file).read_text(encoding="utf-8")

    @property
    def changed(self) -> set[str]:
        """The names of the functions that it changes; of the file alone where it changes more than functions."""
        return changed_functions(self.file, self.text, self.text.replace(self.was, self.now))

    def __str__(self) -> str:
        was, now = (" ".join(text.split()) or "(nothing)" for text in (self.was, self.now))
        return f"{self.number:3d}  {self.file}:{self.line}  {was}  ->  {now}"


def read_faults() -> list[Fault]:
    """All faults of the list, numbered from 1."""
    import yaml

    found: list[Fault] = []
    for path in sorted(LIST.glob("*.yaml")):
        for file, section in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            for was, now, *tests in section["faults"]:
                names = tuple((tests[0] if tests else section["tests"]).split())
                found.append(Fault(len(found) + 1, path.stem, file, was, now, names))
    return found


def untrue(fault: Fault) -> str:
    """Why a fault cannot be put in place; empty where it can."""
    path = ROOT / fault.file
    count = path.read_text(encoding="utf-8").count(fault.was) if path.is_file() else 0
    if count != 1:
        return f"the text is found {count} times"
    missing = [name for name in fault.tests if not (ROOT / "tests" / name.partition("::")[0]).exists()]
    return "nothing is changed" if fault.was == fault.now else f"no tests {missing}" if missing else ""


def chosen(faults: Sequence[Fault], words: Sequence[str]) -> list[Fault]:
    """The faults with each of the words: a number, numbers as 10-20, a package, or a part of the file's path."""
    packages = {fault.package for fault in faults}

    def has(fault: Fault, word: str) -> bool:
        first, _, last = word.partition("-")
        if first.isdigit():
            return int(first) <= fault.number <= int(last or first)
        return word == fault.package if word in packages else word in fault.file

    found = [fault for word in words for fault in faults if has(fault, word)] if words else list(faults)
    return list(dict.fromkeys(found))


def copy_project(to: Path) -> None:
    """The files of the work tree that git knows or would add, and what Python has compiled of them."""
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, text=True)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    for kept in [*(ROOT / "src").rglob("*.nbi"), *(ROOT / "src").rglob("*.nbc")]:  # of numba
        (to / kept.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(kept, to / kept.relative_to(ROOT))
    compileall.compile_dir(to / "src", quiet=2)


@contextlib.contextmanager
def in_place(fault: Fault, tree: Path, untouched: Path) -> Iterator[None]:
    """The fault in a copy of the project; what numba compiles of it does not stay."""
    path, own = tree / fault.file, untouched / fault.file
    path.write_text(own.read_text(encoding="utf-8").replace(fault.was, fault.now), encoding="utf-8")
    try:
        yield
    finally:
        shutil.copy2(own, path)
        for folder in (tree, untouched):
            for compiled in (folder / fault.file).parent.glob(f"__pycache__/{path.stem}.*.nb?"):
                if folder == tree:
                    compiled.unlink()
                else:
                    shutil.copy2(compiled, path.parent / "__pycache__" / compiled.name)


class _NoWorkers:
    """In place of the fixture `workers`, which starts processes ahead of time for long sessions."""

    @staticmethod
    def pytest_fixture_setup(fixturedef, request):
        if fixturedef.argname == "workers" and fixturedef.scope == "session":
            fixturedef.cached_result = (None, fixturedef.cache_key(request), None)
            return True
        return None


class _Ordered(_NoWorkers):
    """Runs first the tests that are known to call what a fault changes, and remembers which failed."""

    def __init__(self, known: Path, changed: set[str]) -> None:
        self.known, self.changed = known, changed
        self.noticed_by = ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        known = read_known(self.known)
        first, others = in_order(items, known, self.changed)
        called = {name for test in items if test.nodeid in known for name in known[test.nodeid].calls}
        # Functions that tests are known to call: the others cannot notice.
        functions = self.changed and all(":" in name for name in self.changed) and self.changed <= called
        items[:] = first if functions else [*first, *others]

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.noticed_by = self.noticed_by or report.nodeid


class _Trials(_Ordered):
    """Collects the tests once, and runs them once for each of the faults, in a process forked after the collection.

    Only those tests are run that may notice: not those that are known to call nothing of what is changed.
    """

    def __init__(self, faults: Sequence[Fault], tree: Path, untouched: Path, limit: float, known: Path) -> None:
        super().__init__(known, set())
        self.faults, self.tree, self.untouched, self.limit = faults, tree, untouched, limit

    def pytest_runtestloop(self, session):
        tests, live = session.items, live_functions(self.tree)
        for fault in self.faults:
            told = self.tree / "noticed-by.txt"
            told.unlink(missing_ok=True)
            start = time.monotonic()
            # Of a rule or a table nobody knows which tests read it.
            session.items = in_order(tests, read_known(self.known), fault.changed)[0] if fault.changed else tests
            with in_place(fault, self.tree, self.untouched):
                if (child := os.fork()) == 0:
                    os._exit(self._try(session, fault, live, told))
                code = _ended(child, start + self.limit)
            by = told.read_text(encoding="utf-8") if told.exists() else ""
            outcome = {0: "SURVIVES", 1: "noticed"}.get(code, "apart")
            record = [fault.number, outcome, time.monotonic() - start, by]
            with (self.tree / "outcomes.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        return True

    def _try(self, session, fault: Fault, live: Live, told: Path) -> int:
        from _pytest.main import pytest_runtestloop

        os.setpgrp()
        try:
            if not exchange(self.tree / fault.file, fault.text, live):
                return 77
            session.config.pluginmanager.register(Noting(self.tree, self.known))
            with contextlib.suppress(session.Failed):  # what ends the loop at the first failure
                pytest_runtestloop(session)
            told.write_text(self.noticed_by, encoding="utf-8")
            return 1 if session.testsfailed else 0
        except BaseException:
            return 77


def _ended(child: int, deadline: float) -> int | None:
    """The exit code of a process, None where the time was up; what it has left behind is ended with it."""
    code = None
    try:
        while code is None and time.monotonic() < deadline:
            done, status = os.waitpid(child, os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if done else None
            time.sleep(0 if done else 0.02)
    finally:  # where this process is ended, too
        below = psutil.Process(child).children(recursive=True) if code is None else []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        for process in below:  # some are groups of their own
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    if code is None:
        os.waitpid(child, 0)
    return code


def _end_with_all_below(*_: object) -> None:
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(143)


def run_tests(tree: Path, tests: Sequence[str], limit: float, plugin: _Ordered, *more: str) -> int | None:
    """pytest's exit code in a copy of the project, in a new process; None where the time was up.

    Of the copy, `output.txt` is what pytest writes, and `noticed-by.txt` the first test that failed.
    """
    start = time.monotonic()
    if (child := os.fork()) == 0:
        os.setpgrp()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        file = os.open(tree / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(file, number)
        os.chdir(tree)
        os.environ |= {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        os.environ.pop("USOD_REAL_DATA", None)
        sys.dont_write_bytecode = True
        sys.path[:] = [str(tree / "src"), *(path for path in sys.path if path not in (str(ROOT), str(ROOT / "src")))]
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]  # the copy has its own
        # The tests' files lie beside the copy: inside it, their paths would be told relative to it.
        words = ["-q", "-p", "no:cacheprovider", f"--basetemp={tree}-tmp", *more, *(f"tests/{name}" for name in tests)]
        code = pytest.main(words, plugins=[plugin, *[Noting(tree, plugin.known)] * (type(plugin) is _Ordered)])
        (tree / "noticed-by.txt").write_text(plugin.noticed_by, encoding="utf-8")
        sys.stdout.flush()
        os._exit(int(code))
    return _ended(child, start + limit)


Outcome = tuple[int, str, float, str]
"""Number of a fault, what became of it, the seconds, and the test that noticed."""


def try_faults(faults: Sequence[Fault], folder: Path, known: Path, limit: float) -> list[Outcome]:
    """What becomes of some faults that the same tests must notice."""
    tree, untouched = folder / f"tree-{os.getpid()}", folder / "untouched"
    if not tree.exists():
        shutil.copytree(untouched, tree)
    outcomes = tree / "outcomes.jsonl"
    outcomes.unlink(missing_ok=True)
    together = _Trials(faults, tree, untouched, limit, known)
    run_tests(tree, faults[0].tests, limit * (1 + len(faults)), together, "-x")
    lines = outcomes.read_text(encoding="utf-8").splitlines() if outcomes.exists() else []
    found = {number: (number, outcome, seconds, by) for number, outcome, seconds, by in map(json.loads, lines)}
    # What passes is tried once more in a process of its own, as is what cannot be exchanged in a running one.
    for fault in faults:
        if fault.number not in found or found[fault.number][1] != "noticed":
            found[fault.number] = try_apart(fault, tree, untouched, known, limit)
    return [found[fault.number] for fault in faults]


def try_apart(fault: Fault, tree: Path, untouched: Path, known: Path, limit: float) -> Outcome:
    """What becomes of one fault, all modules imported with it, of all its tests."""
    start = time.monotonic()
    with in_place(fault, tree, untouched):
        code = run_tests(tree, fault.tests, limit, _Ordered(known, fault.changed), "-x")
    by = (tree / "noticed-by.txt").read_text(encoding="utf-8") if code is not None else ""
    outcome = {0: "SURVIVES", 1: "noticed", None: "TIME IS UP"}.get(code, f"ERROR {code}")
    return fault.number, outcome, time.monotonic() - start, by


def fail_as_it_is(tests: Sequence[str], folder: Path, known: Path, limit: float) -> set[str]:
    """Those of some tests that fail without any fault; what was seen to pass need not be looked at."""
    # Sorted: pytest loses the fixtures of a folder whose file it is given twice, with others in between.
    unsure = sorted({test for test in tests if test and test not in read_known(known)})
    if unsure:
        names = [test.removeprefix("tests/") for test in unsure]
        run_tests(folder / "untouched", names, 60 * limit, _Ordered(known, set()))
    return set(unsure) - set(read_known(known))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="numbers (7 or 10-20), packages, parts of file names; none: all")
    parser.add_argument("--list", action="store_true", help="print the faults and stop")
    parser.add_argument("--jobs", type=int, default=1, help="faults tried at a time")
    parser.add_argument("--limit", type=float, default=300, help="seconds for the tests of one fault")
    parser.add_argument("--known", type=Path, help="file for what the tests call, for another run with the same tests")
    options = parser.parse_args()
    faults = chosen(read_faults(), options.words)
    if wrong := [f"{fault}: {why}" for fault in faults if (why := untrue(fault))]:
        print("\n".join(["these faults cannot be put in place; mend the list:", *wrong]), file=sys.stderr)
        return 2
    if options.list or not faults:
        print("\n".join(map(str, faults)) or "no such fault", file=sys.stdout if faults else sys.stderr)
        return 0 if faults else 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and so ends what it has started
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "MPLBACKEND": "agg"}
    for name in HEAVY:
        __import__(name)
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        copy_project(folder / "untouched")
        return (
            1
            if _try_all(
                faults, folder, (options.known or folder / "known.jsonl").absolute(), options.jobs, options.limit
            )
            else 0
        )


def _try_all(faults: Sequence[Fault], folder: Path, known: Path, jobs: int, limit: float) -> list[Fault]:
    """Try them, print each outcome, the table and the survivors; what did not end as noticed comes back."""
    groups: dict[tuple[str, ...], list[Fault]] = {}
    for fault in faults:
        groups.setdefault(fault.tests, []).append(fault)
    parts = [group[start : start + 20] for group in groups.values() for start in range(0, len(group), 20)]
    of_number = {fault.number: fault for fault in faults}
    outcomes: dict[int, tuple[str, str]] = {}
    with ProcessPoolExecutor(jobs, get_context("fork"), signal.signal, (signal.SIGTERM, _end_with_all_below)) as pool:
        for found in pool.map(partial(try_faults, folder=folder, known=known, limit=limit), parts):
            for number, outcome, seconds, test in found:
                outcomes[number] = outcome, test
                print(f"{outcome:9s} {seconds:5.1f} s  {of_number[number]}  {test}", flush=True)
    broken = fail_as_it_is([by for _, by in outcomes.values()], folder, known, limit)
    for number, (outcome, by) in outcomes.items():
        if outcome == "noticed" and by in broken:
            outcomes[number] = f"NOT BY {by}, which fails without it", by
    bad = [fault for fault in faults if outcomes[fault.number][0] != "noticed"]
    print("\n| package | faults | noticed | survivors |\n|---|---:|---:|---:|")
    for package in [*dict.fromkeys(fault.package for fault in faults), "all"]:
        count = sum(package in (fault.package, "all") for fault in faults)
        survive = sum(package in (fault.package, "all") for fault in bad)
        print(f"| {package} | {count} | {count - survive} | {survive} |")
    if bad:
        print("\nNot noticed:")
        print("\n".join(f"{outcomes[fault.number][0]}: {fault}" for fault in bad))
    return bad


if __name__ == "__main__":
    sys.exit(main())
