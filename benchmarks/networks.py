"""Refining priors (LDPS) and predicting maps (A2S, WSS, skip head) against one pass of the bare backbone.

    python benchmarks/networks.py [--size SIDE] [--batch N] [--device cuda]

Where a paper tells its own speed, that stands beside ours. LDPS is timed as ONNX, too, where onnxruntime is installed.
"""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from timing import best_of, judge

from usod.devices import autocast
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.model_file import save_model
from usod.models.saliency_net import SaliencyNet
from usod.systems.ldps import Refiner

TOLD = {
    "LDPS, merging included": "LDPS tells 90 at 256x256, GTX 1080",
    "LDPS as ONNX": "LDPS tells 140 at 256x256, TensorRT, GTX 1080",
    "WSS's net on VGG-16": "WSS tells 62.5 at 256x256",
}
"""What the papers say of their own speed."""


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

    plain, relation = of("skip"), of("relation")

    @torch.inference_mode()
    def run(network: torch.nn.Module) -> None:
        with autocast(device, "auto"):
            network(plain.as_input(torch.from_numpy(images).to(device)))

    calls: dict[str, Callable[[], object]] = {
        "backbone alone (MobileNetV2)": partial(run, plain.backbone),
        "LDPS, merging included": partial(Refiner(relation).refine, images, priors),
        "LDPS as released": partial(Refiner(of("relation", variant="released")).refine, images, priors),
        "A2S's detector (ram)": partial(run, of("ram")),
        "skip head": partial(run, plain),
        "VGG-16 alone": partial(run, of("fin", "vgg16", 16).backbone),
        "WSS's net on VGG-16": partial(run, of("fin", "vgg16", 16)),
    }
    if importlib.util.find_spec("onnxruntime"):
        calls["LDPS as ONNX"] = as_onnx(relation, images, priors, arguments.threads)
    times = best_of(list(calls.values()), arguments.repeats)
    for name, seconds in zip(calls, times, strict=True):
        rate = arguments.batch / seconds
        told = f" ({TOLD[name]})" if name in TOLD else ""
        sys.stdout.write(
            f"{name}: {rate:.1f} images/s of {size}x{size}, {seconds / times[0]:.2f} x the backbone{told}\n"
        )
        judge(f"{name}, time over MobileNetV2's features", seconds / times[0], "x", beside=f"{rate:.1f} images/s")


def as_onnx(network: SaliencyNet, images: np.ndarray, priors: np.ndarray, threads: int) -> Callable[[], object]:
    """One call of onnxruntime with what `usod export` writes: the merged maps of the batch."""
    import onnxruntime

    from usod.inference.export import export_onnx

    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder, "model.safetensors"), network, network.config, input_size=images.shape[1:3])
        export_onnx(Path(folder, "model.safetensors"), Path(folder, "model.onnx"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        providers = onnxruntime.get_available_providers()
        session = onnxruntime.InferenceSession(str(Path(folder, "model.onnx")), options, providers=providers)
    device = next(network.parameters()).device
    image = network.as_input(torch.from_numpy(images).to(device)).cpu().numpy()
    return partial(session.run, None, {"image": np.ascontiguousarray(image), "prior": priors[:, None]})


if __name__ == "__main__":
    main()
