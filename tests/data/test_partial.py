import hashlib

import numpy as np
import pytest

from usod.data.partial import PartialMaps
from usod.errors import UsodError

SIZE = (5, 7)
KEYS = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(4)]
MAPS = np.random.default_rng(0).integers(0, 256, (4, *SIZE)).astype(np.uint8)


@pytest.fixture
def path(tmp_path):
    """Three finished maps."""
    with PartialMaps(tmp_path / "maps.partial", {"method": "rbd"}, SIZE) as maps:
        for key, saliency in zip(KEYS[:3], MAPS[:3], strict=True):
            maps[key] = saliency
    return tmp_path / "maps.partial"


def test_maps_are_there_the_next_time(path):
    with PartialMaps(path, {"method": "rbd"}, SIZE) as maps:
        assert len(maps) == 3 and KEYS[3] not in maps
        maps[KEYS[3]] = MAPS[3]
        for key, saliency in zip(KEYS, MAPS, strict=True):
            np.testing.assert_array_equal(maps[key], saliency)
        maps.remove()
    assert not path.exists()


@pytest.mark.parametrize("lost", [1, 34, 35, 36, 71])
def test_a_record_cut_off_by_a_kill_is_written_again_and_costs_no_other(path, lost):
    record = 36 + 35
    path.write_bytes(path.read_bytes()[:-lost])
    with PartialMaps(path, {"method": "rbd"}, SIZE) as maps:
        assert len(maps) == 2
        maps[KEYS[2]] = MAPS[2]
    with PartialMaps(path, {"method": "rbd"}, SIZE) as maps:
        np.testing.assert_array_equal(maps[KEYS[2]], MAPS[2])
    assert path.stat().st_size == 32 + 3 * record


def test_a_damaged_record_is_not_believed(path):
    content = bytearray(path.read_bytes())
    content[32 + 71 + 50] ^= 1  # a pixel of the second
    path.write_bytes(content)
    with PartialMaps(path, {"method": "rbd"}, SIZE) as maps:
        assert KEYS[0] in maps and KEYS[1] not in maps


@pytest.mark.parametrize(("identity", "size"), [({"method": "mc"}, SIZE), ({"method": "rbd"}, (7, 5))])
def test_maps_of_other_settings_are_not_taken(path, identity, size):
    with PartialMaps(path, identity, size) as maps:
        assert len(maps) == 0


def test_a_folder_that_cannot_be_made_is_one_line(path):
    with pytest.raises(UsodError, match="a part of the path is a file"):
        PartialMaps(path / "maps.partial", {}, SIZE)
