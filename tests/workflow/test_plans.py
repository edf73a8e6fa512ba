"""What the rules ask of the verbs, read off one dry run in which every system and most settings are unusual."""

import json
import re
import shlex
from collections import defaultdict
from typing import NamedTuple

import pytest
import typer.main
import yaml

from usod.cli import app
from usod.settings.ablations import Variants, read_ablation
from usod.settings.config import parse_config

from .conftest import ROOT, TINY, Project

pytestmark = pytest.mark.workflow

TABLE = {
    "title": "Mine",
    "rows": {
        "longer": {"system": "deepusps", "config": {"deepusps": {"fuse": {"epochs": 3}}}},
        "small median": {"system": "a2s-stage1", "config": {"a2s": {"pseudo_labels": {"median": 3}}}},
        "second": {"system": "a2s-stage2", "config": {"a2s": {"stage2": {"keep": 0.7}}}},
        "trusting": {"system": "wss-iter1", "config": {"wss": {"selftrain": {"delta": 0.5}}}},
        "raw": {"system": "raw-deepusps-seed0"},
        "sharp": {"system": "crf-rbd"},
        "oracle": {"system": "deepusps", "config": {"deepusps": {"labels": ["oracle-labels", "oracle-masks"]}}},
    },
}
CONFIG = TINY | {
    "datasets": TINY["datasets"]
    | {
        "photos": {
            **{"root": "photos", "masks": "marks", "mask_threshold": 0.3},
            **{"tags": "tags.csv", "only_tags": ["dog"], "without_tags": ["cat", "cow"]},
        },
        "known": {"root": "known", "split": "train+val", "published_as": "ECSSD", "rights": "CC0"},
    },
    "test": ["demo-test", "photos", "known"],
    "scenes": {**TINY["scenes"], "seed": 5, "held_out": ["star"]},
    "maps": {"chunks": 1, "max_side": 320},
    "methods": {
        "rbd": {},
        "ours": {"function": "mc", "params": {"n_segments": 150}, "refine": {"epochs": 2}},
        "theirs": {"maps": "priors/{dataset}", "labels": "masks"},
    },
    "systems": ["deepusps", "a2s", "ldps", "wss", "vote", "distil"],
    "deepusps": {**TINY["deepusps"], "labels": ["rbd-iter1", "theirs"], "seeds": [0, 3]},
    "a2s": {**TINY["a2s"], "labels": "ours-iter1"},
    "ldps": {**TINY["ldps"], "learn_from": "rbd-iter1", "merge": {"theta_fg": 0.7}},
    "wss": {**TINY["wss"], "rounds": 2},
    "distil": {
        **{"rounds": 2, "round": {"epochs": 2}, "learn": {"epochs": 3}},
        "student": {"name": "light", "light_width": 16},
    },
    "benchmark": {"stages": False, "crf": {"iterations": 3}, "batch_size": 7, "protocols": ["own", "ldps"]},
    "report": {"examples": 2, "mask_threshold": "adaptive"},
    "ablations": ["mine.yaml"],
}


class Job(NamedTuple):
    rule: str
    inputs: list[str]
    output: list[str]
    wildcards: dict[str, str]
    words: list[str]

    def option(self, name: str) -> str:
        return self.words[self.words.index(name) + 1]

    @property
    def verb(self) -> str:
        """`deepusps refine`: the words of the command line that name it."""
        own = self.words[self.words.index("--") + 1 :] if self.words[1:3] == ["devices", "run"] else self.words
        return " ".join(own[1:3] if hasattr(COMMANDS.commands[own[1]], "commands") else own[1:2])


COMMANDS = typer.main.get_command(app)


def _jobs(text: str) -> list[Job]:
    found = []
    for block in re.split(r"^(?:local)?rule ", text, flags=re.MULTILINE)[1:]:
        command = re.search(r"^Shell command: (.*) > \S+ 2>&1$", block, re.MULTILINE)
        if command:
            said = dict(re.findall(r"^    (\w+): (.*)$", block, re.MULTILINE))
            wildcards = dict(pair.split("=", 1) for pair in said.get("wildcards", "").split(", ") if pair)
            files = [re.sub(r" \(.*?\)", "", said.get(key, "")).split(", ") for key in ("input", "output")]
            words = shlex.split(command[1])
            found.append(Job(block.partition(":")[0], *(list(filter(None, f)) for f in files), wildcards, words))
    return found


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> list[Job]:
    project = Project(tmp_path_factory.mktemp("plan"))
    project.configure(CONFIG)
    for folder in ("photos", "marks", "known", *(f"priors/{name}" for name in CONFIG["datasets"])):
        (project.folder / folder).mkdir(parents=True)
    (project.folder / "tags.csv").write_text("id,tags\n")
    (project.folder / "mine.yaml").write_text(yaml.safe_dump(TABLE))
    done = project.snakemake("--dry-run", "--printshellcmds", "all", "export")
    assert done.returncode == 0, done.stdout
    return _jobs(done.stdout)


@pytest.fixture(scope="module")
def variants(tmp_path_factory) -> Variants:
    table = tmp_path_factory.mktemp("table") / "mine.yaml"
    table.write_text(yaml.safe_dump(TABLE))
    return Variants(parse_config(CONFIG), {"mine": read_ablation(table)})


def _of(plan: list[Job], rule: str) -> list[Job]:
    found = [job for job in plan if job.rule == rule]
    assert found, rule
    return found


def test_every_file_of_a_job_stands_in_its_command(plan):
    """But for drawn scenes, whose files the index names, and what only has to be there before."""
    for job in plan:
        said = " ".join(job.words)
        silent = {"results/data/scenes"} if job.rule != "draw_scenes" else set()
        if job.rule != "sum_costs":  # it reads the records of all jobs
            assert set(job.inputs) - silent <= {file for file in job.inputs if file in said}, job.rule
        cards = {job.output[0].replace(".onnx", ".md")} if job.rule == "export_model" else set()
        assert set(job.output) - cards <= {file for file in job.output if file in said}, job.rule


# Options that say how to work, not what comes out, and those that this configuration has no use for.
LEFT_OUT = {
    "--quiet",
    *("--device", "--work", "--weights", "--features", "--crf-memory-gb", "--model-before"),
    *("--corrections", "--without", "--part"),  # test_corrections.py has them
    *("--only", "--count"),
}
LEFT_OUT_OF = {
    "evaluate": {"--masks", "--threshold", "--skip-empty"},
    "crf refine": {"--backend", "--batch", "--index"},
    "vote make": {"--labels", "--soft"},
    "report watched": {"--beside", "--epochs", "--masks"},
    "ldps refine": {"--batch"},
    "predict": {
        *("--type", "--threshold", "--smallest", "--fill", "--edges", "--overwrite"),
        *("--alpha", "--skip-empty", "--empty-above", "--video", "--smooth"),
    },
    "export": {"--rembg"},
    "maps export": {"--working-size"},
    "maps agree": {"--arrays", "--given", "--side"},
    "report training": {"--column"},
}


def test_no_option_of_a_verb_is_forgotten(plan):
    """Its rule would leave it at the command line's default, whatever the configuration says."""
    used = defaultdict(set)
    for job in plan:
        used[job.verb] |= {word for word in job.words if word.startswith("--")}
    forgotten = {}
    for verb, words in used.items():
        command = COMMANDS
        for name in verb.split():
            command = command.commands[name]
        options = {next((word for word in option.opts if word.startswith("--")), "") for option in command.params}
        if (left := options - words - LEFT_OUT - {""}) != LEFT_OUT_OF.get(verb, set()):
            forgotten[verb] = left
    assert forgotten == {}


def test_every_step_is_told_its_own_section_of_its_own_variant(plan, variants):
    crf = variants.settings[""].benchmark.crf
    sections = {
        "a2s_stage1": lambda s, w: {"--config": s.a2s.stage1, "--network": s.encoder},
        "a2s_labels": lambda s, w: {"--config": s.a2s.pseudo_labels},
        "a2s_stage2": lambda s, w: {"--config": s.a2s.stage2, "--network": s.detector},
        "refine_labels": lambda s, w: {
            "--config": s.refine_of(w["method"]).of_stage(int(w["stage"])),
            "--network": s.network,
        },
        "fuse_labels": lambda s, w: {"--config": s.deepusps.fuse, "--network": s.network},
        "train_relations": lambda s, w: {"--config": s.ldps.train, "--network": s.relation},
        "refine_prior": lambda s, w: {"--merge": s.ldps.merge},
        "learn_tags": lambda s, w: {"--config": s.wss.pretrain, "--network": s.tagger},
        "estimate_labels": lambda s, w: {"--config": s.wss.crf},
        "learn_estimates": lambda s, w: {"--config": s.wss.selftrain},
        "distil_maps": lambda s, w: {
            "--config": s.distil.learn if w["distilled"] == "student" else s.distil.round,
            "--network": s.student_network if w["distilled"] == "student" else s.round_network,
        },
        "refine_with_crf": lambda s, w: {"--config": crf},
        "keep_crf": lambda s, w: {"--crf": crf},
    }
    for rule, told in sections.items():
        for job in _of(plan, rule):
            variant = job.wildcards.get("variant", "").removeprefix("variants/").removesuffix("/")
            for option, section in told(variants.settings[variant], job.wildcards).items():
                assert json.loads(job.option(option)) == section.model_dump(mode="json"), f"{rule} {option} {variant}"
    for job in _of(plan, "predict_maps"):
        said = job.option("--crf")
        assert said == "none" if job.wildcards["system"].startswith("raw-") else json.loads(said) == crf.model_dump()


def test_small_settings_reach_their_verbs(plan):
    (extracted,) = (job for job in _of(plan, "extract_maps") if job.output[0].startswith("results/demo/maps/ours"))
    assert extracted.words[3] == "mc" and json.loads(extracted.option("--params")) == {"n_segments": 150}
    assert {job.option("--max-side") for job in _of(plan, "extract_maps")} == {"320"}
    assert {job.option("--size") for job in _of(plan, "decode_images")} == {"48"}
    assert {job.option("--labels") for job in _of(plan, "import_maps")} == {"masks"}
    assert {(job.wildcards["seed"], job.option("--seed")) for job in _of(plan, "fuse_labels")} == {
        ("0", "0"),
        ("3", "3"),
    }
    assert {(job.wildcards["stage"], job.option("--stage")) for job in _of(plan, "refine_labels")} == {
        ("0", "0"),
        ("1", "1"),
    }
    assert {(job.wildcards["again"], job.option("--seed")) for job in _of(plan, "refine_labels")} == {
        ("", "0"),
        ("-seed3", "3"),
    }
    assert {job.option("--crf") for job in _of(plan, "predict_foreground")} == {"none"}
    assert {job.option("--batch") for job in _of(plan, "predict_maps")} == {"7"}
    assert {job.option("--threshold") for job in _of(plan, "export_masks")} == {"adaptive"}
    for job in _of(plan, "score_maps"):
        assert [job.words[i + 1] for i, word in enumerate(job.words) if word == "--protocol"] == ["own", "ldps"]
    (drawn,) = _of(plan, "draw_scenes")
    assert drawn.words[5:] == ["--train", "10", "--test", "4", "--size", "64", "--seed", "5", "--held-out", "star"]
    (student,) = (job for job in _of(plan, "distil_maps") if "--student" in job.words)
    assert student.wildcards["distilled"] == "student"
    (fused,) = (
        job for job in _of(plan, "fuse_labels") if job.wildcards == {"dataset": "demo", "variant": "", "seed": "0"}
    )
    assert "theirs=results/demo/maps/theirs.h5" in fused.words[fused.words.index("--maps") + 1]
    assert fused.option("--labels") == "rbd-iter1=results/demo/deepusps/rbd/iter1/labels.h5"
    assert set(json.loads(fused.option("--binarise"))) == {"theirs"}


def test_a_data_sets_settings_reach_the_verbs_that_read_its_files(plan):
    told = {
        (job.rule, job.wildcards["dataset"]): " ".join(job.words[3 : job.words.index("--out")])
        for rule in ("index_images", "index_masks")
        for job in _of(plan, rule)
    }
    results = re.search(r"--without (\S+)", told["index_images", "photos"])[1]
    tags = "--tags tags.csv --only-tag dog --without-tag cat --without-tag cow"
    photos = f"photos --layout auto --without {results} --masks marks"
    known = f"known --layout auto --split train+val --without {results}"
    assert results.endswith("results")
    assert told["index_images", "photos"] == f"{photos} {tags}"
    assert told["index_masks", "photos"] == f"{photos} --threshold 0.3 {tags}"
    assert told["index_images", "known"] == f"{known} --published-as ECSSD --rights CC0"
    assert told["index_masks", "known"] == f"{known} --threshold 0.5"
    assert told["index_images", "demo"] == "results/data/scenes --layout auto --split train"


def test_what_is_made_from_what(plan):
    """Of the training images, beside the images themselves: labels, maps and models, by their places."""
    made = {
        name: [file for file in job.inputs if re.search(r"\.(h5|safetensors)$", file) and "images.h5" not in file]
        for job in plan
        for name in job.output
    }
    at, deep, wss = "results/demo", "results/demo/deepusps", "results/demo/wss"
    expected = {
        f"{deep}/ours/iter0/labels.h5": [f"{at}/maps/ours.h5"],
        f"{deep}/ours/iter1-seed3/labels.h5": [f"{deep}/ours/iter0-seed3/labels.h5"],
        f"{deep}/fusion/seed3/model.safetensors": [f"{deep}/rbd/iter1-seed3/labels.h5", f"{at}/maps/theirs.h5"],
        f"{deep}/variants/mine.oracle/fusion/seed3/model.safetensors": [
            f"{at}/oracle/labels-seed3.h5",
            f"{at}/oracle/masks.h5",
        ],
        f"{at}/a2s/stage2/model.safetensors": [f"{deep}/ours/iter1/labels.h5"],
        "results/photos/a2s/variants/mine.small-median/stage1/labels.h5": [f"{at}/a2s/stage1/model.safetensors"],
        f"{at}/ldps/rbd-iter1/model.safetensors": [f"{deep}/rbd/iter1/labels.h5"],
        "results/known/ldps/ours/labels.h5": ["results/known/maps/ours.h5", f"{at}/ldps/rbd-iter1/model.safetensors"],
        f"{wss}/iter0/maps.h5": [f"{wss}/pretrain/model.safetensors"],
        f"{wss}/iter1/model.safetensors": [f"{wss}/iter1/labels.h5", f"{wss}/iter0/model.safetensors"],
        f"{wss}/variants/mine.trusting/iter1/maps.h5": [f"{wss}/variants/mine.trusting/iter0/model.safetensors"],
        f"{at}/distil/round1/model.safetensors": ["results/predictions/demo/deepusps-seed0.h5"],
        f"{at}/distil/student/model.safetensors": ["results/predictions/demo/distil-round2.h5"],
        "results/known/vote/labels.h5": [f"results/known/maps/{name}.h5" for name in ("ours", "rbd", "theirs")],
        "results/predictions/known/crf-rbd.h5": ["results/known/maps/rbd.h5"],
        "results/predictions/photos/raw-deepusps-seed0.h5": [f"{deep}/fusion/seed0/model.safetensors"],
        "results/predictions/known/a2s-stage2@mine.second.h5": [
            f"{at}/a2s/variants/mine.second/stage2/model.safetensors"
        ],
    }
    assert {name: made[name] for name in expected} == expected


def test_who_opens_listed_photographs_or_masks_waits_for_the_drawn_ones(plan):
    lists = {f"results/{name}/{kind}.csv" for name in ("demo", "demo-test") for kind in ("index", "masks")}
    reading = [job for job in plan if lists.intersection(job.inputs)]
    ids_alone = {job.rule for job in reading if "results/data/scenes" not in job.inputs}
    assert ids_alone == {"export_model", "import_maps", "merge_maps", "rank_doubts", "write_provenance"}


@pytest.mark.parametrize(
    ("file", "rule", "param"),
    [
        ("data", "index_images", 'listing=listing("images")'),
        ("data", "index_masks", 'listing=listing("masks")'),
        ("maps", "import_maps", 'files_of(imported_maps(wildcards), "maps")'),
        ("maps", "extract_maps", "usod.handcrafted._{SETTINGS.function_of(wildcards.method)}"),
        ("wss", "index_tags", "listing=tags_listing"),
    ],
)
def test_what_is_in_no_command_reruns_its_rule(file, rule, param):
    """Names, sizes and dates of a user's files, and the code of one method, are parameters for that alone."""
    text = (ROOT / f"workflow/rules/{file}.smk").read_text(encoding="utf-8")
    (block,) = re.findall(rf"^rule {rule}:.*?(?=^rule |\Z)", text, re.MULTILINE | re.DOTALL)
    assert param in block.partition("shell:")[0]
