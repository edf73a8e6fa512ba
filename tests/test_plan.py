"""What is made of a configuration, and where it lies."""

import pytest

from usod.ablations import Ablation, Variants
from usod.config import parse_config
from usod.errors import UsageError
from usod.plan import Plan

BASE = {
    "datasets": {"d": {"root": "demo"}, "t": {"root": "demo"}},
    "train": "d",
    "test": ["t"],
    "methods": {"rbd": {}, "mc": {}},
    "systems": ["deepusps", "a2s", "wss", "ldps"],
}


def plan(tables=None, **keys):
    read = {name: Ablation.model_validate(table) for name, table in (tables or {}).items()}
    return Plan(Variants(parse_config(BASE | keys), read))


def test_systems_that_learn_from_one_another_are_made_with_what_they_need():
    learns = plan(systems=["deepusps"], deepusps={"labels": ["a2s-stage2"]}, a2s={"labels": "mc-iter0"})
    assert [part.name for part in learns.made] == ["mc-iter0", "deepusps-seed0", "a2s-stage2"]
    assert learns.finals == ["deepusps-seed0"], "what is made for another is no end"
    chained = plan(systems=["ldps"], ldps={"priors": ["a2s-stage2"]})
    assert chained.trained == ["a2s-stage1", "a2s-stage2", "ldps_train-a2s-stage2"]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"a2s": {"labels": "a2s-stage2"}}, "a2s.labels: no 'a2s-stage2'; there are rbd"),
        ({"a2s": {"labels": "oracle-masks"}}, "a2s.labels: no 'oracle-masks'"),
        ({"a2s": {"labels": "deepusps-seed0"}}, "a2s.labels: no 'deepusps-seed0'"),
        (
            {"a2s": {"labels": "ldps-a2s-stage2"}, "ldps": {"priors": ["a2s-stage2"]}},
            "a2s.labels: no 'ldps-a2s-stage2'",
        ),
        ({"ldps": {"priors": ["ldps-rbd"]}}, "ldps.priors: no 'ldps-rbd'"),
        ({"ldps": {"learn_from": "nobody"}}, "ldps.learn_from: no 'nobody'"),
        ({"deepusps": {"labels": ["rbd-iter9"]}}, "deepusps.labels: no 'rbd-iter9'"),
    ],
)
def test_what_nobody_makes_or_what_would_be_made_of_itself_is_refused(keys, line):
    with pytest.raises(UsageError) as caught:
        parse_config(BASE | keys)
    assert line in str(caught.value)


def test_each_kind_of_maps_lies_where_its_rule_puts_it():
    found = plan()
    assert found.maps("t", "rbd") == "results/t/maps/rbd.h5"
    assert found.maps("d", "rbd-iter1") == "results/d/deepusps/rbd/iter1/labels.h5"
    assert found.maps("t", "rbd-iter1") == "results/predictions/t/rbd-iter1.h5"
    assert found.maps("t", "ldps-mc") == "results/t/ldps/mc/labels.h5"
    assert found.maps("d", "raw-a2s-stage2") == "results/predictions/d/raw-a2s-stage2.h5"
    assert found.model("raw-ldps-mc") == "results/d/ldps/mc/model.safetensors"
    assert found.file("d", "oracle-labels", "labels") == "results/d/oracle/labels.h5"
    for name, line in (
        ("rbd", "no network"),
        ("a2s-stage3", "no system 'a2s-stage3'"),
        ("a2s-stage2@t.x", "no system"),
    ):
        with pytest.raises(UsageError, match=line):
            found.model(name)


def test_variants_share_what_their_settings_leave_as_it_was():
    rows = {
        "crf": {"system": "wss-iter1", "config": {"wss": {"crf": {"count": 99}}}},
        "alpha": {"system": "a2s-stage2", "config": {"a2s": {"stage1": {"alpha": 0.3}}}},
        "keep": {"system": "a2s-stage2", "config": {"a2s": {"stage1": {"alpha": 0.3}, "stage2": {"keep": 0.9}}}},
    }
    found = plan({"t": {"title": "T", "rows": rows}})
    assert found.sources("d", "wss-iter0", "t.crf", "model") == {
        "wss-pretrain": "results/d/wss/pretrain/model.safetensors"
    }
    shared = {"a2s-stage1": "results/d/a2s/variants/t.alpha/stage1/labels.h5"}
    assert found.sources("d", "a2s-stage2", "t.keep", "labels") == shared
    assert found.histories("t")["keep"] == ["results/d/a2s/variants/t.keep/stage2/history.csv"]


def test_a_row_may_name_a_system_and_is_all_that_it_ends_with():
    rows = {"all": {"system": "deepusps"}, "masks": {"system": "crf-wss"}}
    found = plan({"t": {"title": "T", "rows": rows}}, deepusps={"fuse": {"seeds": [3, 5]}})
    assert found.tables.systems("t") == {"all": ["deepusps-seed3", "deepusps-seed5"], "masks": ["crf-wss-iter1"]}


def test_pictures_show_each_method_beside_what_refines_it():
    assert plan(systems=["deepusps", "a2s"]).columns("d") == [
        *("rbd", "rbd-iter2", "mc", "mc-iter2", "deepusps-seed0", "a2s-stage1", "a2s-stage2")
    ]
    assert plan(systems=["ldps"]).columns("t") == ["rbd", "mc", "ldps-rbd", "ldps-mc"]
