import subprocess
import sys

import pydantic
import pytest
from torchvision.models import get_model_weights

from usod.models.config import PRETRAINED_NAMES, NetworkConfig


def test_reading_the_configuration_does_not_import_torch():
    code = "import sys, usod.models.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_of_weights_are_torchvisions():
    for name, names in PRETRAINED_NAMES.items():
        # VGG's feature weights were trained with another normalisation of the input.
        assert set(names) == set(get_model_weights(name).__members__) - {"IMAGENET1K_FEATURES"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "light", "weights": "DEFAULT"}, "weights: light has no weights named 'DEFAULT'"),
        ({"name": "drn_d_105", "weights": "IMAGENET1K_V1"}, "or a file ending in"),
        ({"name": "resnet18", "weights": "IMAGENET1K_V2"}, "use none, DEFAULT, IMAGENET1K_V1"),
        ({"name": "drn_d_22", "output_stride": 16}, "output_stride: drn_d_22 has 8, not 16"),
        ({"freeze_batchnorm": True}, "freeze_batchnorm: there are no statistics"),
        ({"name": "resnet18", "weights": "DEFAULT", "freeze_batchnorm_affine": True}, "needs freeze_batchnorm: true"),
        ({"light_width": 20}, "multiple of 8"),
        ({"layers": 3}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        NetworkConfig.model_validate(values)


def test_automatic_choices():
    chosen = {
        name: (config.resolved_head, config.resolved_output_stride)
        for name in ("drn_d_105", "resnet101", "mobilenet_v2", "light")
        for config in [NetworkConfig(name=name)]
    }
    assert chosen == {
        "drn_d_105": ("fcn", 8),
        "resnet101": ("fcn", 8),
        "mobilenet_v2": ("skip", 16),
        "light": ("skip", 32),
    }
    assert NetworkConfig(name="light", head="fcn").resolved_head == "fcn"
