"""What is made of a configuration, and where it lies."""

import pytest

from usod.errors import UsageError
from usod.plan import Plan
from usod.settings.ablations import Ablation, Variants
from usod.settings.config import parse_config

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
    assert chained.trained == ["a2s_train", "a2s-stage2", "ldps_train-a2s-stage2"]


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
    assert found.maps("t", "a2s-stage1") == "results/t/a2s/stage1/labels.h5"
    assert found.maps("t", "raw-a2s-stage1") == "results/predictions/t/raw-a2s-stage1.h5"
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
    median = {"system": "a2s-stage1", "config": {"a2s": {"pseudo_labels": {"median": 3}}}}
    found = plan({"t": {"title": "T", "rows": rows | {"median": median}}})
    (own,) = found.tables.systems("t")["median"]
    assert found.labels("t", own) == "results/t/a2s/variants/t.median/stage1/labels.h5"
    assert found.model(own) == "results/d/a2s/stage1/model.safetensors", "other labels need no other training"
    assert found.file("d", own, "watched") == "results/d/a2s/stage1/watched.h5"
    assert found.sources("d", "wss-iter0", "t.crf", "model") == {
        "wss-pretrain": "results/d/wss/pretrain/model.safetensors"
    }
    shared = {"a2s-stage1": "results/d/a2s/variants/t.alpha/stage1/labels.h5"}
    assert found.sources("d", "a2s-stage2", "t.keep", "labels") == shared
    assert found.histories("t")["keep"] == ["results/d/a2s/variants/t.keep/stage2/history.csv"]


def test_a_row_that_binarises_maps_in_another_way_fuses_anew():
    row = {"system": "deepusps-seed0", "config": {"deepusps": {"refine": {"threshold_factor": 1.2}}}}
    found = plan({"t": {"title": "T", "rows": {"low": row}}}, deepusps={"labels": ["rbd", "mc"]})
    (own,) = found.tables.systems("t")["low"]
    assert found.model(own) == "results/d/deepusps/variants/t.low/fusion/seed0/model.safetensors"


def test_a_row_may_name_a_system_and_is_all_that_it_ends_with():
    rows = {"all": {"system": "deepusps"}, "masks": {"system": "crf-wss"}}
    found = plan({"t": {"title": "T", "rows": rows}}, deepusps={"seeds": [3, 5]})
    assert found.tables.systems("t") == {"all": ["deepusps-seed3", "deepusps-seed5"], "masks": ["crf-wss-iter1"]}


def test_every_seed_refines_the_same_maps_and_fuses_its_own_labels():
    found = plan(systems=["deepusps"], deepusps={"seeds": [3, 5], "refine": {"iterations": 1, "stable": 0.01}})
    assert found.finals == ["deepusps-seed3", "deepusps-seed5"] and len(found.trained) == 2 * (2 * 2 + 1)
    at = "results/d/deepusps/rbd/iter0"
    assert found.sources("d", "rbd-iter0-seed5", "", "labels") == {"rbd": "results/d/maps/rbd.h5"}
    assert found.sources("d", "rbd-iter1-seed5", "", "labels") == {"rbd-iter0-seed5": f"{at}-seed5/labels.h5"}
    assert found.sources("d", "rbd-iter1-seed5", "", "model") == {"rbd-iter0-seed5": f"{at}-seed5/model.safetensors"}
    unasked = plan(systems=["deepusps"], deepusps={"refine": {"iterations": 1}})
    assert not unasked.sources("d", "rbd-iter1", "", "model"), "a network is handed on where labels may settle only"
    assert list(found.sources("d", "deepusps-seed3", "", "labels")) == ["rbd-iter1", "mc-iter1"]
    assert list(found.sources("d", "deepusps-seed5", "", "labels")) == ["rbd-iter1-seed5", "mc-iter1-seed5"]
    once = ["rbd", "mc", "rbd-iter0", "rbd-iter1", "mc-iter0", "mc-iter1", "deepusps-seed3", "deepusps-seed5"]
    assert sorted(found.scored("d")) == sorted(once), "the stages of one seed are scored"
    assert found.columns("d") == ["rbd", "rbd-iter1", "mc", "mc-iter1", "deepusps-seed3"]


def test_a_seed_repeats_nothing_that_its_fusion_does_not_learn():
    first = plan(systems=["deepusps"], deepusps={"labels": ["rbd", "a2s-stage1"], "seeds": [0, 1]})
    assert first.trained == ["deepusps-seed0", "deepusps-seed1", "a2s_train"]
    oracle = plan(systems=["deepusps"], deepusps={"labels": ["oracle-labels"], "seeds": [0, 1]})
    assert oracle.sources("d", "deepusps-seed1", "", "labels") == {
        "oracle-labels-seed1": "results/d/oracle/labels-seed1.h5"
    }
    assert oracle.finals == [part.name for part in oracle.made], "what masks have chosen is not made with the rest"
    read = oracle.sources("d", "oracle-labels-seed1", "", "labels")
    assert list(read) == ["rbd-iter2-seed1", "mc-iter2-seed1"]
    masks = plan(systems=["deepusps"], deepusps={"labels": ["oracle-masks"], "seeds": [0, 1]})
    assert list(masks.sources("d", "deepusps-seed1", "", "labels")) == ["oracle-masks"]


def test_a_variant_of_the_first_seed_shares_its_stages_and_one_of_another_does_not():
    rows = {
        "one": {"system": "deepusps", "config": {"deepusps": {"seeds": [0], "labels": ["rbd-iter2"]}}},
        "other": {"system": "deepusps", "config": {"deepusps": {"seeds": [1], "labels": ["rbd-iter2"]}}},
    }
    found = plan({"t": {"title": "T", "rows": rows}}, systems=["deepusps"], deepusps={"seeds": [0, 1]})
    assert found.sources("d", "deepusps-seed0", "t.one", "labels") == {
        "rbd-iter2": "results/d/deepusps/rbd/iter2/labels.h5"
    }
    own = "results/d/deepusps/variants/t.other/rbd/iter2/labels.h5"
    assert found.sources("d", "deepusps-seed1", "t.other", "labels") == {"rbd-iter2": own}


def test_labels_stand_beside_their_networks_on_the_training_set_alone():
    found = plan(systems=["deepusps"], deepusps={"refine": {"iterations": 1}, "seeds": [0, 1]}, methods={"mc": {}})
    assert found.output_scores("x") == {
        "mc/maps": "results/scores/d/mc.json",
        "mc/consistency": "results/scores/d/mc-iter0.json",
        "mc/iteration 1": "results/scores/d/mc-iter1.json",
        "mc/consistency/network": "results/scores/d/raw-mc-iter0.json",
        "mc/iteration 1/network": "results/scores/d/raw-mc-iter1.json",
    }
    assert found.maps("d", "raw-mc-iter0") == "results/predictions/d/raw-mc-iter0.h5"
    with pytest.raises(UsageError, match="x: shows stages, and this configuration trains none"):
        plan(systems=["a2s"]).output_scores("x")
    unlabelled = {**BASE["datasets"], "d": {"root": "demo", "has_masks": False}}
    with pytest.raises(UsageError, match="x: scores labels of the training set 'd', which has no masks"):
        plan(datasets=unlabelled).output_scores("x")


def test_doubts_are_those_of_a_methods_last_labels_and_of_the_ones_before():
    found = plan(systems=["deepusps"], methods={"mc": {}})
    at = "results/d/deepusps/mc"
    assert found.doubted("d") == {"mc": f"{at}/iter2/labels.h5"}
    assert found.doubted_before("d") == {"mc": f"{at}/iter1/labels.h5"}
    one = plan(systems=["deepusps"], methods={"mc": {}}, deepusps={"refine": {"iterations": 0}})
    assert one.doubted_before("d") == {"mc": "results/d/maps/mc.h5"}


def test_stages_are_scored_on_test_images_only_where_that_is_asked_for():
    found = plan(systems=["deepusps"], methods={"mc": {}}, benchmark={"stages": False})
    assert found.scored("t") == ["mc", "deepusps-seed0"]
    assert found.scored("d") == ["mc", "mc-iter0", "mc-iter1", "mc-iter2", "deepusps-seed0"], "labels are compared"


def test_a_method_is_tested_where_nothing_learns_from_its_maps():
    assert plan(systems=["ldps"]).tested == set(), "one training on each"
    assert plan(systems=["vote"]).tested == {"rbd", "mc"}, "a vote is made of any images' maps, and learns nothing"
    assert plan(systems=["distil"], distil={"labels": "rbd"}).tested == {"mc"}


def test_features_are_kept_of_a_network_whose_encoder_is_frozen():
    frozen = plan(systems=["deepusps"], network=VIT | {"frozen": True})
    assert frozen.encoder("raw-deepusps-seed0").name == VIT["name"] and frozen.encoder("rbd") is None
    assert plan(systems=["deepusps"]).encoder("deepusps-seed0") is None


def test_a_table_asks_for_each_data_sets_own_scores():
    sets = {name: {"root": "demo"} for name in "dtu"}
    found = plan({"x": {"title": "X", "rows": {"all": {"system": "a2s"}}}}, datasets=sets, test=["t", "u"])
    scores = {name: [f"results/scores/{name}/a2s-stage2.json"] for name in "tu"}
    assert found.ablation("x")["rows"] == {"all": scores}
    assert found.ablation_scores("x") == [*scores["t"], *scores["u"]]


def test_a_table_of_a_protocol_that_nobody_scores_is_refused():
    rows = {"all": {"system": "a2s"}}
    with pytest.raises(UsageError, match=r"^x: it is scored as ldps; add that to benchmark.protocols$"):
        plan({"x": {"title": "X", "protocol": "ldps", "rows": rows}}, benchmark={"protocols": ["own"]})


def test_pictures_show_each_method_beside_what_refines_it():
    assert plan(systems=["deepusps", "a2s"]).columns("d") == [
        *("rbd", "rbd-iter2", "mc", "mc-iter2", "deepusps-seed0", "a2s-stage1", "a2s-stage2")
    ]
    assert plan(systems=["ldps"]).columns("t") == ["rbd", "mc", "ldps-rbd", "ldps-mc"]


def test_maps_of_training_images_are_made_where_they_are_learnt_from_or_scored():
    """WSS reads none of the handcrafted maps, and half a million images cost two days of a core for each method."""
    bare = {"datasets": {"d": {"root": "demo", "has_masks": False}, "t": {"root": "demo"}}}
    tagged = plan(**bare, systems=["wss"])
    assert tagged.columns("d") == ["wss-pretrain", "wss-iter0", "wss-iter1"] and tagged.doubted("d") == {}
    assert {"rbd", "mc"} <= set(tagged.scored("t")), "on test images they are baselines"
    assert plan(**bare, systems=["wss", "ldps"], ldps={"priors": ["mc"]}).methods_on("d") == ["mc"]
    assert plan(systems=["wss"]).methods_on("d") == ["rbd", "mc"], "scored against the training set's masks"


VIT = {"name": "timm/test_vit", "weights": "w.safetensors"}


def test_spectral_labels_are_made_of_any_set_and_from_features_that_others_share():
    found = plan(systems=["spectral"], spectral={"network": VIT, "recipes": ["tokencut", "found"]})
    assert [part.name for part in found.made] == found.finals == ["spectral-tokencut", "spectral-found"]
    assert (found.trained, found.exported, found.final_networks()) == ([], [], {})
    assert found.maps("t", "spectral-found") == "results/t/spectral/found/labels.h5"
    assert {"results/t/spectral/tokencut/labels.h5"} <= set(found.files("spectral"))
    kinds = [network.features.what for network in found.encoders().values()]
    assert sorted(kinds) == ["attention", "keys", "tokens"], "FOUND and TokenCut read the same keys"
    learns = plan(deepusps={"labels": ["spectral-tokencut", "rbd-iter0"]}, spectral={"network": VIT})
    assert "spectral-tokencut" in [part.name for part in learns.made]
    assert learns.sources("d", "deepusps-seed0", "", "labels")["spectral-tokencut"].endswith(
        "spectral/tokencut/labels.h5"
    )
    # Tokens of the frozen encoder that a network trains on are the ones that are cut.
    own = plan(systems=["deepusps", "spectral"], network=VIT | {"frozen": True, "features": {"dtype": "int8"}})
    assert len(own.encoders()) == 3
    (attention,) = [network for network in own.encoders().values() if network.features.what == "attention"]
    assert attention.features.dtype == "float16"


def test_variants_of_spectral_labels_share_what_they_do_not_change():
    rows = {
        "tau": {"system": "spectral-tokencut", "config": {"spectral": {"tokencut": {"tau": 0.3}}}},
        "other": {"system": "spectral-tokencut", "config": {"spectral": {"selfment": {"tau": 0.3}}}},
    }
    found = plan({"t": {"title": "T", "rows": rows}}, systems=["spectral"], spectral={"network": VIT})
    assert found.tables.systems("t") == {"tau": ["spectral-tokencut@t.tau"], "other": ["spectral-tokencut"]}


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"systems": ["spectral"]}, "spectral.network: there is none that is frozen; write spectral: {network: {name:"),
        ({"deepusps": {"labels": ["spectral-found"]}}, "spectral.network: there is none that is frozen"),
        ({"spectral": {"network": VIT | {"frozen": False}}, "systems": ["spectral"]}, "there is none that is frozen"),
        (
            {"deepusps": {"labels": ["spectral-found"]}, "network": {**VIT, "name": "resnet50", "frozen": True}},
            "spectral.network: found takes keys of a vision transformer, and resnet50 is none; write spectral:",
        ),
        ({"spectral": {"network": {"name": "timm/test_vit"}}}, "spectral.network: frozen: there is nothing to keep"),
        ({"spectral": {"network": {"nam": 1}}}, "spectral.network.nam: unknown key"),
        ({"spectral": {"recipes": ["lost"]}}, "spectral.recipes.0: must be one of tokencut, selfment, found"),
    ],
)
def test_an_encoder_that_spectral_cannot_look_into_is_refused(keys, line):
    with pytest.raises(UsageError) as caught:
        parse_config(BASE | keys)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_a_vote_is_made_of_any_set_and_learnt_refined_and_distilled_like_other_labels():
    found = plan(systems=["vote"], vote={"labels": ["rbd", "mc-iter2", "ldps-rbd"]})
    assert found.finals == ["vote"] and found.exported == [] and "mc-iter2" in [part.name for part in found.made]
    assert found.sources("t", "vote", "", "maps") == {
        "rbd": "results/t/maps/rbd.h5",
        "mc-iter2": "results/predictions/t/mc-iter2.h5",
        "ldps-rbd": "results/t/ldps/rbd/labels.h5",
    }
    assert found.maps("t", "vote") == "results/t/vote/labels.h5" in found.files("vote")
    learns = plan(
        systems=["deepusps", "ldps", "distil"],
        deepusps={"labels": ["vote"]},
        ldps={"priors": ["vote"]},
        distil={"labels": "vote"},
    )
    assert learns.sources("d", "deepusps-seed0", "", "labels") == {"vote": "results/d/vote/labels.h5"}
    assert [part.name for part in learns.made if part.system != "ldps"] == ["deepusps-seed0", "vote", "distil-round1"]
    rows = {"best": {"system": "vote", "config": {"vote": {"rule": "best"}}}, "same": {"system": "vote"}}
    compared = plan({"t": {"title": "T", "rows": rows}}, systems=["vote"])
    assert compared.tables.systems("t") == {"best": ["vote@t.best"], "same": ["vote"]}
    assert compared.maps("d", "vote@t.best") == "results/d/vote/variants/t.best/labels.h5"


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"systems": ["vote"], "methods": {"rbd": {}}}, "vote.labels: rbd alone cannot vote; name another beside it"),
        ({"deepusps": {"labels": ["vote"]}, "vote": {"labels": ["mc", "mc"]}}, "vote.labels: mc alone cannot vote"),
        ({"vote": {"labels": ["rbd"]}}, "vote.labels: needs 2 or more, has 1"),
        ({"vote": {"labels": ["rbd", "vote"]}}, "vote.labels: no 'vote'; there are rbd, mc"),
        ({"vote": {"labels": ["rbd", "lost"]}}, "vote.labels: no 'lost'; there are rbd, mc"),
        ({"vote": {"labels": ["rbd", "oracle-masks"]}}, "vote.labels: no 'oracle-masks'"),
        (
            {"vote": {"labels": ["rbd", "deepusps-seed0"]}, "deepusps": {"labels": ["vote"]}},
            "deepusps.labels: no 'vote'; there are rbd, mc",
        ),
        ({"vote": {"rule": "all"}}, "vote.rule: must be one of majority, weighted, best, not 'all'"),
        ({"deepusps": {"fuse": {"weights": "some"}}}, "deepusps.fuse.weights: must be one of equal, agreement"),
        ({"methods": {"rbd": {}, "votes": {"function": "mc"}}}, "methods.votes: the workflow uses such names itself"),
    ],
)
def test_a_vote_that_cannot_be_held_is_one_line(keys, line):
    with pytest.raises(UsageError) as caught:
        parse_config(BASE | keys)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_one_method_is_no_fault_where_nothing_is_voted_on():
    assert parse_config(BASE | {"methods": {"rbd": {}}}).voters == ["rbd"]


def test_every_round_learns_the_maps_of_the_one_before_and_the_student_those_of_the_last():
    made = plan(systems=["distil"], deepusps={"seeds": [3]}, distil={"rounds": 2, "student": {"light_width": 8}})
    assert [read.name for name in ("round1", "round2", "student") for read in made.parts[f"distil-{name}"].reads] == [
        "deepusps-seed3",
        "distil-round1",
        "distil-round2",
    ]
    assert made.finals == ["distil-student"]
    source = made.sources("d", "distil-round1", "", "maps")
    assert source == {"deepusps-seed3": "results/predictions/d/deepusps-seed3.h5"}, "after the benchmark's CRF"
    alone = plan(systems=["distil"], distil={"labels": "rbd", "rounds": 1})
    assert [part.name for part in alone.made] == ["distil-round1"] and alone.finals == ["distil-round1"]


def test_distillation_of_nothing_by_nobody_is_one_line():
    with pytest.raises(UsageError, match="distil: neither rounds nor a student"):
        parse_config(BASE | {"systems": ["distil"], "distil": {"rounds": 0}})
    with pytest.raises(UsageError, match="distil.labels: no 'nobody'; there are rbd"):
        parse_config(BASE | {"systems": ["distil"], "distil": {"labels": "nobody"}})
