from pathlib import Path

import jsonschema
import pytest
import yaml

from usod.config import Config, CrfConfig, RefineConfig, parse_config, parse_section, schema
from usod.errors import UsageError

ROOT = Path(__file__).parents[1]
SMALL = {"datasets": {"a": {"root": "x"}}, "train": "a"}


def load(path):
    return yaml.safe_load((ROOT / path).read_text())


def test_the_defaults_are_the_papers():
    refine, fuse = parse_config(SMALL).deepusps.refine, parse_config(SMALL).deepusps.fuse
    assert (refine.epochs, refine.batch_size, refine.alpha, refine.beta2) == (25, 20, 0.7, 0.3)
    assert [refine.lr_of_stage(k) for k in range(3)] == [1e-6, 2e-6, 4e-6]
    assert (refine.threshold_factor, refine.iterations, fuse.epochs) == (1.5, 2, 200)
    assert parse_config(SMALL).size == 432


@pytest.mark.parametrize(
    "path", ["config.yaml", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "workflow/presets").iterdir())]
)
def test_shipped_configurations_fit_the_schema(path):
    values = load(path)
    parse_config(values, path)
    jsonschema.validate(values, schema())


def test_the_paper_preset_says_what_the_defaults_say():
    preset = parse_config(load("workflow/presets/deepusps.yaml"))
    assert preset.deepusps.refine == RefineConfig()
    assert preset.deepusps.fuse.model_dump(exclude={"seeds"}) == Config(**SMALL).deepusps.fuse.model_dump(
        exclude={"seeds"}
    )


def test_the_schema_file_is_the_generated_one():
    assert load("workflow/schemas/config.schema.yaml") == schema(), (
        "run: usod config schema --out workflow/schemas/config.schema.yaml"
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"sise": 3}, "sise: unknown key"),
        ({"deepusps": {"refine": {"epoch": 3}}}, "deepusps.refine.epoch: unknown key"),
        ({"methods": {"rbd": {"refine": {"epoch": 3}}}}, "methods.rbd.refine.epoch: unknown key"),
        ({"methods": {"mine": {}}}, "methods.mine"),
        ({"train": "b"}, "no data set 'b'"),
        ({"test": ["b"]}, "no data set 'b'"),
        ({"size": "big"}, "size: "),
        ({"network": {"name": "vgg"}}, "network.name"),
        ({"deepusps": {"refine": {"lr": [1e-6]}}}, "lr lists 1 values for 3 stages"),
        ({"datasets": {"a b": {"root": "x"}}}, "datasets.a b"),
    ],
)
def test_a_wrong_key_is_one_line_that_names_it(change, complaint):
    with pytest.raises(UsageError) as error:
        parse_config({**SMALL, **change}, "my.yaml")
    assert str(error.value).startswith("my.yaml: ") and complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_method_overrides_single_keys():
    config = parse_config(
        {**SMALL, "methods": {"rbd": {"refine": {"epochs": 3}}, "mc": {}}, "deepusps": {"refine": {"alpha": 0.5}}}
    )
    assert (config.refine_of("rbd").epochs, config.refine_of("rbd").alpha) == (3, 0.5)
    assert config.refine_of("mc").epochs == 25


def test_a_section_is_json_or_a_file(tmp_path):
    (tmp_path / "crf.yaml").write_text("iterations: 7\n")
    assert parse_section(CrfConfig, str(tmp_path / "crf.yaml")).iterations == 7
    assert parse_section(CrfConfig, '{"iterations": 8}').iterations == 8
    for wrong in ('{"iterations": }', '{"iteration": 8}', "nowhere.yaml"):
        with pytest.raises(UsageError):
            parse_section(CrfConfig, wrong)
