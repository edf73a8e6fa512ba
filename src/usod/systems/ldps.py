"""LDPS: Learning Deep Relations to Promote Saliency Detection (Chen et al., AAAI 2020).

Anybody's saliency maps are the prior. What a prior is sure of gives one foreground vector per image; a discriminator
learns which pixels go with it, from the pixels that the prior is nearly sure of and without any label: it maximises the
mutual information between features of one object (section 3). Then it judges all pixels, and at each one the surer of
the two, prior or discriminator, is kept (section 4.3).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from usod.data.images import resize_map
from usod.data.mapstore import ImageStore, Maps
from usod.data.store import require_ids, to_uint8
from usod.devices import autocast
from usod.errors import UsodError
from usod.models.config import NetworkConfig
from usod.models.registry import RelationOptions
from usod.models.relation import RelationHead, is_certain, merge
from usod.models.saliency_net import SaliencyNet
from usod.progress import progress, say
from usod.settings.sections import MergeConfig, RelationConfig, SingleImageConfig
from usod.training.corrections import NO_CORRECTIONS, Corrections
from usod.training.fit import Trained, fit, new_network
from usod.training.inputs import Inputs
from usod.training.loop import Schedule
from usod.training.objective import Memoryless, as_logits
from usod.training.parallel import Process
from usod.training.placement import Kept


class Relation(Memoryless):
    """Objective of the training: pairs with the foreground vector, told apart by binary cross-entropy (Eqs. 5, 6).

    Pixels whose prior is `theta_afg` or more make positive pairs (AFG-mask, Eq. 8), those with `theta_abg` or less
    negative ones (ABG-mask, Eq. 9); the others do not count.

    Parameters
    ----------
    priors : (N, H, W) uint8
    device : where the predictions will be
    """

    read = staticmethod(as_logits)

    def __init__(self, priors: np.ndarray, config: RelationConfig, device: torch.device | str = "cpu"):
        self.config = config
        self.priors = Kept(priors, device)

    def loss(self, logits: Tensor, rows: Tensor) -> Tensor:
        prior = self.priors[rows].float() / 255
        positive, negative = (prior >= self.config.theta_afg).float(), (prior <= self.config.theta_abg).float()
        return relation_loss(logits, positive, negative, self.config.balanced)


def relation_loss(logits: Tensor, positive: Tensor, negative: Tensor, balanced: bool = False) -> Tensor:
    """Binary cross-entropy of the pairs of each image, (B,).

    Parameters
    ----------
    logits : (B, H, W), F(x, y)
    positive, negative : (B, H, W) 0 or 1, the AFG- and the ABG-mask
    balanced : E_J[-log sigma(F)] + E_P[-log(1 - sigma(F))], whose least value over F is log 4 - 2 D_JS (Eq. 5);
        else the mean over all pairs together
    """
    attract, repel = functional.softplus(-logits) * positive, functional.softplus(logits) * negative
    counts = positive.sum((1, 2)), negative.sum((1, 2))
    if balanced:
        return attract.sum((1, 2)) / counts[0].clamp(min=1) + repel.sum((1, 2)) / counts[1].clamp(min=1)
    return (attract + repel).sum((1, 2)) / (counts[0] + counts[1]).clamp(min=1)


def has_guides(prior: Tensor, network: NetworkConfig, theta_fg: float, theta_abg: float = 1.0) -> Tensor:
    """Which priors (B, H, W) in [0, 1] are certain anywhere, as `network` sees them, and have any background; (B,)."""
    certain = is_certain(prior[:, None], theta_fg, network.head_as(RelationOptions).variant == "released")
    return certain & (prior <= theta_abg).flatten(1).any(1)


def train(
    images: ImageStore,
    prior: Maps,
    config: RelationConfig,
    network: NetworkConfig,
    process: Process,
    work: Path | None = None,
    identity: Any = None,
    corrections: Corrections = NO_CORRECTIONS,
) -> Trained:
    """Train the relation network on one prior's maps of a set of images.

    An image whose prior is nowhere certain (`theta_fg`), or has no background at all, is left out.

    Parameters
    ----------
    images : the unlabelled images
    prior : a map for each of them, of any size
    network : its head becomes `relation`
    corrections : human masks, which are the prior of their images while it learns

    Returns
    -------
    in its `notes` how many images were `left_out`

    Raises
    ------
    UsodError
        If maps are missing, or no image is left.
    """
    priors = read_priors(prior, images, process)
    corrections.put(priors)
    network = relation_network(network)
    theta_fg = network.head_as(RelationOptions).theta_fg
    guided = torch.cat(
        [
            has_guides(torch.from_numpy(part).float() / 255, network, theta_fg, config.theta_abg)
            for part in np.array_split(priors, max(1, len(priors) // 64))
        ]
    ).numpy()
    say(f"{len(guided) - guided.sum()} of {len(guided)} priors are nowhere certain and left out")
    if not guided.any():
        raise UsodError(
            f"{prior.path}: no map reaches theta_fg = {theta_fg} and goes down to theta_abg = {config.theta_abg}; "
            "lower theta_fg (network.head) or stretch the maps to 0..1"
        )
    rows = np.flatnonzero(guided)
    pixels = process.read_all(images, [images.ids[row] for row in rows])
    if len(rows) < len(priors):
        priors, corrections = _taken(priors, rows, process, images.path.parent), corrections.taken(rows)
    net = new_network(network, config.seed)
    epochs = max(1, round(config.iterations * config.batch_size / len(pixels)))
    schedule = Schedule.of(config, config.lr, config.seed, epochs=epochs, lr_every="step", nesterov=False)
    objective, inputs = Relation(priors, config, process.device), Inputs(pixels, process.device, guides=priors)
    history = fit("LDPS", net, inputs, objective, config, schedule, process, work, identity, corrections)
    return Trained(net, history, notes={"left_out": int(len(guided) - guided.sum())})


def relation_network(network: NetworkConfig) -> NetworkConfig:
    """`network` with the head of LDPS."""
    return network.with_head(network.head_as(RelationOptions))


def read_priors(prior: Maps, images: ImageStore, process: Process) -> np.ndarray:
    """The prior's maps of all images, at the images' size: (N, H, W) uint8."""
    require_ids(prior, images.ids)

    def fill(out: np.ndarray) -> None:
        for row, key in enumerate(images.ids):
            out[row] = to_uint8(resize_map(prior[key], images.size))

    return process.array((len(images), *images.size), images.path.parent, fill)


def _taken(priors: np.ndarray, rows: np.ndarray, process: Process, folder: Path) -> np.ndarray:
    # mode: without it NumPy fills a second array first.
    shape = (len(rows), *priors.shape[1:])
    return process.array(shape, folder, lambda out: np.take(priors, rows, axis=0, out=out, mode="clip"))


class Refiner:
    """Refines priors with a trained relation network.

    Parameters
    ----------
    network : with the head `relation`, on the device to work on
    """

    def __init__(self, network: SaliencyNet, config: MergeConfig | None = None):
        self.network = network.eval()
        self.config = config or MergeConfig()
        self.device = next(network.parameters()).device
        assert isinstance(network.head, RelationHead)
        self.theta_fg = network.head.theta_fg = self.config.theta_fg or network.head.theta_fg

    @torch.inference_mode()
    def refine(self, images: np.ndarray, priors: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) uint8 and (B, H, W) float in [0, 1] -> (B, H, W) float32 in [0, 1].

        A prior that is nowhere certain comes back as it was: there is no foreground vector to ask about.
        """
        prior, related, certain = self._relate(images, priors)
        return torch.where(certain[:, None, None], self.merge(prior, related), prior).cpu().numpy()

    def _relate(self, images: np.ndarray, priors: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """The priors, what the discriminator says of every pixel, and which priors are certain anywhere."""
        prior = torch.tensor(priors, dtype=torch.float32, device=self.device)
        pixels = torch.tensor(images, device=self.device)
        with autocast(self.device, self.config.precision):
            logits = self.network(self.network.as_input(pixels), prior[:, None])
        return prior, logits[:, 0].float().sigmoid(), has_guides(prior, self.network.config, self.theta_fg)

    def merge(self, prior: Tensor, related: Tensor) -> Tensor:
        """Eqs. 10 and 11, and the released code's stretching where it is asked for: (B, H, W) of any size."""
        merged = merge(prior, related)
        if self.config.stretch:
            low, high = merged.amin((1, 2), keepdim=True), merged.amax((1, 2), keepdim=True)
            merged = torch.where(high > low, (merged - low) / (high - low).clamp(min=1e-6), merged)
        return merged

    @torch.inference_mode()
    def refine_all(self, images: ImageStore, prior: Maps, batch: int = 16) -> Iterator[tuple[str, np.ndarray]]:
        """Pairs (id, refined map at the prior's own size).

        The network sees the prior at the images' size. What it says is brought to the prior's size, not the other way
        round: resampling costs strong priors more than they gain (.0012 to .0065 in MAE in Table 1).
        """
        require_ids(prior, images.ids)
        for start in progress(range(0, len(images), batch), -(-len(images) // batch), "refining", unit="batch"):
            ids = images.ids[start : start + batch]
            priors = [prior[key] for key in ids]
            small = np.stack([resize_map(each, images.size) for each in priors])
            _, related, certain = self._relate(np.stack([images[key] for key in ids]), small)
            for key, own, said, sure in zip(ids, priors, related, certain, strict=True):
                yield key, self.merge_at(own, said) if sure else own

    def merge_at(self, prior: np.ndarray, related: Tensor) -> np.ndarray:
        """Prior (H, W) and what the discriminator says at the size of the images, merged at the prior's size."""
        said = torch.from_numpy(np.array(resize_map(related.cpu().numpy(), prior.shape)))
        return self.merge(torch.tensor(prior)[None], said[None])[0].numpy()


def refine_singly(
    images: ImageStore,
    prior: Maps,
    config: SingleImageConfig,
    merging: MergeConfig,
    network: NetworkConfig,
    device: torch.device,
    ids: Sequence[str] | None = None,
) -> Iterator[tuple[str, np.ndarray]]:
    """The single-image mode (5.4): for each image the network starts anew, learns that image alone, and refines it.

    Batch norms keep working with the statistics of the one image, except those of a backbone whose statistics are
    frozen. A prior that is nowhere certain, or has no background, comes back as it was.

    Returns
    -------
    pairs (id, (H, W) float32 in [0, 1]) at the prior's own size
    """
    require_ids(prior, images.ids)
    net = new_network(relation_network(network), config.seed).to(device)
    start = {name: value.clone() for name, value in net.state_dict().items()}
    refiner = Refiner(net, merging)
    wanted = images.ids if ids is None else ids
    for key in progress(wanted, len(wanted), "one by one"):
        own = prior[key]
        given = torch.tensor(resize_map(own, images.size), device=device)[None]
        if not has_guides(given, net.config, refiner.theta_fg, config.theta_abg).all():
            yield key, own
            continue
        net.load_state_dict(start)
        torch.manual_seed(config.seed)
        related = _fit_one(net, net.as_input(torch.tensor(images[key], device=device)[None]), given, config)
        yield key, refiner.merge_at(own, related[0])


def _fit_one(net: SaliencyNet, image: Tensor, prior: Tensor, config: RelationConfig) -> Tensor:
    """What the discriminator says, (1, H, W) in [0, 1], after `iterations` steps on one image."""
    positive, negative = (prior >= config.theta_afg).float(), (prior <= config.theta_abg).float()
    groups = [
        {"params": net.backbone.parameters(), "lr": config.lr},
        {"params": net.head.parameters(), "lr": config.lr * config.head_lr_factor},
    ]
    optimiser = torch.optim.SGD(groups, momentum=0.9, weight_decay=config.weight_decay)
    net.train()
    for _ in range(config.iterations):
        loss = relation_loss(net(image, prior[:, None])[:, 0].float(), positive, negative, config.balanced)
        optimiser.zero_grad(set_to_none=True)
        loss.sum().backward()
        optimiser.step()
    with torch.no_grad():
        return net(image, prior[:, None])[:, 0].float().sigmoid()
