import pytest
import torch

from usod.models.build import build_network
from usod.models.config import NetworkConfig


@pytest.mark.parametrize("size", [(32, 32), (33, 71), (64, 50)])
@pytest.mark.parametrize(
    ("name", "head"),
    [("light", "auto"), ("mobilenet_v2", "auto"), ("mobilenet_v2", "fcn"), ("resnet18", "auto"), ("resnet18", "skip")],
)
def test_logits_have_the_size_of_the_image(name, head, size):
    network = build_network(NetworkConfig(name=name, head=head)).eval()
    with torch.no_grad():
        logits = network(torch.randn(1, 3, *size))
    assert logits.shape == (1, 1, *size)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", ["drn_d_105", "drn_d_22", "resnet101", "resnet50"])
def test_big_networks_too(name):
    with torch.device("meta"):
        network = build_network(NetworkConfig(name=name))
        assert network(torch.empty(2, 3, 433, 75)).shape == (2, 1, 433, 75)


def test_normalise_uses_the_statistics_of_the_configuration():
    network = build_network(NetworkConfig(normalisation="cityscapes"))
    image = torch.tensor([0.290101, 0.328081 + 0.186566, 0.286964]).view(1, 3, 1, 1)
    torch.testing.assert_close(network.normalise(image).flatten(), torch.tensor([0.0, 1.0, 0.0]))
    assert not any(key.startswith(("mean", "std")) for key in network.state_dict())


def test_images_are_given_as_torchvisions_weights_expect_them():
    from torchvision.models import ResNet18_Weights
    from torchvision.transforms import functional as transforms

    images = torch.randint(0, 256, (2, 40, 33, 3), dtype=torch.uint8)
    published = ResNet18_Weights.IMAGENET1K_V1.transforms()
    expected = [
        transforms.normalize(transforms.to_tensor(image.numpy()), published.mean, published.std) for image in images
    ]
    torch.testing.assert_close(build_network(NetworkConfig(name="resnet18")).as_input(images), torch.stack(expected))


def test_the_same_seed_gives_the_same_network():
    first, second = (torch.manual_seed(3) and build_network(NetworkConfig()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_light_gives_the_same_in_training_and_evaluation_and_alone_as_in_a_batch():
    network = build_network(NetworkConfig())
    images = torch.randn(3, 3, 40, 40)
    with torch.no_grad():
        batch = network.train()(images)
        torch.testing.assert_close(batch[:1], network.eval()(images[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(64, 96), (70, 97)])
def test_a_reflected_margin_changes_features_at_the_border_alone(size):
    networks = []
    for margin in (0, 32):
        torch.manual_seed(0)
        networks.append(build_network(NetworkConfig(name="resnet18", reflect_padding=margin)).eval())
    image = torch.rand(1, 3, *size)
    plain, padded = (network.stages(image) for network in networks)
    assert [stage.shape for stage in plain] == [stage.shape for stage in padded]
    # The first stage sees 7 pixels: three cells from the border nothing of the margin is left.
    torch.testing.assert_close(padded[0][..., 3:-3, 3:-3], plain[0][..., 3:-3, 3:-3])
    assert (padded[0][..., 0, :] - plain[0][..., 0, :]).abs().max() > 0.01
    assert networks[1](image).shape == (1, 1, *size)
