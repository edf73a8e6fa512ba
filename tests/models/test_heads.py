import pytest
import torch
from torch import nn
from torch.nn import functional

from usod.models.heads import FCNHead, PatchHead, SkipHead
from usod.models.logit import ToLogit


def test_fcn_logit_is_the_two_channel_softmax_and_moves_with_it_under_adam():
    torch.manual_seed(0)
    head = FCNHead(6, stride=8)
    two = nn.Conv2d(6, 2, 1)  # the head of the paper, channel 0 salient
    with torch.no_grad():
        difference = 2 * head.classify.weight
        two.weight[1].normal_()
        two.weight[0] = two.weight[1] + difference[0]
        two.bias.zero_()
    features, target = torch.randn(4, 6, 5, 5), torch.rand(4, 1, 5, 5)

    def ours():
        return torch.sigmoid(2 * head.classify(features))

    def theirs():
        return torch.softmax(two(features), dim=1)[:, :1]

    torch.testing.assert_close(ours(), theirs())
    for parameters, predict in ((head.parameters(), ours), (two.parameters(), theirs)):
        optimiser = torch.optim.Adam(parameters, lr=0.01)
        for _ in range(20):
            optimiser.zero_grad()
            functional.mse_loss(predict(), target).backward()
            optimiser.step()
    torch.testing.assert_close(ours(), theirs(), rtol=1e-4, atol=1e-5)


def test_fcn_filters_start_with_the_deviation_of_a_difference():
    torch.manual_seed(0)
    filters = 2 * FCNHead(200_000, stride=8, init_std=1.0).classify.weight
    assert abs(filters.std().item() - 2**0.5) < 0.01


def test_fcn_upsampling_is_the_frozen_transposed_convolution_away_from_the_border():
    head = FCNHead(1, stride=8)
    nn.init.constant_(head.classify.weight, 0.5)  # the logit is the feature
    feature = torch.randn(1, 1, 6, 7)
    centre = torch.arange(16) - 7.5
    kernel = 1 - centre.abs() / 8  # bilinear interpolation by 8
    up = functional.conv_transpose2d(feature, torch.outer(kernel, kernel)[None, None], stride=8, padding=4)
    result = head([feature], (48, 56))
    assert up.shape == result.shape
    torch.testing.assert_close(result[..., 4:-4, 4:-4], up[..., 4:-4, 4:-4], rtol=1e-4, atol=1e-5)
    assert torch.equal(head([feature], (45, 50)), result[..., :45, :50])


def test_skip_head_starts_at_the_deepest_stage_and_takes_one_skip_per_resolution():
    assert SkipHead((8, 8, 8, 8, 8), (2, 4, 8, 16, 32)).skips == [3, 2, 1, 0]
    assert SkipHead((8, 8, 8, 8, 8), (2, 4, 8, 16, 16)).skips == [2, 1, 0]
    assert SkipHead((8, 8, 8, 8, 8), (2, 4, 8, 8, 8)).skips == [1, 0]


def test_the_skip_head_written_out():
    torch.manual_seed(0)
    head = SkipHead((4, 5, 6, 7), (2, 4, 8, 16), width=32)
    stages = [torch.randn(2, c, 64 // s, 96 // s) for c, s in zip((4, 5, 6, 7), (2, 4, 8, 16), strict=True)]
    context, pixels = head.context, stages[-1].flatten(2)
    x = context.local.weight[..., 0, 0] @ pixels + context.pooled.weight[..., 0, 0] @ pixels.mean(2, keepdim=True)
    x = context.norm(x.unflatten(2, (4, 6))).relu()
    for join, stage, width in zip(head.joins, stages[-2::-1], (32, 32, 16), strict=True):
        x = functional.interpolate(x, size=stage.shape[-2:], mode="bilinear")
        x = join.fuse(functional.conv2d(x, join.deep.weight) + functional.conv2d(stage, join.skip.weight)).relu()
        assert x.shape[1] == width, "half as many channels at stride 2"
    expected = functional.interpolate(head.classify(x), size=(64, 96), mode="bilinear")
    torch.testing.assert_close(head(stages, (64, 96)), expected, rtol=1e-4, atol=1e-4)


def test_every_logit_of_the_skip_head_sees_the_whole_image():
    torch.manual_seed(0)
    stages = [torch.randn(1, 8, 128 // s, 128 // s, requires_grad=True) for s in (2, 4, 8, 16, 16)]
    logits = SkipHead((8,) * 5, (2, 4, 8, 16, 16), width=16)(stages, (127, 128))
    assert logits.shape == (1, 1, 127, 128)
    logits[0, 0, 0, 0].backward()
    assert stages[-1].grad[0, :, -1, -1].abs().max() > 0


@pytest.mark.parametrize("context", [True, False])
def test_a_patch_is_judged_by_its_features_and_the_mean_of_the_image(context):
    torch.manual_seed(0)
    head = PatchHead(3, width=5, context=context)
    x = torch.randn(2, 3, 4, 6)
    x = (x - x.mean((1, 2, 3), keepdim=True)) / x.var((1, 2, 3), unbiased=False, keepdim=True).add(1e-5).sqrt()
    hidden = torch.einsum("kc,bchw->bkhw", head.hidden.weight[..., 0, 0], x)
    hidden = hidden + head.hidden.bias[:, None, None]
    if context:
        hidden = hidden + (x.mean((2, 3)) @ head.context.weight[..., 0, 0].T)[..., None, None]
    expected = torch.einsum("k,bkhw->bhw", head.classify.weight[0, :, 0, 0], hidden.relu()) + head.classify.bias
    torch.testing.assert_close(head([x] * 5, (4, 6))[:, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_last_convolution_is_in_single_precision_under_autocast(kernel):
    torch.manual_seed(0)
    layer, features = ToLogit(16, kernel), torch.randn(2, 16, 5, 7).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        logits = layer(features)
    expected = functional.conv2d(features.double(), layer.weight.double(), layer.bias.double(), padding=kernel // 2)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits.double(), expected, rtol=1e-5, atol=1e-5)
