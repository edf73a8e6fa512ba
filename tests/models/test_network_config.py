import json
import subprocess
import sys

import jsonschema
import pydantic
import pytest
from torchvision.models import get_model_weights

from usod.errors import UsageError
from usod.models.config import NetworkConfig
from usod.models.registry import BACKBONES, MOVED_KEYS, RamOptions, TagsOptions
from usod.settings.sections import parse_section


def test_reading_the_configuration_does_not_import_torch():
    code = "import sys, usod.models.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_of_weights_are_torchvisions():
    for name, entry in BACKBONES.items():
        # VGG's feature weights were trained with another normalisation of the input.
        assert not entry.weights or set(entry.weights) == set(get_model_weights(name).__members__) - {
            "IMAGENET1K_FEATURES"
        }


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
        ({"name": "vgg16", "weights": "DEFAULT", "freeze_batchnorm": True}, "vgg16 has no batch norms"),
        ({"name": "resnet51"}, "no backbone 'resnet51'; there are .*light, and timm/NAME for all of timm"),
        ({"name": "timm/"}, "no backbone 'timm/'"),
        ({"name": "timm/resnet18", "weights": "no tag"}, "'no tag' is neither DEFAULT, nor a tag of timm, nor a file"),
        ({"head": "rom"}, "head: no head of the name 'rom'; there are auto, fcn"),
        ({"head": {"name": "skip", "attention": False}}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        NetworkConfig.model_validate(values)


def test_automatic_choices():
    chosen = {
        name: (config.resolved_head.name, config.resolved_output_stride)
        for name in ("drn_d_105", "resnet101", "mobilenet_v2", "light")
        for config in [NetworkConfig(name=name)]
    }
    assert chosen == {
        "drn_d_105": ("fcn", 8),
        "resnet101": ("fcn", 8),
        "mobilenet_v2": ("skip", 16),
        "light": ("skip", 32),
    }
    assert NetworkConfig(name="light", head="fcn").resolved_head.name == "fcn"


def test_keys_that_belong_to_a_head_stop_with_their_new_place():
    for key, (head, option) in MOVED_KEYS.items():
        with pytest.raises(UsageError) as error:
            parse_section(NetworkConfig, json.dumps({"name": "light", key: 1}), "--network")
        assert f"{key}: is now a key of its head; write head: {{name: {head}, {option}: 1}}" in str(error.value)
        assert option in type(NetworkConfig(head=head).head).model_fields


def test_options_of_a_head_are_kept_where_a_system_asks_for_that_head():
    own = NetworkConfig(head={"name": "tags", "pooling": "gmp"})
    assert own.with_head(own.head_as(TagsOptions)) == own
    assert own.with_head(own.head_as(RamOptions)).head == RamOptions()


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ({"head": "ram"}, True),
        ({"head": {"name": "ram", "attention": False}}, True),
        ({"head": {"name": "skip", "attention": False}}, False),
        ({"head": "rom"}, False),
        ({"name": "timm/vit_small_patch14_dinov2.lvd142m", "weights": "DEFAULT"}, True),
        ({"name": "resnet51"}, False),
    ],
)
def test_the_schema_knows_what_the_settings_know(values, fits):
    assert jsonschema.Draft202012Validator(NetworkConfig.model_json_schema()).is_valid(values) == fits
    try:
        NetworkConfig.model_validate(values)
    except pydantic.ValidationError:
        assert not fits
    else:
        assert fits
