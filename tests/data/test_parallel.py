import os
import signal
import subprocess
import sys
import time

import pytest

from usod.data.parallel import parallel_map, read_all
from usod.errors import UsodError


def slow_at_first(number):
    time.sleep(0.2 if number == 0 else 0)
    return number**2


def fail_at_three(number):
    if number == 3:
        raise ValueError("number 3 is bad")
    return number


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


class Numbers(list):
    """Counts the numbers that were handed to workers."""

    taken = 0

    def __iter__(self):
        for number in super().__iter__():
            self.taken += 1
            yield number


def threads_of_worker(number):
    """How many threads a worker has when it has computed with what BLAS and OpenMP would give it."""
    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((300, 300)) @ np.ones((300, 300))
    return os.getpid(), max(pool["num_threads"] for pool in threadpool_info())


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_results_come_in_the_order_of_the_items(workers):
    for items in ([], [5], range(9)):
        assert list(parallel_map(slow_at_first, items, workers)) == [number**2 for number in items]


@pytest.mark.parametrize("workers", [2, 8])
def test_a_worker_has_one_thread(workers, monkeypatch):
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(variable, "8")
    found = list(parallel_map(threads_of_worker, range(12), workers))
    assert {threads for _, threads in found} == {1} and 1 <= len({pid for pid, _ in found}) <= workers


def test_workers_find_their_imports_made_and_this_process_keeps_its_environment():
    script = (
        "import os\nfrom usod.data.parallel import parallel_map\nbefore = dict(os.environ)\n"
        "found = list(parallel_map(eval, [\"'wave' in __import__('sys').modules\"] * 2, 2, ['wave']))\n"
        "print(found, dict(os.environ) == before)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[True, True] True\n"


def test_one_worker_is_this_process():
    assert list(parallel_map(lambda number: -number, range(3), workers=1)) == [0, -1, -2]


def test_only_a_few_results_wait():
    numbers = Numbers(range(100))
    results = parallel_map(slow_at_first, numbers, workers=2)
    for done in range(1, 6):
        next(results)
        assert done < numbers.taken <= 8 + done
    results.close()  # nobody wants the rest: no worker goes on


def test_an_error_of_the_work_is_passed_on_after_the_results_before_it():
    results = parallel_map(fail_at_three, range(9), workers=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="number 3 is bad"):
        next(results)


def test_a_killed_worker_is_one_line():
    with pytest.raises(UsodError, match="worker process was killed .* fewer workers") as caught:
        list(parallel_map(die, range(4), workers=2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_reading_keeps_the_order_and_stops_at_the_first_error(capsys, workers):
    found = read_all(slow_at_first, range(20), "squaring", shown=False, workers=workers)
    assert found == [number**2 for number in range(20)]
    assert capsys.readouterr().err == ""
    read_all(slow_at_first, range(20), "squaring", shown=True)
    assert capsys.readouterr().err.startswith("squaring: 20 images in ")
    with pytest.raises(ValueError, match="number 3 is bad"):
        read_all(fail_at_three, range(20), "failing", shown=False)
