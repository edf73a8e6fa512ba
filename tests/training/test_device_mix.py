"""No step mixes tensors of the CPU and of a GPU: seen without a GPU, on tensors that have a device and no values."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import Parameter

from usod.crf import CRFParams, sorted_lattice, torch_backend
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.settings.sections import PretrainConfig, RelationConfig
from usod.systems import a2s, deepusps, distil, ldps, wss
from usod.systems.a2s_settings import ActivationConfig, RectifyConfig
from usod.systems.deepusps_settings import FuseConfig, RefineConfig
from usod.systems.distil_settings import AugmentConfig, StudentConfig
from usod.training import inputs, views
from usod.training.moving_average import MovingAverage
from usod.training.views import View

GPU = torch.device("cuda")
LABELS = np.zeros((6, 64, 64), np.uint8)
IMAGES = np.zeros((6, 64, 64, 3), np.uint8)


@pytest.fixture(params=["all fits the GPU", "nothing fits the GPU"])
def fake_gpu(request, monkeypatch):
    free = 2**40 if request.param.startswith("all") else 0
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (free, 2**40))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    # It looks at how often each image was seen.
    monkeypatch.setattr(MovingAverage, "touches", lambda average, rows: True)
    # It looks at the values of which images are mirrored.
    for module in (inputs, views):
        monkeypatch.setattr(
            module, "flip", lambda tensor, rows: torch.where(rows.to(GPU)[:, None, None, None], tensor.flip(-1), tensor)
        )
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def labels():
    return deepusps.PseudoLabels(LABELS, np.full(6, 0.5, np.float32), GPU)


def refinement():
    return deepusps.Refinement(labels(), MovingAverage(6, (64, 64), device=GPU), None, RefineConfig())


REFINED = RectifyConfig(loss="iou", keep=0.2, untouched_epochs=0, second_scale={}, refinement={})
SYSTEMS = {
    "refine": ("auto", refinement),
    "fuse": ("auto", lambda: deepusps.Fusion([labels(), labels()], FuseConfig())),
    "distil": ("auto", lambda: distil.Distillation(LABELS, StudentConfig(), GPU)),
    "a2s-stage1": ("activation", lambda: a2s.Activation(ActivationConfig(), IMAGES[:2])),
    "a2s-stage2": ("ram", lambda: a2s.Rectification(LABELS, RectifyConfig(), GPU)),
    "a2s-distilling": ("gated", lambda: a2s.Distilling(ActivationConfig(loss="csd"), IMAGES[:2])),
    "a2s-refined": ("ram", lambda: a2s.RefinedRectification(LABELS, REFINED, GPU)),
    "relate": ("relation", lambda: ldps.Relation(LABELS, RelationConfig(), GPU)),
    "tag": ("tags", lambda: wss.Tagging(np.zeros((6, 5), bool), PretrainConfig(), GPU)),
    "bootstrap": ("fin", lambda: wss.Bootstrapping(LABELS, 0.95, GPU)),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_step_of_training(fake_gpu, system):
    head, make = SYSTEMS[system]
    network = on_gpu(
        build_network(NetworkConfig(light_width=8, head={"name": head} | ({"classes": 5} if head == "tags" else {})))
    )
    rows = torch.tensor([0, 3, 4])
    shown = View.draw(3, torch.Generator(), flip=True, augment=AugmentConfig() if system == "distil" else None)
    given = inputs.Inputs(IMAGES, GPU, guides=LABELS if head == "relation" else None)
    arguments, named = given.of(network, rows, shown)
    aim = make()
    aim.begin(2)
    prediction = aim.read(aim.see(network, arguments, named), shown)
    loss = aim.loss(prediction, rows)
    assert loss.shape == (3,) and loss.device.type == "cuda"
    if isinstance(prediction, torch.Tensor | list):
        observed = aim.observe(prediction.detach() if isinstance(prediction, torch.Tensor) else prediction, rows)
        if observed is not None:
            aim.remember(observed, rows)
    if isinstance(aim, a2s.Activation):
        aim.look(network.eval())
        assert aim.looks[0].device.type == "cpu"


def test_filtering_on_kept_lattices(fake_gpu):
    kept = sorted_lattice.SortedLattice(
        torch.zeros(1200, dtype=torch.int32, device=GPU),
        torch.zeros(81, dtype=torch.int32, device=GPU),
        torch.zeros(200, 6, device=GPU),
        torch.zeros(6, 2, 80, dtype=torch.int32, device=GPU),
    )
    filtered = kept.symmetrically_normalised().filter(torch.zeros(200, device=GPU))
    assert filtered.shape == (200,) and filtered.device.type == "cuda"


def test_numbering_the_corners_of_lattices(fake_gpu):
    origin, rank, weights = sorted_lattice._enclosing_simplex(torch.zeros(5, 24, device=GPU))
    keys = sorted_lattice._corner_keys(origin, rank, 2, [0] * 5, 100, [1, 2, 3, 4, 5])
    neighbours = sorted_lattice._neighbours(keys.flatten(), 100, [1, 2, 3, 4, 5])
    assert {weights.device.type, keys.device.type, neighbours.device.type} == {"cuda"}


def test_images_are_sent_to_be_built_on(fake_gpu):
    for images in (IMAGES, torch.from_numpy(IMAGES)):
        cache = torch_backend.KernelCache(images, CRFParams(), GPU, None)
        assert cache._pixels([4, 1]).device.type == "cuda"


def on_gpu(network):
    """The network with its parameters and buffers on the GPU; what is neither would stay behind, and be noticed."""
    for module in network.modules():
        for name, value in module.named_parameters(recurse=False):
            module.register_parameter(name, Parameter(empty(value), value.requires_grad))
        for name, value in module.named_buffers(recurse=False):
            module.register_buffer(name, empty(value))
    return network


def empty(like):
    return torch.empty(like.shape, dtype=like.dtype, device=GPU)
