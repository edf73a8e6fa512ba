"""An exponential moving average of a network's weights over its steps (Polyak and Juditsky 1992; Tarvainen 2017)."""

import torch
from torch import Tensor

from usod.models.saliency_net import SaliencyNet


class WeightAverage:
    """W_k = d_k W_{k-1} + (1 - d_k) w_k with d_k = min(decay, k / (k + 9)): young averages forget their random start.

    Whole numbers (counters of batch norms) are taken over as they are.

    Parameters
    ----------
    network : whose learnt tensors (`SaliencyNet.learnt_state`) are averaged
    decay : weight of the past, in (0, 1)
    """

    def __init__(self, network: SaliencyNet, decay: float):
        self.network, self.decay, self.steps = network, decay, 0
        self.values = {name: tensor.detach().clone() for name, tensor in network.learnt_state().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        keep = min(self.decay, self.steps / (self.steps + 9))
        self.steps += 1
        for name, tensor in self.network.learnt_state().items():
            if tensor.is_floating_point():
                self.values[name].lerp_(tensor, 1 - keep)
            else:
                self.values[name].copy_(tensor)

    def apply(self) -> None:
        """Give the network the averages in the place of its last weights."""
        self.network.load_state_dict(self.values, strict=False)

    def state_dict(self) -> dict[str, int | dict[str, Tensor]]:
        return {"steps": self.steps, "values": self.values}

    def load_state_dict(self, state: dict[str, int | dict[str, Tensor]]) -> None:
        assert isinstance(state["values"], dict) and isinstance(state["steps"], int)
        self.steps = state["steps"]
        for name, value in state["values"].items():
            self.values[name].copy_(value)
