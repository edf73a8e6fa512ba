import os
import subprocess
import sys

import pytest

from usod.errors import UsodError
from usod.files import atomic_path, write_text


def test_a_file_is_whole_or_not_there(tmp_path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a" / "b.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list((tmp_path / "a").iterdir()) == []
    write_text(tmp_path / "a" / "b.txt", "whole")
    assert (tmp_path / "a" / "b.txt").read_text() == "whole"


def test_results_are_as_readable_as_other_files(tmp_path):
    (tmp_path / "other").touch()
    write_text(tmp_path / "a", "")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_file_in_the_way_of_a_folder_is_one_line(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(UsodError, match="a part of the path is a file"):
        write_text(tmp_path / "a" / "b", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line(tmp_path):
    with pytest.raises(UsodError, match="disk is full"), atomic_path(tmp_path / "a"):
        with open("/dev/full", "w") as full:
            full.write("x")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_that_a_library_tells_in_words_alone_is_one_line(tmp_path):
    words = "Unable to flush file (file write failed: errno = 28, error message = 'No space left on device', buf = 0x1)"
    with pytest.raises(UsodError, match="disk is full"), atomic_path(tmp_path / "a"):
        raise OSError(words)  # as h5py does
    assert list(tmp_path.iterdir()) == []


def test_a_terminated_writer_leaves_nothing(tmp_path):
    script = (
        "import os, signal, sys; from usod.files import atomic_path; from usod import cli\n"
        "signal.signal(signal.SIGTERM, lambda n, f: sys.exit(143))\n"
        f"with atomic_path({str(tmp_path / 'a')!r}): os.kill(os.getpid(), signal.SIGTERM)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 143
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_removed_by_the_next_and_nothing_else(tmp_path):
    writer = "import os, signal; from usod.files import atomic_path\nwith atomic_path({!r}): os.kill(os.getpid(), {})"
    subprocess.run([sys.executable, "-c", writer.format(str(tmp_path / "b"), 9)], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / ".mine.tmp").touch()
    with atomic_path(tmp_path / "c"):  # a writer that still runs
        subprocess.run([sys.executable, "-c", writer.format(str(tmp_path / "a"), 0)], check=True)
        assert len(list(tmp_path.iterdir())) == 3
    assert sorted(file.name for file in tmp_path.iterdir()) == [".mine.tmp", "a", "c"]
