"""The forward and backward pass of a network as CUDA graphs: hundreds of kernels, launched in one go.

On a GPU a small network is bound by the time to launch its kernels, not by what they compute. A graph is recorded once
for each shape of its input, and holds on to the memory of that pass.
"""

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor, nn

from usod.progress import say

RECORDED_AFTER = 4
"""Passes of a shape before it is recorded: for those that come now and then it does not pay."""
GRAPHS = 2
"""Graphs of one network: a training sees its images at one size, or at two."""


class Graphed:
    """A network in training, called as the network is; what it gives is overwritten by the next pass of that shape.

    A pass that cannot be recorded, because it waits for the device or takes too much memory, is run as it is.
    `consumed` is to be called once the gradients of a step are there: until then a recorded pass is not repeated.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._passes: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, Callable[..., Any]] = {}
        self._in_use: set[Hashable] = set()

    def __call__(self, *inputs: Tensor, **named: Tensor) -> Any:
        tensors = (*inputs, *named.values())
        form = (tuple((t.shape, t.dtype) for t in tensors), *named, torch.is_autocast_enabled("cuda"))
        self._passes[form] += 1
        if self._passes[form] == RECORDED_AFTER and len(self._recorded) < GRAPHS:
            self._record(form, tensors, tuple(named))
        if form not in self._recorded or form in self._in_use:
            return self._network(*inputs, **named)
        self._in_use.add(form)
        return self._recorded[form](*tensors)

    def consumed(self) -> None:
        """The gradients of all passes since the last call are there."""
        self._in_use.clear()

    def _record(self, form: Hashable, tensors: tuple[Tensor, ...], names: tuple[str, ...]) -> None:
        samples = tuple(torch.empty_like(tensor).copy_(tensor) for tensor in tensors)
        # Recording takes some passes, which must leave no trace in the statistics of batch norm.
        before = {name: buffer.clone() for name, buffer in self._network.named_buffers()}
        try:
            self._recorded[form] = recorded(_AsArguments(self._network, names), samples)
        except RuntimeError as error:  # out of memory is one, too
            say(f"the network's passes are not recorded as a CUDA graph: {str(error).splitlines()[0]}")
        finally:
            for name, buffer in self._network.named_buffers():
                buffer.copy_(before[name])


def recorded(network: nn.Module, samples: tuple[Tensor, ...]) -> Callable[..., Any]:
    """The network with its passes recorded, for inputs of the shapes and types of `samples`, on a GPU.

    It works on with the network's parameters where they lie now. No random numbers are used up.

    Raises
    ------
    RuntimeError
        If the passes cannot be recorded.
    """
    device = samples[0].device
    generator = torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
    usable = generator.clone_state()
    # The recorded passes have a stream of their own, which PyTorch would warn of.
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    enabled, dtype = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    try:
        # Without its cache: a cast of the weights of one step is of no use in the next.
        with torch.random.fork_rng([device]), torch.autocast("cuda", dtype, enabled, cache_enabled=False):
            return torch.cuda.make_graphed_callables(network, samples, allow_unused_input=True)
    except RuntimeError:
        generator.graphsafe_set_state(usable)  # it still takes itself for being recorded
        torch.cuda.synchronize(device)
        raise


class _AsArguments(nn.Module):
    """A network whose last arguments have names, called with all of them by place."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *tensors: Tensor) -> Any:
        first = len(tensors) - len(self.names)
        return self.network(*tensors[:first], **dict(zip(self.names, tensors[first:], strict=True)))
