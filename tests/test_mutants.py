"""The list of faults stays true: every one can still be put in place, of every package."""

from collections import Counter

from .mutants import read_faults, untrue

PACKAGES = {
    *("handcrafted", "crf", "models", "training", "systems", "data", "evaluation", "reporting", "inference"),
    *("settings", "running", "workflow"),
}


def test_every_fault_can_be_put_in_place():
    faults = read_faults()
    assert {str(fault): why for fault in faults if (why := untrue(fault))} == {}
    assert len({(fault.file, fault.was, fault.now) for fault in faults}) == len(faults), "each fault once"


def test_there_are_faults_of_every_package():
    counts = Counter(fault.package for fault in read_faults())
    assert set(counts) == PACKAGES and sum(counts.values()) >= 120
