"""What A2S learns of a map, by hand: hard labels, their confidence, dropped pixels."""

import numpy as np
import pytest
import torch

from usod.models.activation import Decisions
from usod.systems.a2s import Activation, Rectification
from usod.systems.a2s_labels import as_certain
from usod.systems.a2s_settings import ActivationConfig, RectifyConfig


def test_hard_labels_are_cut_at_half_of_the_stretched_map_and_trusted():
    maps = torch.tensor([[[0.1, 0.2, 0.4]], [[0.6, 0.7, 1.0]]])  # cut at 0.25 and at 0.8
    torch.testing.assert_close(as_certain(maps, 0.7), torch.tensor([[[0.3, 0.3, 0.7]], [[0.3, 0.3, 0.7]]]))
    flat = torch.full((1, 2, 2), 0.4)
    torch.testing.assert_close(as_certain(flat, 0.7, otsu=True), torch.full((1, 2, 2), 0.3))


def test_hard_labels_are_salient_above_one_half():
    levels = np.array([[[115, 140]]], np.uint8)  # 0.45, 0.55
    taught = Rectification(levels, RectifyConfig(hard_labels=True), torch.device("cpu"), None)
    assert taught.label(torch.tensor([0])).tolist() == [[[0, 1]]]


def test_the_share_that_is_dropped_is_the_settings():
    fused, others = torch.randn(1, 60, 60, requires_grad=True), torch.randn(1, 4, 4)
    torch.manual_seed(0)
    Activation(ActivationConfig(drop=0.9)).loss(Decisions(fused, (others,) * 3), torch.tensor([0])).sum().backward()
    assert (fused.grad != 0).float().mean().item() == pytest.approx(0.1, abs=0.02)
