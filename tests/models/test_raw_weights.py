"""Files as their authors publish them, made of timm's own tensors with the raw names and shapes."""

import re

import pytest
import safetensors.torch
import timm
import torch

from usod.errors import UsodError
from usod.models.backbones import ResNet
from usod.models.config import NetworkConfig
from usod.models.sources import PUBLISHED, labels_of_tag, missing_file
from usod.models.timm_encoder import TimmEncoder
from usod.models.weights import describe_weights, load_weights

Tensors = dict[str, torch.Tensor]


def raw_dino(model: torch.nn.Module) -> Tensors:
    """ViT-S/16 and /8: timm has kept the names."""
    return model.state_dict()


def raw_dinov2(model: torch.nn.Module) -> Tensors:
    return model.state_dict() | {"mask_token": torch.randn(1, 384)}


def raw_dinov2_with_registers(model: torch.nn.Module) -> Tensors:
    """The class token has a position of its own, which timm adds to it."""
    raw = raw_dinov2(model)
    own = torch.randn(1, 1, 384)
    raw["pos_embed"] = torch.cat([own, raw["pos_embed"]], dim=1)
    raw["cls_token"] = raw["cls_token"] - own
    raw["register_tokens"] = raw.pop("reg_token")
    del raw["mask_token"]  # which copies may lack
    return raw


def raw_dinov3(model: torch.nn.Module) -> Tensors:
    raw = {"mask_token": torch.randn(1, 384), "rope_embed.periods": torch.ones(16)}
    state = model.state_dict()
    for name, tensor in state.items():
        block = name.rpartition("attn.")[0]
        if name.endswith("attn.q_bias"):
            keys = torch.full_like(tensor, float("nan"))
            raw[f"{block}attn.qkv.bias"] = torch.cat([tensor, keys, state[f"{block}attn.v_bias"]])
            raw[f"{block}attn.qkv.bias_mask"] = torch.ones(1152)
        elif not name.endswith(("attn.k_bias", "attn.v_bias")):
            renamed = name.replace("reg_token", "storage_tokens")
            raw[re.sub(r"gamma_(\d)", r"ls\1.gamma", renamed)] = tensor
    return raw


def raw_dinov3_convnext(model: torch.nn.Module) -> Tensors:
    raw = {}
    for name, tensor in model.state_dict().items():
        name = re.sub(r"^stem\.", "downsample_layers.0.", name)
        name = re.sub(r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name)
        name = name.replace(".blocks.", ".").replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        raw[name.replace("head.norm", "norm")] = tensor
    return raw | {f"norms.3.{key}": raw[f"norm.{key}"] for key in ("weight", "bias")}


def raw_resnet(model: torch.nn.Module) -> Tensors:
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("fc.")}


def raw_moco(model: torch.nn.Module) -> Tensors:
    state = raw_resnet(model)
    raw = {f"module.encoder_q.{name}": tensor for name, tensor in state.items()}
    return raw | {f"module.encoder_k.{name}": tensor * 0 for name, tensor in state.items()}


def raw_efficientnet_lite(model: torch.nn.Module) -> Tensors:
    """The tensors of both stand in the same order; a block's layers are those of the package, in the order of use."""
    plain = [("conv_dw", "_depthwise_conv"), ("bn1", "_bn1"), ("conv_pw", "_project_conv"), ("bn2", "_bn2")]
    expanded = [("conv_pw", "_expand_conv"), ("bn1", "_bn0"), ("conv_dw", "_depthwise_conv"), ("bn2", "_bn1")]
    expanded += [("conv_pwl", "_project_conv"), ("bn3", "_bn2")]
    parts = [("_conv_stem", model.conv_stem), ("_bn0", model.bn1)]
    blocks = [block for stage in model.blocks for block in stage]
    for number, block in enumerate(blocks):
        table = expanded if hasattr(block, "conv_pwl") else plain
        parts += [(f"_blocks.{number}.{theirs}", getattr(block, ours)) for ours, theirs in table]
    parts += [("_conv_head", model.conv_head), ("_bn1", model.bn2)]
    raw = {f"{name}.{key}": tensor for name, part in parts for key, tensor in part.state_dict().items()}
    return raw | {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}


LAYOUTS = [
    (
        "vit_small_patch16_224.dino",
        raw_dino,
        "pth",
        {"pos_embed": (1, 197, 384), "blocks.11.attn.qkv.weight": (1152, 384)},
    ),
    (
        "vit_small_patch8_224.dino",
        raw_dino,
        "pth",
        {"pos_embed": (1, 785, 384), "patch_embed.proj.weight": (384, 3, 8, 8)},
    ),
    (
        "vit_small_patch14_dinov2.lvd142m",
        raw_dinov2,
        "pth",
        {"pos_embed": (1, 1370, 384), "blocks.0.ls1.gamma": (384,)},
    ),
    (
        "vit_small_patch14_reg4_dinov2.lvd142m",
        raw_dinov2_with_registers,
        "safetensors",
        {"pos_embed": (1, 1370, 384), "register_tokens": (1, 4, 384)},
    ),
    (
        "vit_small_patch16_dinov3_qkvb.lvd1689m",
        raw_dinov3,
        "pth",
        {"storage_tokens": (1, 4, 384), "blocks.0.attn.qkv.bias": (1152,), "blocks.0.ls2.gamma": (384,)},
    ),
    (
        "convnext_tiny.dinov3_lvd1689m",
        raw_dinov3_convnext,
        "pth",
        {
            "downsample_layers.0.0.weight": (96, 3, 4, 4),
            "stages.2.8.pwconv1.weight": (1536, 384),
            "norm.weight": (768,),
        },
    ),
    ("resnet50", raw_resnet, "pth", {"layer4.2.conv3.weight": (2048, 512, 1, 1)}),
    ("resnet50", raw_moco, "pth", {"module.encoder_q.conv1.weight": (64, 3, 7, 7)}),
    (
        "tf_efficientnet_lite0",
        raw_efficientnet_lite,
        "safetensors",
        {"_blocks.15._expand_conv.weight": (1152, 192, 1, 1)},
    ),
]


@pytest.mark.parametrize(
    ("name", "raw", "ending", "shapes"), LAYOUTS, ids=lambda value: getattr(value, "__name__", None)
)
@torch.no_grad()
def test_the_outputs_are_those_of_the_network_that_was_saved(tmp_path, name, raw, ending, shapes):
    torch.manual_seed(1)
    source = timm.create_model(name, num_classes=0, pretrained=False).eval()
    for value in source.state_dict().values():
        if value.is_floating_point():
            value.add_(0.02 * torch.rand(value.shape))  # no bias or gate stays at its start
    tensors = {key: value.clone() for key, value in raw(source).items()}
    assert {key: tuple(tensors[key].shape) for key in shapes} == shapes
    path = tmp_path / f"weights.{ending}"
    if ending == "pth":
        torch.save(tensors, path)
    else:
        safetensors.torch.save_file(tensors, path)
    encoder = TimmEncoder(f"timm/{name}").eval()
    report = load_weights(encoder, NetworkConfig(name=f"timm/{name}", weights=str(path)))
    assert report.missing == report.mismatched == ()
    side = source.pretrained_cfg["input_size"][-1] if encoder.tokens and hasattr(source, "pos_embed") else 64
    image = torch.rand(1, 3, side, side)
    last = 1 if encoder.tokens else 5
    options = {"norm": encoder.tokens, "intermediates_only": True, "output_fmt": "NCHW"}
    expected = source.forward_intermediates(image, indices=min(last, len(source.feature_info)), **options)
    found = encoder.encode_all(image)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    labels = describe_weights(NetworkConfig(name=f"timm/{name}", weights=str(path)))["labels"]
    assert labels == ("none" if raw is raw_moco else "unknown")


def test_dino_fills_torchvisions_resnet(tmp_path):
    source, target = timm.create_model("resnet50", pretrained=False), ResNet("resnet50", 32)
    torch.save(raw_resnet(source), tmp_path / "dino_resnet50_pretrain.pth")
    config = NetworkConfig(name="resnet50", weights=str(tmp_path / "dino_resnet50_pretrain.pth"))
    assert not load_weights(target, config).missing
    assert torch.equal(target.layer4[2].conv3.weight, source.layer4[2].conv3.weight)
    # The authors have published no digest: the name alone says where it is from.
    assert describe_weights(config)["labels"] == "none"


def test_a_published_name_on_another_file_is_unknown_where_the_digest_is_known(tmp_path):
    for name, labels in (
        ("efficientnet-lite2-9656183e.pth", "unknown"),
        ("test_resnet.r160_in1k.safetensors", "ImageNet"),
        ("test_resnet.dino.safetensors", "none"),
        ("test_resnet.safetensors", "unknown"),
        ("other_resnet.dino.safetensors", "unknown"),
    ):
        path = tmp_path / name
        tensors = {"conv1.weight": torch.zeros(1)}
        safetensors.torch.save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
        assert describe_weights(NetworkConfig(name="timm/test_resnet", weights=str(path)))["labels"] == labels, name


def test_other_patches_are_refused(tmp_path):
    torch.save(raw_dino(timm.create_model("test_vit", num_classes=0)), tmp_path / "v.pth")
    torch.save({"patch_embed.proj.weight": torch.zeros(384, 3, 14, 14)}, tmp_path / "v14.pth")
    config = NetworkConfig(name="timm/test_vit", weights=str(tmp_path / "v14.pth"))
    with pytest.raises(UsodError, match=r"v14.pth does not fit timm/test_vit: its patches are of 14 px, not 16; give"):
        load_weights(TimmEncoder("timm/test_vit"), config)


@pytest.mark.parametrize(
    ("tag", "labels"),
    [
        *((tag, "none") for tag in ("dino", "lvd142m", "lvd1689m", "dinov3_lvd1689m", "mae", "in22k_ijepa")),
        *((tag, "ImageNet") for tag in ("in1k", "augreg_in21k_ft_in1k", "mae_in1k_ft_in1k", "fcmae_ft_in1k")),
        ("laion2b_ft_in12k_in1k", "ImageNet+captions"),
        ("fb_swsl_ig1b_ft_in1k", "ImageNet+hashtags"),
        ("sa1b", "masks"),
        ("eupe_lvd1689m", "unknown"),
        ("qwen3_vl_4b", "unknown"),
        ("", "unknown"),
    ],
)
def test_which_labels_weights_of_timm_have_seen(tag, labels):
    assert labels_of_tag(tag) == labels


def test_the_table_agrees_with_timm_and_with_itself(tmp_path):
    assert (
        len({known.name for known in PUBLISHED}) == len({known.file.lower() for known in PUBLISHED}) == len(PUBLISHED)
    )
    for known in PUBLISHED:
        assert known.url or known.package or known.page.startswith("http")
        line = missing_file(tmp_path / known.file)
        assert known.place in line and "\n" not in line
        if known.backbone.startswith("timm/"):
            model, _, tag = known.backbone.removeprefix("timm/").partition(".")
            assert timm.models.is_model(model) and (not tag or labels_of_tag(tag) == known.labels)
        if known.name.startswith("timm/"):
            settings = timm.models.get_pretrained_cfg(known.name.removeprefix("timm/"))
            assert known.url.startswith(f"https://huggingface.co/{settings.hf_hub_id}/")
            assert known.licence.lower().replace(" ", "-").startswith(settings.license.lower())


def test_biases_that_a_model_has_no_place_for_are_told(capsys):
    encoder = TimmEncoder("timm/test_vit")
    encoder.own_names({"storage_tokens": torch.zeros(1, 4, 64), "blocks.0.attn.qkv.bias": torch.ones(192)})
    assert "use timm/test_vit_qkvb" in capsys.readouterr().err
    encoder.own_names({"storage_tokens": torch.zeros(1, 4, 64), "blocks.0.attn.qkv.bias": torch.zeros(192)})
    assert capsys.readouterr().err == ""
