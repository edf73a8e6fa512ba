"""What a system wants from its network: the part of a training that is its own."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from usod.models.saliency_net import SaliencyNet
from usod.training.views import View


class Objective(Protocol):
    """What a system wants from its network, and what it keeps of the predictions.

    `rows` (B,) are image numbers, on the CPU: they pick from what lies there and on the device (`placement.fetch`).
    """

    @property
    def group(self) -> int:
        """0 where `observe` and `remember` are called in every step.

        Else they are called at the end of an epoch, for so many images at a time (of each process), the same ones every
        time; what `read` gives must be one tensor then.
        """
        ...

    def begin(self, epoch: int) -> None:
        """Called before the steps of epoch 1, 2, ..., the first after a resume included."""
        ...

    def see(self, forward: Callable[..., Any], inputs: Sequence[Tensor], named: dict[str, Tensor]) -> Any:
        """What the network, called as `forward(*inputs, **named)`, gives for a batch, at one size or more."""
        ...

    def read(self, output: Any, view: View) -> Any:
        """What `see` gives, for a view of images -> what `loss` and `observe` take."""
        ...

    def loss(self, prediction: Any, rows: Tensor) -> Tensor:
        """(B,) losses for predictions of the images `rows`: probabilities (B, H, W), or what `read` gives."""
        ...

    def observe(self, prediction: Any, rows: Tensor) -> Tensor | None:
        """What there is to remember (B, ...) of the detached predictions of a forward pass, if anything.

        Where several processes train together, each calls it for its own part of the batch.
        """
        ...

    def remember(self, observed: Tensor, rows: Tensor) -> None:
        """Keep what `observe` gave; every process is told about the whole batch, so that all know the same."""
        ...

    def look(self, network: SaliencyNet) -> None:
        """Called with the network in evaluation mode before the first epoch and after every one."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def as_probability(logits: Any, view: View) -> Any:
    """Logits (B, 1, H, W), some of mirrored images -> probabilities (B, H, W) of the images as they are."""
    return view.unmirrored(logits.float().sigmoid())[:, 0]


def as_logits(logits: Any, view: View) -> Any:
    """Logits (B, 1, H, W), some of mirrored images -> logits (B, H, W) of the images as they are."""
    return view.unmirrored(logits.float())[:, 0]


def as_it_is(logits: Any, view: View) -> Any:
    """What the network gives, of which it does not matter whether an image was mirrored."""
    return logits


class OnePass:
    """What an objective has that sees every image once in an epoch, all epochs alike, and looks at nothing."""

    group = 0
    read = staticmethod(as_probability)

    def begin(self, epoch: int) -> None:
        """All epochs are alike."""

    def see(self, forward: Callable[..., Any], inputs: Sequence[Tensor], named: dict[str, Tensor]) -> Any:
        return forward(*inputs, **named)

    def look(self, network: SaliencyNet) -> None:
        """There is nothing to look at."""


class Memoryless(OnePass):
    """What an objective has that keeps nothing of the predictions; `loss` is its own."""

    def observe(self, prediction: Any, rows: Tensor) -> None:
        """There is nothing to remember."""

    def remember(self, observed: Tensor, rows: Tensor) -> None:
        """Never called."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing to restore."""


class AsShown(Memoryless):
    """An objective whose predictions stay as they were shown; its labels are brought into the same view."""

    view: View | None = None

    def read(self, output: Any, view: View) -> Any:
        """Logits (B, 1, h, w) -> probabilities (B, h, w) of what was shown."""
        self.view = view
        return output.float().sigmoid()[:, 0]

    def shown(self, labels: Tensor) -> Tensor:
        """Labels (B, H, W) of the images of the last prediction, in its view: (B, h, w)."""
        return labels if self.view is None else self.view.of_maps(labels[:, None])[:, 0]
