import numpy as np
import pytest
import torch

from usod.training.moving_average import MovingAverage


def test_recursion_by_hand():
    """MVA_2 = 0.7 (0.3 * 0.2) + 0.3 * 0.8; images that were not seen stay as they are."""
    average = MovingAverage(2, (1, 1), alpha=0.7, bias_correction=False)
    for value in (0.2, 0.8):
        average.update(torch.tensor([1]), torch.full((1, 1, 1), value))
    assert average.read(slice(None)).flatten().tolist() == pytest.approx([0, 0.7 * 0.3 * 0.2 + 0.3 * 0.8], abs=3e-4)


@pytest.mark.parametrize("epochs", [1, 3, 25])
def test_bias_correction_keeps_a_constant(epochs):
    corrected, plain = (MovingAverage(1, (2, 2), 0.7, on) for on in (True, False))
    for _ in range(epochs):
        for average in (corrected, plain):
            average.update(torch.tensor([0]), torch.full((1, 2, 2), 0.6))
    torch.testing.assert_close(corrected.read(slice(None)), torch.full((1, 2, 2), 0.6), atol=2e-3, rtol=0)
    torch.testing.assert_close(
        plain.read(slice(None)), torch.full((1, 2, 2), 0.6 * (1 - 0.7**epochs)), atol=2e-3, rtol=0
    )


def test_labels_stay_as_they_are_for_their_first_epochs():
    """G^1 is 51 / 255; the first of two updates only counts, of each image for itself."""
    average = MovingAverage(2, (1, 1), 0.4, False, start=np.full((2, 1, 1), 51, np.uint8), untouched=1)
    both, first = torch.tensor([0, 1]), torch.tensor([0])
    assert not average.touches(both) and average.read(both).flatten().tolist() == pytest.approx([0.2] * 2, abs=1e-4)
    average.update(first, torch.ones(1, 1, 1))
    assert average.touches(first) and not average.touches(both), "the second image has had none"
    average.update(both, torch.ones(2, 1, 1))
    assert average.read(both).flatten().tolist() == pytest.approx([0.4 * 0.2 + 0.6, 0.2], abs=5e-4)


def test_state_goes_on_exactly():
    values = torch.rand(6, 3, 4, 4)
    through, first, second = (MovingAverage(3, (4, 4)) for _ in range(3))
    rows = torch.tensor([2, 0, 1])
    for value in values:
        through.update(rows, value)
    for value in values[:3]:
        first.update(rows, value)
    second.load_state_dict(first.state_dict())
    for value in values[3:]:
        second.update(rows, value)
    assert torch.equal(through.read(rows), second.read(rows))
