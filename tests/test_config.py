from pathlib import Path

import jsonschema
import pytest
import yaml

from usod.errors import UsageError
from usod.settings.config import Config, deep_merge, own_images, parse_config, schema
from usod.settings.sections import (
    CrfConfig,
    PretrainConfig,
    RelationConfig,
    SelfTrainConfig,
    parse_section,
)
from usod.systems.a2s_settings import (
    ActivationConfig,
    DistillingConfig,
    PseudoLabelConfig,
    RectifyConfig,
    RefinementConfig,
    SecondScaleConfig,
)
from usod.systems.deepusps_settings import RefineConfig
from usod.systems.spectral_settings import RECIPES

ROOT = Path(__file__).parents[1]
SMALL = {"datasets": {"a": {"root": "x"}}, "train": "a"}


def load(path):
    return yaml.safe_load((ROOT / path).read_text())


def test_the_defaults_are_the_papers():
    refine, fuse = parse_config(SMALL).deepusps.refine, parse_config(SMALL).deepusps.fuse
    assert (refine.epochs, refine.batch_size, refine.alpha) == (25, 20, 0.7)
    assert [refine.lr_of_stage(k) for k in range(3)] == [1e-6, 2e-6, 4e-6]
    assert (refine.threshold_factor, refine.iterations, fuse.epochs) == (1.5, 2, 200)
    assert parse_config(SMALL).size == 432
    assert (refine.beta2, fuse.beta2, refine.lr_decay, fuse.lr_decay) == (1, 4, "poly", "poly"), "the paper has none"


@pytest.mark.parametrize(
    "path", ["config.yaml", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "workflow/presets").glob("*.yaml"))]
)
def test_shipped_configurations_fit_the_schema(path):
    values = load(path)
    parse_config(values, path)
    jsonschema.validate(values, schema())


def test_the_a2s_preset_says_what_the_defaults_say():
    preset = parse_config(load("workflow/presets/a2s.yaml"))
    steps = preset.a2s.stage1, preset.a2s.pseudo_labels, preset.a2s.stage2
    assert steps == (ActivationConfig(), PseudoLabelConfig(), RectifyConfig())
    assert (preset.encoder.head.name, preset.detector.head.name, preset.detector.weights) == (
        "activation",
        "ram",
        preset.network.weights,
    )


def test_the_double_dagger_rows_differ_in_the_encoders_weights_alone():
    paper, dagger = (parse_config(load(f"workflow/presets/{name}.yaml")) for name in ("a2s", "a2s_imagenet"))
    assert dagger.network == paper.network.model_copy(update={"weights": "IMAGENET1K_V1"})
    assert dagger.model_dump(exclude={"network"}) == paper.model_dump(exclude={"network"})


def test_the_presets_of_a2s_v2_and_v3_differ_in_what_v3_adds():
    v2, v3 = (parse_config(load(f"workflow/presets/a2s_{name}.yaml")) for name in ("v2", "v3"))
    assert (v2.encoder.head.name, v2.detector.head.name, v2.size) == ("gated", "ram", 320)
    assert v2.a2s.stage1.csd == DistillingConfig() and v2.a2s.stage1.loss == "csd"
    assert {round(v2.size * scale) for scale in v2.a2s.stage1.csd.scales} == {192, 256, 384, 448}
    curriculum = v2.a2s.stage1.csd.model_copy(update={"uncertain": 0.2})
    assert v3.a2s.stage1 == v2.a2s.stage1.model_copy(update={"csd": curriculum})
    added = v3.a2s.stage2.second_scale, v3.a2s.stage2.refinement, v3.a2s.stage2.keep
    assert added == (SecondScaleConfig(), RefinementConfig(), 0.2)
    assert (v2.a2s.stage2.second_scale, v2.a2s.stage2.refinement, v2.a2s.stage2.keep) == (None, None, 1)
    others = v2.model_dump(exclude={"a2s"}), v3.model_dump(exclude={"a2s"})
    assert others[0] == others[1]


def test_the_spectral_preset_says_what_the_defaults_say():
    section = parse_config(load("workflow/presets/spectral.yaml")).spectral
    assert {recipe: getattr(section, recipe) for recipe in section.recipes} == {
        r: kind() for r, kind in RECIPES.items()
    }


@pytest.mark.parametrize("labels", ["a2s-stage2", "rbd-iter9", "nothing"])
def test_labels_that_nobody_makes_are_refused(labels):
    with pytest.raises(UsageError, match="a2s.labels: no"):
        parse_config({**SMALL, "a2s": {"labels": labels}})


def test_the_presets_of_wss_and_ldps_say_what_the_defaults_say():
    wss, ldps = (parse_config(load(f"workflow/presets/{name}.yaml")) for name in ("wss", "ldps"))
    assert (wss.wss.pretrain, wss.wss.selftrain) == (PretrainConfig(), SelfTrainConfig())
    assert ldps.ldps.train == RelationConfig() and ldps.relation.resolved_output_stride == 32


PRESET = "workflow/presets/own_images.yaml"


def test_a_folder_of_images_is_all_that_is_needed(tmp_path):
    preset = load(PRESET)
    (tmp_path / "Urlaub Köln").mkdir()
    folder = str(tmp_path / "Urlaub Köln")
    found = parse_config(
        own_images(folder, preset, {"images": folder, "size": 96, "deepusps": {"fuse": {"epochs": 3}}})
    )
    assert (found.train, found.test, found.size) == ("Urlaub-Koln", [], 96)
    assert found.datasets[found.train].root == folder and not found.datasets[found.train].has_masks
    fuse = parse_config(preset).deepusps.fuse
    assert found.deepusps.fuse == fuse.model_copy(update={"epochs": 3})


@pytest.mark.parametrize(
    ("given", "name", "root"),
    [
        ("photos", "photos", "photos"),
        ("./photos//", "photos", "photos"),
        ("photos/../photos", "photos", "photos/../photos"),
        (".", "place", "."),
        ("demo", "demo", "./demo"),  # the word alone means the bundled scenes
        (2024, "2024", "2024"),
        ("~/photos", "photos", "photos"),  # below the working folder, so the two can be moved together
        ("~/../elsewhere", "elsewhere", "../elsewhere"),
    ],
)
def test_the_data_set_is_called_after_its_folder(tmp_path, monkeypatch, given, name, root):
    place = tmp_path / "place"
    for folder in ("photos", "demo", "2024", "../elsewhere"):
        (place / folder).mkdir(parents=True)
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place))
    found = parse_config(own_images(given, load(PRESET), {}))
    assert (found.train, found.datasets[found.train].root) == (name, root.format(home=place))
    assert Path(found.datasets[found.train].root).is_dir()


def test_several_folders_are_one_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "old/photos", "more"):
        (tmp_path / folder).mkdir(parents=True)
    found = parse_config(own_images(["photos", "more"], load(PRESET), {"corrections": "mended"}))
    assert (found.train, found.single(found.train)) == ("photos-and-more", ["photos", "more"])
    assert not found.datasets[found.train].has_masks and found.corrections.masks == "mended"
    assert found == parse_config(found.model_dump(exclude_unset=True)), "the long form says the same"
    alike = parse_config(own_images(["photos", "old/photos"], load(PRESET), {}))
    assert len(set(alike.single(alike.train))) == 2, "folders of one name stay two"
    masks = {"datasets": {"a": {"root": "x"}, "b": {"root": "y", "has_masks": False}}, "train": ["a", "b"]}
    assert parse_config(masks).datasets["a-and-b"].has_masks, "those of a can be scored"


def test_data_sets_of_ones_own_stay_beside_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("ECSSD", "x/ECSSD"):
        (tmp_path / folder).mkdir(parents=True)
    own = {"datasets": {"ECSSD": {"root": "ECSSD", "split": "test"}}, "test": ["ECSSD"]}
    other = parse_config(own_images("x/ECSSD", load(PRESET), own))
    assert other.datasets["ECSSD"].root == "ECSSD" and other.test == ["ECSSD"] != [other.train]
    assert other.train.startswith("ECSSD-") and other.datasets[other.train].root == "x/ECSSD"
    same = parse_config(own_images(str(tmp_path / "ECSSD"), load(PRESET), own))
    assert (same.train, list(same.datasets)) == ("ECSSD", ["ECSSD"])
    assert same.datasets["ECSSD"] == other.datasets["ECSSD"]


@pytest.mark.parametrize("given", [None, "", ["a", "b"], "p0.jpg", "nowhere", "/nowhere", 7])
def test_a_folder_that_is_none_is_one_line_with_the_users_word(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PWD")
    (tmp_path / "p0.jpg").touch()
    with pytest.raises(UsageError) as caught:
        own_images(given, load(PRESET), {})
    line = str(caught.value)
    word = given[0] if isinstance(given, list) else given
    assert line.startswith(f"images={word}: " if given else "images=: give one folder")
    assert "\n" not in line and "None" not in line and "datasets" not in line
    for named, parts in {
        "p0.jpg": (str(tmp_path / "p0.jpg"), "is a file; give its folder"),
        "nowhere": (str(tmp_path / "nowhere"), "--directory changes: give the whole path"),
        "/nowhere": ("no folder /nowhere;",),
        7: ("images=./7",),
    }.items():
        assert given != named or all(part in line for part in parts)


def test_a_relative_path_typed_elsewhere_is_found(tmp_path, monkeypatch):
    """`snakemake --directory work --config images=photos`: the working folder is another one by now."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(
        UsageError, match=f"images=photos: no folder {tmp_path}/work/photos; .*, images={tmp_path}/photos"
    ):
        own_images("photos", load(PRESET), {})


def test_nothing_behind_a_section_is_an_empty_section():
    text = "datasets: {a: {root: x}}\ntrain: a\nmethods:\n  rbd:\n  mc:\nreport:\nnetwork:\ndeepusps:\n  fuse:\n"
    values = yaml.safe_load(text)
    full = {**SMALL, "methods": {"rbd": {}, "mc": {}}}
    assert parse_config(values) == parse_config(full)
    jsonschema.validate({key: value for key, value in values.items() if key != "network"}, schema())
    assert parse_config({**SMALL, "deepusps": {"refine": {"crf": None}}}).deepusps.refine.crf is None  # means: no CRF
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**SMALL, "datasets": {"a": None}}, schema())


def test_maps_that_are_missing_are_named_with_their_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("maps/a", "x", "y"):
        (tmp_path / folder).mkdir(parents=True)
    values = {"datasets": {"a": {"root": "x"}, "b": {"root": "y"}, "c": {"root": "z"}}, "train": "a", "test": ["b"]}
    config = parse_config({**values, "methods": {"rbd": {}, "theirs": {"maps": "maps/{dataset}"}}})
    assert config.imported_maps("theirs", "a") == Path("maps/a")
    with pytest.raises(UsageError, match=rf"^methods\.theirs\.maps: no folder or file 'maps/b' \({tmp_path}/maps/b\)"):
        config.check_paths()
    (tmp_path / "maps" / "b").mkdir()
    config.check_paths()


def test_wss_without_tags_is_one_line():
    values = {"datasets": {"d": {"root": "x"}}, "train": "d", "systems": ["wss"]}
    with pytest.raises(UsageError, match=r"datasets\.d\.tags: wss learns from tags"):
        parse_config(values)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"only_tags": ["cat"]}, r"datasets\.a: only_tags: say where the tags are"),
        ({"without_tags": ["cat"], "tags": "folders", "published_as": "ECSSD"}, "not of a part of ECSSD"),
    ],
)
def test_a_part_of_a_set_by_its_tags_is_not_the_set(keys, line):
    with pytest.raises(UsageError, match=line):
        parse_config({"datasets": {"a": {"root": "x", **keys}}, "train": "a"})


def named_weights(values):
    """(name, weights) of every network in a configuration or table."""
    if isinstance(values, dict):
        if "weights" in values:
            yield values.get("name"), values["weights"]
        for value in values.values():
            yield from named_weights(value)


PAPERS = ["deepusps", "deepusps_as_released", "a2s", "ldps", "wss"]
TABLES = sorted(f"ablations/{path.stem}" for path in (ROOT / "workflow/presets/ablations").glob("*.yaml"))


@pytest.mark.parametrize("name", [*PAPERS, *TABLES])
def test_presets_of_papers_do_not_start_from_weights_that_came_later(name):
    """torchvision's DEFAULT is a retrained network where there is one."""
    retrained = {"resnet50", "resnet101", "mobilenet_v2", None}
    assert not [
        found
        for found in named_weights(load(f"workflow/presets/{name}.yaml"))
        if found[0] in retrained and found[1] == "DEFAULT"
    ]


def test_the_paper_preset_says_what_the_defaults_say():
    preset = parse_config(load("workflow/presets/deepusps.yaml"))
    assert preset.deepusps.refine == RefineConfig(bias_correction=False)
    assert preset.deepusps.fuse == Config(**SMALL).deepusps.fuse


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
        ({"datasets": {"a": {}}}, "datasets.a: root: is required"),
        ({"datasets": {"a": None}}, "datasets.a: root: is required"),
        ({"datasets": {"a": {"root": "x", "of": ["b", "c"]}}}, "datasets.a: root: not beside of:"),
        ({"datasets": {"a": {"of": ["b"]}}}, "datasets.a: of: name two data sets or more"),
        ({"train": []}, "train: names no data set"),
        ({"corrections": ""}, "corrections.masks: must be text, not ''"),
        ({"train": ["a", "b"]}, "datasets.a-and-b.of: no folder 'b'; datasets has a"),
        ({"corrections": {"weight": 4}}, "corrections.masks: is required"),
        ({"corrections": {"masks": "x", "weight": 0}}, "corrections.weight: must be above 0, not 0"),
        ({"size": None}, "size: has nothing behind it"),
        ({"ablations": "a2s_table4"}, "ablations: must be a list, not 'a2s_table4'; write [a2s_table4]"),
        (
            {"systems": ["deepusp"]},
            "systems.0: must be one of deepusps, a2s, wss, ldps, spectral, vote, distil, not 'deepusp'",
        ),
        ({"systems": []}, "systems: needs 1 or more, has 0"),
        ({"size": 5}, "size: must be at least 32, not 5"),
        ({"deepusps": {"refine": {"flip": "maybe"}}}, "deepusps.refine.flip: must be true or false, not 'maybe'"),
        ({"datasets": {"a": {"root": 7}}}, "datasets.a.root: must be text, not 7; write it in quotes: '7'"),
        ({"report": {"mask_threshold": "x"}}, "report.mask_threshold: must be a number or one of adaptive, otsu, not"),
        ({"deepusps": {"refine": {"lr": "x"}}}, "deepusps.refine.lr: must be a number or a list, not 'x'"),
        ({"datasets": {"float": {"rot": 1}}}, "datasets.float.rot: unknown key"),
        ({"datasets": {"a": {"root": "x"}, "scores": {"root": "x"}}}, "datasets.scores"),
        ({"datasets": {"a": {"root": "x", "layout": "ecsd"}}}, "datasets.a.layout: no 'ecsd'"),
        ({"datasets": {"a": {"root": "x", "has_masks": False}}, "test": ["a"]}, "no masks to score"),
        ({"methods": {"rbd": {"params": {"mu": 1}}}}, "methods.rbd.params.mu: unknown key"),
        ({"methods": {"rbd": {"refine": {"iterations": 5}}}}, "methods.rbd.refine.iterations"),
        ({"methods": {"rbd-iter0": {"function": "rbd"}}}, "methods.rbd-iter0"),
        ({"methods": {"mine": {"maps": "x", "function": "mc"}}}, "methods.mine"),
        ({"deepusps": {"refine": {"lr": -1}}}, "my.yaml: deepusps.refine.lr: must be above 0, not -1"),
        ({"deepusps": {"refine": {"lr": [1, -1, 1]}}}, "my.yaml: deepusps.refine.lr.1: must be above 0, not -1"),
        ({"deepusps": {"seeds": [1, 1]}}, "every seed once"),
        ({"deepusps": {"fuse": {"seeds": [1]}}}, "deepusps.fuse: seeds: is now deepusps.seeds: "),
        ({"deepusps": {"refine": {"seed": 1}}}, "deepusps.refine: seed: is now deepusps.seeds: "),
        (
            {"deepusps": {"fuse": {"threshold_factor": 1}}},
            "threshold_factor: is now deepusps.refine.thres",
        ),
        ({"gpu": 2}, "gpu: "),
    ],
)
def test_a_wrong_key_is_one_line_that_names_it(change, complaint):
    with pytest.raises(UsageError) as error:
        parse_config({**SMALL, **change}, "my.yaml")
    assert str(error.value).startswith("my.yaml: ") and complaint in str(error.value)
    for noise in ("\n", "Input should", "input should", "[key]", "^[", "\\", "constrained", "literal["):
        assert noise not in str(error.value)


def test_a_data_set_of_no_usable_name_is_told_once_which_would_do():
    with pytest.raises(UsageError) as error:
        parse_config({"datasets": {"my set": {"root": "x"}}, "train": "my set"}, "my.yaml")
    assert str(error.value) == (
        "my.yaml: datasets.my set: 'my set' is no name: take letters (a-z), digits, '.', '_' and single '-', no "
        "blanks, a letter or digit first, e.g. my-set"
    )
    assert parse_config({"datasets": {"my-set": {"root": "x"}}, "train": "my-set"})


def test_a_method_overrides_single_keys():
    config = parse_config(
        {**SMALL, "methods": {"rbd": {"refine": {"epochs": 3}}, "mc": {}}, "deepusps": {"refine": {"alpha": 0.5}}}
    )
    assert (config.refine_of("rbd").epochs, config.refine_of("rbd").alpha) == (3, 0.5)
    assert config.refine_of("mc").epochs == 25


def test_a_method_keeps_the_rest_of_a_section_it_changes():
    base = {"deepusps": {"refine": {"crf": {"bilateral_sxy": 25}}}}
    config = parse_config({**SMALL, **base, "methods": {"rbd": {"refine": {"crf": {"iterations": 3}}}}})
    assert (config.refine_of("rbd").crf.bilateral_sxy, config.refine_of("rbd").crf.iterations) == (25, 3)


def test_files_are_laid_over_one_another_section_by_section():
    assert deep_merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}, "d": {"e": 5}}) == {
        "a": {"b": 4, "c": 2},
        "d": {"e": 5},
    }


def test_a_stage_knows_only_what_it_uses():
    """Another iteration, another threshold of later stages: neither may rerun the first stage."""
    one = RefineConfig(lr=[1e-3, 2e-3, 3e-3])
    other = RefineConfig(lr=[1e-3, 2e-3, 4e-3, 5e-3], iterations=3, later_threshold=0.4)
    assert one.of_stage(0) == other.of_stage(0) and one.of_stage(1) != other.of_stage(1)
    assert one.of_stage(1).lr_of_stage(1) == 2e-3 and one.of_stage(1).of_stage(1) == one.of_stage(1)
    assert RefineConfig(threshold=0.3).of_stage(1) == RefineConfig().of_stage(1)


def test_a_folder_called_demo_is_none_of_the_bundled_scenes():
    assert parse_config({"datasets": {"a": {"root": "./demo"}}, "train": "a"}).datasets["a"].root == "./demo"


def test_home_is_expanded():
    config = parse_config({"datasets": {"a": {"root": "~/x"}}, "train": "a"})
    assert config.datasets["a"].root == str(Path.home() / "x")


def test_a_section_is_json_or_a_file(tmp_path):
    (tmp_path / "crf.yaml").write_text("iterations: 7\n")
    assert parse_section(CrfConfig, str(tmp_path / "crf.yaml")).iterations == 7
    assert parse_section(CrfConfig, '{"iterations": 8}').iterations == 8
    for wrong in ('{"iterations": }', '{"iteration": 8}', "nowhere.yaml"):
        with pytest.raises(UsageError):
            parse_section(CrfConfig, wrong)
