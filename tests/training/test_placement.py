"""Where what a training keeps of its images lies, and how a batch of it is fetched."""

import torch

from usod.training.placement import SentRows

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
