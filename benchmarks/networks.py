"""Refining priors (LDPS) and predicting maps (A2S, WSS, skip head) against one pass of the bare backbone.

    python benchmarks/networks.py [--size SIDE] [--batch N] [--device cuda]

LDPS reports 140 images/s at 256x256 with TensorRT and 90 without, on a GTX 1080; WSS 62.5 with VGG-16.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from timing import best_of

from usod.devices import autocast
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.saliency_net import SaliencyNet
from usod.systems.ldps import Refiner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device, size = torch.device(arguments.device), arguments.size
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (arguments.batch, size, size, 3), np.uint8)
    priors = rng.random((arguments.batch, size, size)).astype(np.float32)

    def of(head: str, backbone: str = "mobilenet_v2", stride: int = 32, **options: str) -> SaliencyNet:
        config = {"name": backbone, "output_stride": stride, "head": {"name": head} | options}
        network = build_network(NetworkConfig.model_validate(config)).to(device)
        return network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    plain = of("skip")

    @torch.inference_mode()
    def run(network: torch.nn.Module) -> None:
        with autocast(device, "auto"):
            network(plain.as_input(torch.from_numpy(images).to(device)))

    calls: dict[str, Callable[[], object]] = {
        "backbone alone (MobileNetV2)": partial(run, plain.backbone),
        "LDPS, merging included": partial(Refiner(of("relation")).refine, images, priors),
        "LDPS as released": partial(Refiner(of("relation", variant="released")).refine, images, priors),
        "A2S's detector (ram)": partial(run, of("ram")),
        "skip head": partial(run, plain),
        "VGG-16 alone": partial(run, of("fin", "vgg16", 16).backbone),
        "WSS's net on VGG-16": partial(run, of("fin", "vgg16", 16)),
    }
    times = best_of(list(calls.values()), arguments.repeats)
    for name, seconds in zip(calls, times, strict=True):
        rate = arguments.batch / seconds
        sys.stdout.write(f"{name}: {rate:.1f} images/s of {size}x{size}, {seconds / times[0]:.2f} x the backbone\n")


if __name__ == "__main__":
    main()
