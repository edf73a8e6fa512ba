"""Sections of the configuration, each by itself, and the files that they are read from."""

import pytest

from usod.errors import UsageError
from usod.settings.sections import CrfConfig, read_yaml


def test_a_crf_covers_the_same_share_of_smaller_maps():
    half = CrfConfig().at(216)
    assert half == CrfConfig(gaussian_sxy=1.5, bilateral_sxy=40), "colours and weights stay"


def test_lines_that_stand_for_a_million_values_are_refused(tmp_path):
    """A hundred thousand may be meant: a list of images. What a few aliases stand for is a mistake or an attack."""
    lines = ["a0: &a0 1", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 6))]
    (tmp_path / "c.yaml").write_text("\n".join(lines))
    with pytest.raises(UsageError, match="c.yaml: not readable as YAML: more than 100000 values, its aliases written"):
        read_yaml(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text("\n".join(lines[:-1]))
    assert len(read_yaml(tmp_path / "c.yaml")["a4"]) == 10
