import os
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch.nn import functional

from usod.errors import UsageError
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.model_file import load_model, save_model
from usod.models.registry import HEADS
from usod.models.timm_encoder import TimmEncoder

SMALL = ("timm/test_vit", "timm/test_resnet", "timm/test_convnext")


def image(height: int = 70, width: int = 101) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "channels", "strides"),
    [
        ("timm/test_vit", (64,) * 5, (4, 8, 16, 16, 16)),
        ("timm/test_resnet", (32, 32, 48, 192, 96), (2, 4, 8, 16, 32)),
        ("timm/test_convnext", (24, 24, 32, 48, 64), (4, 4, 8, 16, 32)),
    ],
)
def test_five_stages_for_images_of_any_size(name, channels, strides):
    encoder = TimmEncoder(name).eval()
    assert (encoder.channels, encoder.strides) == (channels, strides)
    shapes = [tuple(stage.shape[1:]) for stage in encoder.stages(image())]
    assert shapes == [(c, -(-70 // s), -(-101 // s)) for c, s in zip(channels, strides, strict=True)]


def test_output_stride_dilates_what_can_be_dilated():
    assert TimmEncoder("timm/test_resnet", 8).strides == (2, 4, 8, 8, 8)
    for name in ("timm/test_vit", "timm/swin_tiny_patch4_window7_224"):
        with pytest.raises(
            UsageError, match=f"network.output_stride: {name} (cannot be|has 16, and cannot be) dilated"
        ):
            TimmEncoder(name, 8)


@torch.no_grad()
def test_a_vision_transformer_gives_the_tokens_of_its_last_block_after_the_norm():
    encoder = TimmEncoder("timm/test_vit").eval()
    whole = image(64, 96)
    tokens = encoder.model.forward_features(whole)[:, encoder.model.num_prefix_tokens :]
    expected = tokens.transpose(1, 2).reshape(2, 64, 4, 6)
    torch.testing.assert_close(encoder.encode(whole), expected)
    stages = encoder.stages(whole)
    assert all(torch.equal(stage, encoder.encode(whole)) for stage in stages[2:])
    # Bilinear: the mean over each token's cells is a mean of it and its neighbours, and a constant map stays one.
    assert stages[0].shape[-2:] == (16, 24)
    flat = encoder.pyramid(torch.full((1, 64, 4, 6), 3.0), torch.Size((64, 96)))
    assert all(bool((stage == 3).all()) for stage in flat)
    # At the border the image is continued, not blackened.
    padded = functional.pad(image(), (0, 11, 0, 10), mode="replicate")
    torch.testing.assert_close(encoder.stages(image())[1], encoder.stages(padded)[1][..., :9, :13])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("head", [head for head in HEADS if head not in ("auto", "tags")])
def test_every_head_learns_on_every_kind(name, head):
    network = build_network(NetworkConfig(name=name, head=head)).train()
    prior = torch.rand(2, 1, 70, 101)
    out = network(network.normalise(image()), prior) if head == "relation" else network(network.normalise(image()))
    if head == "activation":
        total = out.fused.sum() + sum(part.sum() for part in out.auxiliary)
    else:
        assert out.shape == (2, 1, 70, 101)
        total = out.square().sum()
    total.backward()
    # What is trained on several GPUs must be so in all of its parts.
    untouched = [key for key, value in network.backbone.named_parameters() if value.grad is None]
    assert not untouched, untouched


@pytest.mark.parametrize(
    ("config", "mean"),
    [
        ({"name": "timm/vit_small_patch16_224.dino"}, 0.485),
        ({"name": "timm/test_vit"}, 0.5),
        ({"name": "timm/test_vit", "normalisation": "imagenet"}, 0.485),
        ({"name": "light"}, 0.485),
    ],
)
def test_images_are_normalised_as_the_encoder_was(config, mean, tmp_path):
    network = build_network(NetworkConfig(**config))
    assert network.mean_std[0][0] == mean and network.mean[0].item() == pytest.approx(mean)
    save_model(tmp_path / "m.safetensors", network, network.config)
    loaded, header = load_model(tmp_path / "m.safetensors")
    assert header["mean"][0] == mean and torch.equal(loaded.mean, network.mean)
    small = image()
    network.eval()
    assert torch.equal(loaded(loaded.normalise(small)), network(network.normalise(small)))


def test_frozen_batch_norms_stay_as_they_are():
    encoder = TimmEncoder("timm/test_resnet")
    encoder.freeze_batchnorm()
    before = {key: value.clone() for key, value in encoder.state_dict().items() if "running" in key}
    encoder.train().stages(image())
    assert before and all(
        torch.equal(value, before[key]) for key, value in encoder.state_dict().items() if key in before
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "timm/resnte50"}, "has no model 'resnte50'; near it are resnet50"),
        ({"name": "timm/resnet50", "weights": "lvd142m"}, "has no weights of the name 'lvd142m'; there are a1_in1k"),
        ({"name": "timm/resnet50.nosuch"}, "has no weights of the name 'nosuch'"),
        ({"name": "timm/mixer_s16_224"}, "timm/mixer_s16_224 does not take images of any size"),
    ],
)
def test_what_timm_does_not_have_is_one_line(config, message):
    with pytest.raises(UsageError, match=message) as error:
        build_network(NetworkConfig(**config))
    assert "\n" not in str(error.value)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "file", "least"),
    [
        # With random weights, whose features are blurred colours, the gaps are 0.81 and 0.25.
        ("timm/vit_small_patch14_dinov2.lvd142m", "dinov2_vits14", 1.1),
        ("timm/tf_efficientnet_lite2", "efficientnet_lite2", 0.45),
    ],
)
@torch.no_grad()
def test_real_weights_tell_objects_from_their_ground(real_data, name, file, least):
    """Features within an object of SED2 are more alike than those across its border: 1.31 and 0.58 were measured."""
    weights = Path(os.environ["USOD_REAL_DATA"]) / "weights" / f"{file}.safetensors"
    network = build_network(NetworkConfig(name=name, weights=str(weights))).eval()
    assert network.weights["labels"] == "unknown"
    gaps = []
    for path in sorted((real_data / "SED2/images").glob("*.jpg"))[:12]:
        photo = torch.from_numpy(np.array(Image.open(path).convert("RGB").resize((224, 224)))).permute(2, 0, 1)
        mask = np.array(Image.open(real_data / "SED2/masks" / f"{path.stem}.png").convert("L").resize((224, 224)))
        stage = network.backbone.stages(network.normalise(photo[None] / 255))[-1]
        inside = functional.adaptive_avg_pool2d(torch.from_numpy(mask > 127)[None].float(), stage.shape[-2:]).flatten()
        cells = stage[0].flatten(1)
        cells = functional.normalize(cells - cells.mean(1, keepdim=True), dim=0)
        within, across = (cells[:, inside > 0.5].T @ cells[:, part] for part in (inside > 0.5, inside <= 0.5))
        if within.numel() and across.numel():
            gaps.append(float(within.mean() - across.mean()))
    assert len(gaps) > 8 and np.mean(gaps) > least


def test_every_model_of_timm_gives_intermediate_features():
    """What the adapter relies on; a family that lacks it would have to be named."""
    import inspect
    import sys

    modules = {timm.models.model_entrypoint(name).__module__ for name in timm.list_models()}
    classes = [c for m in modules for _, c in inspect.getmembers(sys.modules[m], inspect.isclass) if c.__module__ == m]
    whole = [c for c in classes if hasattr(c, "forward_features") and hasattr(c, "reset_classifier")]
    assert len(whole) > 60
    assert not [c.__name__ for c in whole if not hasattr(c, "forward_intermediates")]
