"""The relation network of LDPS against its equations."""

import pytest
import torch

from usod.models.build import build_backbone, build_network
from usod.models.config import NetworkConfig
from usod.models.relation import RelationHead, Residual, foreground_vector, merge


def network(**changes):
    torch.manual_seed(0)
    return build_network(NetworkConfig(**{"name": "light", "light_width": 8, "head": "relation"} | changes)).eval()


def test_the_foreground_vector_is_the_priors_weighted_mean():
    """Eq. 7 with a loop over pixels."""
    features, prior = torch.randn(2, 5, 4, 6), torch.rand(2, 1, 4, 6)
    found = foreground_vector(features, prior, 0.6)
    for b in range(2):
        pixels = [(y, x) for y in range(4) for x in range(6) if prior[b, 0, y, x] >= 0.6]
        total = sum(prior[b, 0, y, x] for y, x in pixels)
        expected = sum(prior[b, 0, y, x] / total * features[b, :, y, x] for y, x in pixels)
        torch.testing.assert_close(found[b, :, 0, 0], expected)


def test_a_prior_that_is_nowhere_certain_gives_a_zero_vector_and_no_nan():
    assert foreground_vector(torch.randn(1, 5, 4, 4), torch.full((1, 1, 4, 4), 0.5), 0.9).abs().max() == 0


def test_the_surer_of_two_maps_counts_and_the_refined_one_where_they_are_as_sure():
    """Eqs. 10, 11."""
    prior, refined = torch.tensor([0.9, 0.2, 0.6, 0.75]), torch.tensor([0.7, 0.6, 0.1, 0.25])
    torch.testing.assert_close(merge(prior, refined), torch.tensor([0.9, 0.2, 0.1, 0.25]))


def test_a_residual_block_adds_to_what_it_is_given():
    block, x = Residual().eval(), torch.randn(2, 32, 5, 6)
    torch.nn.init.zeros_(block.second[0].weight)
    assert torch.equal(block(x), x)


def test_pairs_are_swapped_at_random_in_the_released_codes_training_alone():
    net, foreground_first = network(head={"name": "relation", "variant": "released"}), []

    def note(module, given):  # the foreground vector is the same at every pixel
        foreground_first.append(bool(given[0][:, :32].flatten(2).std(-1).max() < 1e-5))

    net.head.discriminator.register_forward_pre_hook(note)
    image, prior = torch.randn(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    with torch.no_grad():
        for _ in range(20):
            net(image, prior)
        assert foreground_first == [True] * 20
        net.train()
        for _ in range(20):
            net(image, prior)
    assert 2 < sum(foreground_first[20:]) < 18


@pytest.mark.parametrize(
    ("name", "total"),
    [("mobilenet_v2", 32 + 24 + 96 + 320), ("vgg16", 128 + 256 + 512 + 512)],
)
def test_it_reads_the_papers_layers(name, total):
    with torch.device("meta"):
        net = build_network(NetworkConfig(name=name, head={"name": "relation", "variant": "released"}))
    assert net.head.reduce[0][0][0].in_channels == total
    assert (len(net.head.discriminator), len(net.head.certain)) == (2, 3)


def test_the_papers_discriminator_has_five_convolutions_of_one_pixel():
    convolutions = [m for m in network().head.discriminator.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.kernel_size for c in convolutions] == [(1, 1)] * 5


def test_the_pyramid_can_see_all_channels_and_is_their_reduction():
    with torch.device("meta"):
        net = build_network(NetworkConfig(name="mobilenet_v2", head={"name": "relation", "aspp": "stages"}))
    convolutions = [next(m for m in branch if isinstance(m, torch.nn.Conv2d)) for branch in net.head.pyramid.branches]
    assert [(c.in_channels, c.out_channels, c.dilation[0]) for c in convolutions] == [
        (472, 32, rate) for rate in (1, 6, 12, 18)
    ]
    with torch.no_grad():
        small = network(head={"name": "relation", "aspp": "stages"})
        assert small(torch.randn(1, 3, 48, 64), torch.ones(1, 1, 48, 64)).shape == (1, 1, 48, 64)
    with pytest.raises(ValueError, match="aspp: the released code"):
        NetworkConfig(head={"name": "relation", "aspp": "stages", "variant": "released"})


def test_reducing_before_upsampling_is_reducing_the_concatenation():
    head = RelationHead([4, 6, 8, 10], range(4)).eval()
    stages = [torch.randn(1, c, s, s) for c, s in zip((4, 6, 8, 10), (16, 8, 4, 2), strict=True)]
    up = [torch.nn.functional.interpolate(s, size=(16, 16), mode="bilinear", align_corners=False) for s in stages]
    weight = torch.cat([reduce.weight for reduce in head.reduce], dim=1)
    expected = head.norm(torch.nn.functional.conv2d(torch.cat(up, dim=1), weight))
    torch.testing.assert_close(head._fuse(stages, (16, 16)), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("relation", ["paper", "released"])
@pytest.mark.parametrize("size", [(64, 64), (75, 51)])
def test_logits_have_the_images_size_and_do_not_depend_on_the_batch(relation, size):
    net = network(head={"name": "relation", "variant": relation})
    image, prior = torch.randn(2, 3, *size), torch.rand(2, 1, *size)
    with torch.no_grad():
        both, alone = net(image, prior), net(image[1:], prior[1:])
    assert both.shape == (2, 1, *size)
    torch.testing.assert_close(both[1:], alone, atol=1e-4, rtol=1e-4)


def test_the_answer_depends_on_what_the_prior_is_sure_of_only():
    net = network()
    image, prior = torch.randn(1, 3, 64, 64), torch.full((1, 1, 64, 64), 0.2)
    prior[..., 8:24, 8:24] = 1
    vaguer, moved = prior.clone(), prior.flip(-1)
    vaguer[..., 40:, 40:] = 0.6
    with torch.no_grad():
        first, same, other = net(image, prior), net(image, vaguer), net(image, moved)
    assert torch.equal(first, same) and not torch.allclose(first, other)


def test_vgg_is_torchvisions():
    import torchvision

    ours = build_backbone(NetworkConfig(name="vgg16")).eval()
    twin = torchvision.models.vgg16(weights=None).features.eval()
    ours.features.load_state_dict({k: v for k, v in twin.state_dict().items() if int(k.split(".")[0]) < 30})
    image = torch.randn(1, 3, 64, 48)
    with torch.no_grad():
        stages = ours.stages(image)
        assert [tuple(s.shape[1:]) for s in stages] == [
            (64, 64, 48),
            (128, 32, 24),
            (256, 16, 12),
            (512, 8, 6),
            (512, 4, 3),
        ]
        for layer, stage in zip((3, 8, 15, 22, 29), stages, strict=True):
            torch.testing.assert_close(stage, twin[: layer + 1](image))
