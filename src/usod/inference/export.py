"""Trained networks as ONNX files, for any number of images; of any size where the encoder counts no patches."""

import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from usod.errors import UsodError
from usod.files import atomic_path
from usod.models.model_file import load_model
from usod.models.saliency_net import SaliencyNet
from usod.models.stages import NORMALISATIONS

OPSET = 18


class Predictor(nn.Module):
    """`image` (B, 3, H, W), normalised -> `saliency` (B, 1, H, W) in [0, 1].

    A network that refines maps (LDPS) takes `prior` (B, 1, H, W) in [0, 1], too; one that is nowhere certain comes back
    as it was.
    """

    def __init__(self, network: SaliencyNet):
        super().__init__()
        self.network = network
        self.inputs = network.inputs

    def forward(self, image: Tensor, prior: Tensor | None = None) -> Tensor:
        return self.network.saliency(image) if prior is None else self.network.saliency(image, prior)


class RembgPredictor(nn.Module):
    """`image` (B, 3, H, W) as `rembg` hands it to a custom U2-Net -> `saliency` (B, 1, H, W) in [0, 1].

    rembg shrinks every image to 320x320 and normalises it with ImageNet's mean and standard deviation, whatever the
    network wants. Here it is normalised and sized as the network was trained.
    """

    inputs = ("image",)

    def __init__(self, network: SaliencyNet, mean: list[float], std: list[float], size: tuple[int, int]):
        super().__init__()
        self.network = network
        self.size = size
        self.scale: Tensor
        self.shift: Tensor
        theirs = [torch.tensor(values) for values in NORMALISATIONS["imagenet"]]
        own = torch.tensor(mean), torch.tensor(std)
        self.register_buffer("scale", (theirs[1] / own[1])[None, :, None, None])
        self.register_buffer("shift", ((theirs[0] - own[0]) / own[1])[None, :, None, None])

    def forward(self, image: Tensor) -> Tensor:
        small = F.interpolate(image * self.scale + self.shift, self.size, mode="bilinear", align_corners=False)
        return F.interpolate(self.network(small).sigmoid(), image.shape[2:], mode="bilinear", align_corners=False)


def export_onnx(model: str | Path, out: str | Path, rembg: bool = False) -> float:
    """Write a model of this package as ONNX, with free batch, height and width, and compare it with PyTorch.

    Where the encoder counts patches (a vision transformer), or is frozen, height and width are those it was trained at.

    `image` is RGB / 255, minus the mean and divided by the standard deviation that the model was trained with; both
    are in the file's metadata. With `rembg` it is what the custom U2-Net of rembg gets (`RembgPredictor`).

    Returns
    -------
    the largest difference from PyTorch on random input of another size than the exporter saw

    Raises
    ------
    UsodError
        If a package of the extra `export` is missing, or the exported network gives other maps (more than 1e-4).
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise UsodError(f"usod export needs {error.name}; pip install 'usod[export]'") from error

    network, header = load_model(model)
    module = _module(model, network, header, rembg).eval()
    names = module.inputs
    axes, sizes = {0: torch.export.Dim("batch")}, [(96, 128), (160, 96)]
    if rembg or network.backbone.any_size:
        axes |= {2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    else:
        sizes = [_working_size(model, header)] * 2
    example = _random_inputs(len(names), 2, *sizes[0])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about its own parts
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            input_names=list(names),
            output_names=["saliency"],
            opset_version=OPSET,
            dynamic_shapes=[axes for _ in names],
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    for key in ("mean", "std", "input_size", "labels"):
        proto.metadata_props.append(onnx.StringStringEntryProto(key=key, value=str(header[key])))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    check = _random_inputs(len(names), 3, *sizes[1])
    (found,) = session.run(None, {name: value.numpy() for name, value in zip(names, check, strict=True)})
    with torch.no_grad():
        difference = float((torch.from_numpy(found) - module(*check)).abs().max())
    if not difference < 1e-4:
        raise UsodError(f"{model}: exported, it gives maps that differ by {difference:.2g} from PyTorch's; not written")
    with atomic_path(out) as temporary:
        temporary.write_bytes(proto.SerializeToString())
    return difference


def _module(model: str | Path, network: SaliencyNet, header: dict[str, Any], rembg: bool) -> Predictor | RembgPredictor:
    if not rembg:
        return Predictor(network)
    if network.inputs != ("image",):
        raise UsodError(f"{model}: refines maps, rembg has none to give it; export a network that predicts them")
    return RembgPredictor(network, header["mean"], header["std"], _working_size(model, header))


def _working_size(model: str | Path, header: dict[str, Any]) -> tuple[int, int]:
    if not header["input_size"]:
        raise UsodError(f"{model}: does not say its working size, which its export needs; train it again")
    height, width = header["input_size"]
    return height, width


def _random_inputs(count: int, batch: int, height: int, width: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(batch, 3, height, width, generator=generator)
    prior = torch.rand(batch, 1, height, width, generator=generator)
    prior[..., : height // 2, : width // 2] = 1  # certain somewhere
    return (image, prior)[:count]
