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
    with PartialMaps(tmp_path / "maps.partial", {"method": "rbd"}) as maps:
        for key, saliency in zip(KEYS[:3], MAPS[:3], strict=True):
            maps[key] = saliency
    return tmp_path / "maps.partial"


def test_maps_are_there_the_next_time(path):
    with PartialMaps(path, {"method": "rbd"}) as maps:
        assert len(maps) == 3 and KEYS[3] not in maps
        maps[KEYS[3]] = MAPS[3]
        for key, saliency in zip(KEYS, MAPS, strict=True):
            np.testing.assert_array_equal(maps[key], saliency)
        maps.remove()
    assert not path.exists()


@pytest.mark.parametrize("lost", [1, 34, 35, 36, 79])
def test_a_record_cut_off_by_a_kill_is_written_again_and_costs_no_other(path, lost):
    record = 44 + 35
    path.write_bytes(path.read_bytes()[:-lost])
    with PartialMaps(path, {"method": "rbd"}) as maps:
        assert len(maps) == 2
        maps[KEYS[2]] = MAPS[2]
    with PartialMaps(path, {"method": "rbd"}) as maps:
        np.testing.assert_array_equal(maps[KEYS[2]], MAPS[2])
    assert path.stat().st_size == 32 + 3 * record


def test_a_damaged_record_is_not_believed(path):
    content = bytearray(path.read_bytes())
    content[32 + 79 + 60] ^= 1  # a pixel of the second
    path.write_bytes(content)
    with PartialMaps(path, {"method": "rbd"}) as maps:
        assert KEYS[0] in maps and KEYS[1] not in maps


def test_every_map_has_its_own_size(path):
    with PartialMaps(path, {"method": "rbd"}) as maps:
        maps[KEYS[3]] = MAPS[3][:2, :3]
    with PartialMaps(path, {"method": "rbd"}) as maps:
        np.testing.assert_array_equal(maps[KEYS[3]], MAPS[3][:2, :3])
        np.testing.assert_array_equal(maps[KEYS[0]], MAPS[0])


def test_a_size_that_is_none_is_not_read(path):
    """The last record is cut off within its head, or says that it has more pixels than the file."""
    content = path.read_bytes()
    for end in (content[: 32 + 2 * 79 + 40], content[: 32 + 2 * 79 + 32] + b"\xff" * 12 + content[-35:]):
        path.write_bytes(end)
        with PartialMaps(path, {"method": "rbd"}) as maps:
            assert len(maps) == 2


def test_maps_of_other_settings_are_not_taken(path):
    with PartialMaps(path, {"method": "mc"}) as maps:
        assert len(maps) == 0


def test_a_folder_that_cannot_be_made_is_one_line(path):
    with pytest.raises(UsodError, match="a part of the path is a file"):
        PartialMaps(path / "maps.partial", {})
