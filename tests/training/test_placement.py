"""Where what a training keeps of its images lies, and how a batch of it is fetched."""

from threading import Event

import numpy as np
import pytest
import torch

from usod.errors import UsodError
from usod.training.placement import UPCOMING, Kept, ReadAhead, SentRows

META = torch.device("meta")


def test_the_rows_of_a_batch_are_sent_once_and_again_when_they_change():
    sent, rows = SentRows(), torch.arange(4)
    first = sent.on(rows, META)
    assert first.device == META and sent.on(rows, META) is first
    assert sent.on(rows, torch.device("cpu")).device.type == "cpu"
    again = sent.on(rows, META)
    rows += 1
    assert sent.on(rows, META) is not again
    assert sent.on(rows.clone(), torch.device("cpu")).tolist() == [1, 2, 3, 4]
    del rows
    assert sent.on(torch.arange(2), torch.device("cpu")).tolist() == [0, 1]


@pytest.fixture
def upcoming():
    yield UPCOMING
    UPCOMING.rows = None


def test_the_upcoming_batch_is_read_while_this_one_is_worked_on(upcoming):
    values, read, done = torch.arange(10) ** 2, [], Event()

    def slowly(rows):
        read.append(rows.tolist())
        if len(read) > 1:
            done.set()
        return values[rows]

    ahead = ReadAhead(slowly)
    first, second = torch.tensor([3, 1]), torch.tensor([2, 7])
    upcoming.rows = second
    assert ahead(first).tolist() == [9, 1]
    assert done.wait(10) and read == [[3, 1], [2, 7]]
    assert ahead(first).tolist() == [9, 1]  # asked for again: what was begun stays
    upcoming.rows = None
    assert ahead(second.clone()).tolist() == [4, 49]
    assert read == [[3, 1], [2, 7], [3, 1]]
    assert ahead(first).tolist() == [9, 1]


def test_an_error_of_reading_ahead_comes_with_its_batch(upcoming):
    def careful(rows):
        if 5 in rows:
            raise UsodError("damaged")
        return rows

    ahead, upcoming.rows = ReadAhead(careful), torch.tensor([5])
    assert ahead(torch.tensor([4])).tolist() == [4]
    with pytest.raises(UsodError, match="damaged"):
        ahead(torch.tensor([5]))


def test_values_in_a_file_are_those_in_memory(tmp_path, upcoming):
    values = np.random.default_rng(0).integers(0, 256, (9, 4, 5), dtype=np.uint8)
    file = np.memmap(tmp_path / "values", np.uint8, "w+", shape=values.shape)
    file[:] = values
    kept = Kept(file)
    assert kept._ahead is not None and Kept(values)._ahead is None
    batches = [torch.tensor(rows) for rows in ([3, 8], [0, 0], [7])]
    for rows, after in zip(batches, [*batches[1:], None], strict=True):
        upcoming.rows = after
        assert torch.equal(kept[rows], torch.from_numpy(values)[rows])
