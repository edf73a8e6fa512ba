"""What control groups leave, on trees of files such as the kernel shows."""

import errno
import math

import numpy as np
import pytest
import torch

from usod import memory
from usod.errors import UsodError
from usod.memory import available_memory, left_by_control_groups

GIB = 2**30


def system(tmp_path, line, **groups):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"9:cpu,cpuacct:/elsewhere\n{line}\n")
    for path, files in groups.items():
        folder = tmp_path / "sys/fs/cgroup" / path.replace("__", "/")
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in files.items():
            (folder / name).write_text(f"{value}\n")
    return tmp_path


def unified(limit, used, idle=0):
    return {"memory.max": limit, "memory.current": used, "memory.stat": f"anon 7\ninactive_file {idle}"}


def legacy(limit, used, idle=0):
    files = {"memory.limit_in_bytes": limit, "memory.usage_in_bytes": used}
    return files | {"memory.stat": f"inactive_file 3\ntotal_inactive_file {idle}"}


def test_the_limit_of_a_cluster_job_lies_above_the_group_of_its_process(tmp_path):
    root = system(
        tmp_path,
        "0::/slurm/job7/step0/task",
        slurm__job7__step0__task=unified("max", 5 * GIB),
        slurm__job7__step0=unified("max", 5 * GIB),
        slurm__job7=unified(32 * GIB, 6 * GIB, idle=2 * GIB),
        slurm=unified(500 * GIB, 300 * GIB),
    )
    assert left_by_control_groups(root) == 28 * GIB


def test_the_tightest_group_counts(tmp_path):
    groups = {"slurm": unified(40 * GIB, 39 * GIB), "slurm__job7": unified(32 * GIB, 6 * GIB)}
    assert left_by_control_groups(system(tmp_path, "0::/slurm/job7", **groups)) == GIB


def test_kernels_with_one_tree_per_controller(tmp_path):
    groups = {"memory__slurm__job7": legacy(8 * GIB, 3 * GIB, idle=GIB), "memory": legacy(2**63 - 4096, 90 * GIB)}
    assert left_by_control_groups(system(tmp_path, "4:memory:/slurm/job7", **groups)) == 6 * GIB


def test_a_container_that_sees_the_hosts_path_has_its_group_on_top(tmp_path):
    root = system(tmp_path, "4:memory:/docker/0a1b", memory=legacy(4 * GIB, GIB))
    assert left_by_control_groups(root) == 3 * GIB


@pytest.mark.parametrize("line", ["0::/", "0::/gone", "4:memory:/", "1:cpu:/"])
def test_no_limit_is_infinite(tmp_path, line):
    assert left_by_control_groups(system(tmp_path, line)) == math.inf


def test_a_system_without_control_groups(tmp_path):
    assert left_by_control_groups(tmp_path) == math.inf


def test_this_machine_has_some_memory():
    assert 2**20 < available_memory(torch.device("cpu")) < 2**50


def test_processes_of_one_training_share_what_is_free(monkeypatch):
    monkeypatch.setattr(memory, "left_by_control_groups", lambda: 1000)
    try:
        memory.share_memory(4)
        assert memory.host_memory() == 250 and memory.fits(125) and not memory.fits(126)
    finally:
        memory.share_memory(1)


def test_room_is_counted_in_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "host_memory", lambda: 2 * 600)
    kinds = [type(memory.room((150,), np.dtype(kind), tmp_path)) for kind in ("f4", "f8")]
    assert kinds == [np.ndarray, np.memmap]


def test_what_does_not_fit_lies_in_a_file_without_a_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, "host_memory", lambda: 2 * 600)
    within, beyond = (memory.room((count, 10, 20), np.dtype(np.uint8), tmp_path) for count in (3, 4))
    assert not isinstance(within, np.memmap) and isinstance(beyond, np.memmap)
    assert capsys.readouterr().err == f"8e-07 GB do not fit in memory, and are kept in a file in {tmp_path}\n"
    beyond[:] = 7
    assert torch.from_numpy(beyond)[torch.tensor([3, 0])].sum() == 2 * 7 * 200
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_too_is_one_line(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(memory, "host_memory", lambda: 0)
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(UsodError, match=r"fit neither in memory nor here \(No space left on device\)"):
        memory.room((10,), np.dtype(np.uint8), tmp_path)
    assert not list(tmp_path.iterdir())
