import pytest
import torch
from torch import nn

from usod.training.weight_average import WeightAverage


class Net(nn.Module):
    """A weight, and a counter as batch norms have one."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([9.0]))
        self.register_buffer("count", torch.tensor(0))

    def learnt_state(self):
        return self.state_dict()


def updated(average, *values):
    for value in values:
        average.network.weight.data.fill_(value)
        average.network.count += 1
        average.update()


def test_the_recursion_by_hand():
    """d_k = min(decay, k / (k + 9)) from k = 0: the start is forgotten at once, then d = .1, then the decay's .15."""
    average = WeightAverage(Net(), 0.15)
    updated(average, 1.0, 2.0, 3.0)
    average.apply()
    second = 0.1 * 1 + 0.9 * 2
    assert average.network.weight.item() == pytest.approx(0.15 * second + 0.85 * 3)
    assert average.network.count.item() == 3, "whole numbers are taken over"


def test_its_state_goes_on_exactly():
    through, first, second = (WeightAverage(Net(), 0.5) for _ in range(3))
    updated(through, 1.0, 2.0, 3.0)
    updated(first, 1.0, 2.0)
    second.load_state_dict(first.state_dict())
    updated(second, 3.0)
    assert torch.equal(second.values["weight"], through.values["weight"])
