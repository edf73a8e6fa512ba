"""When passes are recorded, and when the recorded ones are used; what records them needs a GPU: test_cuda."""

import pytest
import torch
from torch import nn

from usod.training import graphed
from usod.training.graphed import Graphed


class Net(nn.Module):
    """Counts its passes."""

    def __init__(self):
        super().__init__()
        self.norm, self.count = nn.BatchNorm1d(3), 0

    def forward(self, x, features=None, prior=None):
        self.count += 1
        own = self.norm(x) if features is None else self.norm(x) + features
        return own if prior is None else own - prior


@pytest.fixture
def network():
    return Net()


@pytest.fixture
def recordings(monkeypatch):
    """Shapes that were recorded. A recorded pass gives the same, in memory that the next one overwrites."""
    shapes = []

    def recorded(network, samples):
        shapes.append(samples[0].shape)
        network(*samples)
        if samples[0].shape[0] == 13:
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        out = torch.empty_like(samples[0])
        return lambda *tensors: out.copy_(network(*tensors).detach())

    monkeypatch.setattr(graphed, "recorded", recorded)
    return shapes


def step(passes, *sizes, **named):
    given = [torch.rand(size, 3) for size in sizes]
    found = [passes(x, **named) for x in given]
    passes.consumed()
    return found


def test_a_shape_is_recorded_once_it_has_come_often(network, recordings):
    passes = Graphed(network)
    for _ in range(3):
        step(passes, 5)
    assert recordings == []
    first, second = step(passes, 5)[0], step(passes, 5)[0]
    assert recordings == [(5, 3)] and first.data_ptr() == second.data_ptr()
    assert not torch.equal(first, step(passes, 4)[0][:1].expand(5, 3)), "another shape is another pass"
    assert int(network.norm.num_batches_tracked) == 6, "recording left no trace"


def test_a_second_pass_of_a_shape_before_the_gradients_does_not_overwrite_the_first(network, recordings):
    passes = Graphed(network)
    for _ in range(4):
        first, second = step(passes, 5, 5)
    assert first.data_ptr() != second.data_ptr()
    assert step(passes, 5)[0].data_ptr() == first.data_ptr()


def test_no_more_than_two_shapes_are_recorded(network, recordings):
    passes = Graphed(network)
    for _ in range(9):
        step(passes, 5, 6, 7)
    assert recordings == [(5, 3), (6, 3)]


def test_what_cannot_be_recorded_runs_as_it_is(network, recordings, capsys):
    passes = Graphed(network)
    for _ in range(9):
        (found,) = step(passes, 13)
    assert recordings == [(13, 3)] and network.count == 9 + 1 and found.requires_grad
    assert int(network.norm.num_batches_tracked) == 9
    told = "the network's passes are not recorded as a CUDA graph: operation not permitted when stream is capturing\n"
    assert capsys.readouterr().err == told


def test_arguments_with_names_and_without_are_different_passes(network, recordings):
    passes, features = Graphed(network), torch.full((5, 3), 100.0)
    for _ in range(5):
        (with_features,) = step(passes, 5, features=features)
        (without,) = step(passes, 5)
    assert recordings == [(5, 3), (5, 3)]
    assert with_features.min() > 90 > without.max()
    passes = Graphed(network)
    for _ in range(5):
        added, taken = (step(passes, 5, **{name: features})[0] for name in ("features", "prior"))
    assert added.min() > 90 and taken.max() < -90
