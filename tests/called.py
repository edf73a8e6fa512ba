"""What each test calls of the sources, and so which are to be run first for a fault: for mutants.py."""

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import pytest

from .exchange import name_of

STARTS = {("subprocess.py", "Popen.__init__"), ("forked.py", "command"), ("process.py", "BaseProcess.start")}
"""What a test calls that may run the sources in other processes, where its calls are not seen."""


MOST = 5_000_000
"""Events that are looked at of one test. One with more, such as an export of a graph, takes part in every trial."""


class Known(NamedTuple):
    """Of a test that has passed: its seconds, and what it called: files, functions, `starts`."""

    seconds: float
    calls: list[str]


def read_known(path: Path) -> dict[str, Known]:
    """What `Noting` has written, by the tests' ids."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {test: Known(*known) for test, *known in map(json.loads, lines)}


def in_order(tests: Sequence[pytest.Item], known: dict[str, Known], changed: set[str]) -> tuple[list, list]:
    """The tests that may notice a change, and the others.

    First those known to call the changed functions, or, where none is known to, their file: the quickest file and test
    first. Then those of which nothing is known, and those that start processes, which may call anything.
    """

    def calling(names: set[str]) -> list[pytest.Item]:
        return [test for test in tests if test.nodeid in known and not names.isdisjoint(known[test.nodeid].calls)]

    found = calling(changed) or calling({name.partition(":")[0] for name in changed})
    files: dict[str, float] = {}
    for test in found:
        file = test.nodeid.partition("::")[0]
        files[file] = min(known[test.nodeid].seconds, files.get(file, math.inf))

    def rank(test: pytest.Item) -> tuple[float, str, float]:
        file = test.nodeid.partition("::")[0]  # what a file's tests share is made once
        return files[file], file, known[test.nodeid].seconds

    found.sort(key=rank)
    found += [test for test in tests if test.nodeid not in known]
    found += [test for test in calling({"starts"}) if test not in found]
    return found, [test for test in tests if test not in found]


class Calls:
    """Which functions of a project's sources are called while `seen` is open."""

    def __init__(self, tree: Path) -> None:
        self.tree = f"{tree}/"
        self.codes: list[dict[int, CodeType]] = []
        self.left = MOST

    def _note(self, frame, event, arg) -> None:
        if event == "call":
            self.codes[-1][id(frame.f_code)] = frame.f_code
        self.left -= 1
        if self.left <= 0:
            _profile(None)

    @contextmanager
    def seen(self) -> Iterator[set[str]]:
        """The set is filled at the end: files, functions of files, and `starts` for the start of a process."""
        found: set[str] = set()
        self.codes.append({})
        _profile(self._note)
        try:
            yield found
        finally:
            _profile(None)
            inside = self.codes.pop()
            for code in inside.values():
                place = code.co_filename
                if place.startswith(self.tree + "src/"):
                    found |= {place.removeprefix(self.tree), name_of(place.removeprefix(self.tree), code)}
                elif (Path(place).name, code.co_qualname) in STARTS or self.left <= 0:
                    found.add("starts")
            if self.codes:
                self.codes[-1] |= inside
                _profile(self._note)


def _profile(note: Callable | None) -> None:
    """Have it told of the calls in this thread, and in those that are started from now on."""
    sys.setprofile(note)
    threading.setprofile(note)  # type: ignore[arg-type]


class Noting:
    """A plugin of pytest that writes a line about each test that passes and was not known, into a file."""

    def __init__(self, tree: Path, path: Path) -> None:
        self.calls, self.path, self.known = Calls(tree), path, read_known(path)
        self.of_fixture: dict[object, set[str]] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        with self.calls.seen() as found:
            yield
        self.of_fixture[fixturedef] = found

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        if item.nodeid in self.known:
            yield
            return
        start, self.calls.left = time.monotonic(), MOST
        with self.calls.seen() as found:
            yield
        # A module's fixture is made by the first test that asks for it; the others rest on what it calls, too.
        for definitions in item._fixtureinfo.name2fixturedefs.values():
            found.update(*(self.of_fixture.get(definition, ()) for definition in definitions))
        if item.nodeid not in self.failed:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([item.nodeid, time.monotonic() - start, sorted(found)]) + "\n")

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.add(report.nodeid)
