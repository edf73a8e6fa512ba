"""The checked configuration, and what the rules ask of it. Functions only."""

import json
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

from usod.ablations import Variants, read_ablation
from usod.config import own_images, parse_config
from usod.data.listing import fingerprint
from usod.devices import machine_has_gpu
from usod.errors import UsodError
from usod.provenance import source_files
from usod.sections import CrfConfig, read_yaml

STARTED = time.time()
SCENES = "results/data/scenes"

PRESETS = Path(workflow.basedir) / "workflow/presets/ablations"

try:
    if "images" in config:
        # --config images=FOLDER: not the demo's settings, but those for a folder of one's own.
        preset = read_yaml(PRESETS.parent / "own_images.yaml")
        SETTINGS = parse_config(own_images(config["images"], preset, workflow.config_settings.overwrite_config))
    else:
        SETTINGS = parse_config(config)
    TABLE_FILES = {file.stem: file for file in sorted(PRESETS.glob("*.yaml"))}
    TABLE_FILES |= {Path(name).stem: Path(name) for name in SETTINGS.ablations if name not in TABLE_FILES}
    TABLES = Variants(
        SETTINGS,
        {name: read_ablation(file) for name, file in TABLE_FILES.items()},
        asked=[Path(name).stem for name in SETTINGS.ablations],
    )
except UsodError as error:
    raise WorkflowError(str(error)) from None

for name in dict.fromkeys([SETTINGS.train, *SETTINGS.test]):
    for key in ("root", "masks"):
        folder = getattr(SETTINGS.datasets[name], key)
        if folder not in (None, "demo") and not Path(folder).is_dir():
            raise WorkflowError(f"datasets.{name}.{key}: no folder {folder!r}")

METHODS = list(SETTINGS.methods)
# A variant as part of a path -> its configuration; "" is the configuration itself.
VARIANTS = {f"variants/{name}/" if name else "": settings for name, settings in TABLES.settings.items()}
STAGES = range(SETTINGS.deepusps.refine.iterations + 1)
SEEDS = SETTINGS.deepusps.fuse.seeds


wildcard_constraints:
    dataset="|".join(map(re.escape, SETTINGS.datasets)),
    testset="|".join(map(re.escape, SETTINGS.datasets)),
    method="|".join(map(re.escape, METHODS)),
    stage=r"\d+",
    seed=r"\d+",
    system=r"[^/]+",
    variant="|".join(map(re.escape, VARIANTS)),
    table="|".join(map(re.escape, TABLES.tables)),
    prior="|".join(map(re.escape, SETTINGS.priors + [SETTINGS.ldps.learn_from] * bool(SETTINGS.ldps.learn_from))),


scattergather:
    chunk=SETTINGS.maps.chunks,


def code(*modules):
    """Source files a step runs: as inputs, so that an edit reruns the step. Their content counts, not their date."""
    here = Path.cwd()
    files = source_files(*modules)
    return [str(f.relative_to(here) if f.is_relative_to(here) else f) for f in files]


def as_json(section):
    """A section of the configuration as the JSON that a step's --config takes."""
    return section.model_dump_json()


def gpus(wildcards=None):
    """GPUs of a job that trains or predicts. A cluster profile overrides it with set-resources."""
    if SETTINGS.gpu != "auto":
        return SETTINGS.gpu
    return 1 if machine_has_gpu() else 0


def cores():
    """CPU cores to share out; 8 where none are given, as on a cluster and for a report."""
    try:
        return workflow.cores or 8
    except WorkflowError:
        return 8


def training_threads(jobs):
    """CPU threads of one of `jobs` trainings that can run side by side."""
    return 4 if gpus() else max(1, cores() // jobs)


# ---- data sets


def root(wildcards):
    """Folder of a data set; the bundled scenes where the configuration names none."""
    folder = SETTINGS.datasets[wildcards.dataset].root
    return SCENES if folder == "demo" else folder


def scenes_of(wildcards):
    """The drawing of the scenes comes first where the data set is made of them."""
    return [SCENES] if SETTINGS.datasets[wildcards.dataset].root == "demo" else []


def scene_options():
    """The options of `usod data demo`."""
    kinds = [f"--held-out {kind}" for kind in SETTINGS.scenes.held_out]
    return " ".join([f"--{key} {value}" for key, value in SETTINGS.scenes if key != "held_out"] + kinds)


def files_of(*arguments):
    """Names, sizes and dates of the files of one kind, in short: when one comes, goes or changes they are read again."""
    try:
        return fingerprint(*arguments)
    except UsodError as error:
        return str(error)  # the job that reads the files stops with one line


def listing(kind):
    """The files of a data set's images, or of its masks, for a rule's params."""

    def of(wildcards):
        section = SETTINGS.datasets[wildcards.dataset]
        if section.root == "demo":
            return "scenes"
        return files_of(section.root, kind, section.layout, section.masks)

    return of


def imported_maps(wildcards):
    """Folder or file of maps made elsewhere."""
    return SETTINGS.methods[wildcards.method].maps.replace("{dataset}", wildcards.dataset)


def dataset_options(wildcards):
    section = SETTINGS.datasets[wildcards.dataset]
    options = ["--layout", section.layout]
    options += ["--split", section.split] if section.split else []
    return options + (["--masks", section.masks] if section.masks else [])


def mask_options(wildcards):
    section = SETTINGS.datasets[wildcards.dataset]
    return [*dataset_options(wildcards), "--threshold", str(section.mask_threshold)]


# ---- stages and networks


def labels_before(wildcards):
    """What a stage learns: the handcrafted maps, or the moving average of the stage before."""
    stage, method = int(wildcards.stage), wildcards.method
    return labels_of(wildcards.dataset, shared(f"{method}-iter{stage - 1}", wildcards) if stage else method)


def model_before(wildcards):
    """Handed on by a stage whose labels have settled."""
    stage, method = int(wildcards.stage), wildcards.method
    if stage == 0 or VARIANTS[wildcards.variant].refine_of(method).stable is None:
        return []
    return f"{folder_of(wildcards.dataset, shared(f'{method}-iter{stage - 1}', wildcards))}/model.safetensors"


def fused_files(wildcards):
    """Name -> labels of what the fusion learns, shared with other variants where they are the same."""
    labels = VARIANTS[wildcards.variant].fused_labels
    return {label: labels_of(wildcards.dataset, shared(label, wildcards)) for label in labels}


def oracle_candidates(wildcards):
    """Name -> the refined labels that the oracle chooses from."""
    labels = VARIANTS[wildcards.variant].last_labels
    return {label: labels_of(wildcards.dataset, shared(label, wildcards)) for label in labels}


def oracle_truth(wildcards):
    """The ground truth of the training images; only what is called an oracle asks for it."""
    if not SETTINGS.datasets[wildcards.dataset].has_masks:
        raise WorkflowError(f"oracles learn from masks, and the data set {wildcards.dataset!r} has none")
    return "results/{dataset}/masks.csv"


def weights(network=SETTINGS.network, key="network"):
    """The file of pretrained weights as an input, where the network has one."""
    if not network.weights_are_file:
        return []
    if not Path(network.weights).is_file():
        raise WorkflowError(
            f"{key}.weights: no file {network.weights!r}; give the path of a checkpoint, a name, or none"
        )
    return [network.weights]


def detector_labels(wildcards):
    """What A2S's detector learns: its own first stage, shared with other variants where it is the same, or any labels."""
    labels = VARIANTS[wildcards.variant].a2s.labels
    return labels_of(wildcards.dataset, shared(labels, wildcards) if labels == "a2s-stage1" else labels)


def variant_of(wildcards):
    """The name of the variant in a path; empty for the configuration itself."""
    return wildcards.variant.removeprefix("variants/").removesuffix("/")


def shared(system, wildcards):
    """The name under which a variant's part is made; variants with the same settings share it."""
    return named(system, TABLES.first(system, variant_of(wildcards)))


def named(system, variant):
    return f"{system}@{variant}" if variant else system


def relation_network(prior, variant):
    """The name of the training whose network refines `prior` in a variant."""
    learnt = TABLES.settings[variant].ldps.learn_from or prior
    return named(f"ldps-{learnt}", TABLES.first(f"ldps_train-{learnt}", variant))


def tags_of(wildcards):
    """Where the tags of a data set come from."""
    section = SETTINGS.datasets[wildcards.dataset]
    return section.tags or f"{SCENES}/tags.csv"


def tags_listing(wildcards):
    """Name, size and date of the source of the tags: a change reads them again."""
    section = SETTINGS.datasets[wildcards.dataset]
    source = Path(section.tags or "folders")
    if not source.exists():
        return str(source)
    files = sorted(source.rglob("*.xml")) if source.is_dir() else [source]
    return f"{len(files)} files, {max((int(f.stat().st_mtime) for f in files), default=0)}"


def stage_before(wildcards):
    """Folder of the pretraining or of the round before."""
    stage = int(wildcards.stage)
    before = "pretrain" if stage == 0 else f"iter{stage - 1}"
    return f"results/{wildcards.dataset}/wss/{wildcards.variant}{before}"


# ---- systems that are scored


def fused_labels():
    """What the fusion learns."""
    return SETTINGS.fused_labels


def refined_methods():
    """The methods whose stages are trained: all, or those that the fusion is told to learn."""
    if SETTINGS.deepusps.labels is None:
        return METHODS
    return [method for method in METHODS if any(label.startswith(f"{method}-iter") for label in fused_labels())]


def label_systems():
    if "deepusps" not in SETTINGS.systems:
        return []
    return [f"{method}-iter{stage}" for method in refined_methods() for stage in STAGES]


def fused_systems():
    return [f"deepusps-seed{seed}" for seed in SEEDS] if "deepusps" in SETTINGS.systems else []


def a2s_systems():
    """A2S's stages, as far as they are needed."""
    if "a2s" in SETTINGS.systems:
        return ["a2s-stage1", "a2s-stage2"]
    learnt = fused_labels()
    if "a2s-stage2" in learnt:
        return ["a2s-stage1", "a2s-stage2"] if SETTINGS.a2s.labels == "a2s-stage1" else ["a2s-stage2"]
    return ["a2s-stage1"] if "a2s-stage1" in learnt else []


def wss_systems():
    """WSS's pretraining and its rounds."""
    rounds = [f"wss-iter{k}" for k in range(SETTINGS.wss.rounds)]
    return ["wss-pretrain", *rounds] if "wss" in SETTINGS.systems else []


def ldps_systems():
    return [f"ldps-{prior}" for prior in SETTINGS.priors] if "ldps" in SETTINGS.systems else []


def relation_networks():
    """The trainings of LDPS: one for each prior, or one for all."""
    learnt = [SETTINGS.ldps.learn_from] if SETTINGS.ldps.learn_from else SETTINGS.priors
    return [f"ldps-{prior}" for prior in learnt] if "ldps" in SETTINGS.systems else []


def trained_systems():
    """Everything that has a network of its own."""
    return label_systems() + fused_systems() + a2s_systems() + wss_systems() + relation_networks()


def final_systems():
    """The networks that the systems end with."""
    last = (a2s_systems()[-1:] if "a2s" in SETTINGS.systems else []) + wss_systems()[-1:]
    return fused_systems() + last + ldps_systems()


def systems_of(testset):
    """Everything scored on one set: maps, the stages' labels or networks, the fused networks."""
    stages = label_systems() if SETTINGS.benchmark.stages or testset == SETTINGS.train else []
    return METHODS + stages + fused_systems() + a2s_systems() + wss_systems() + ldps_systems()


def scored_sets():
    """The test sets, and the training set where its labels can be compared with masks."""
    train = [SETTINGS.train] if SETTINGS.datasets[SETTINGS.train].has_masks else []
    return list(dict.fromkeys(SETTINGS.test + train))


def score_files(testset):
    return [f"results/scores/{testset}/{system}.json" for system in systems_of(testset)]


def shown_systems(testset):
    """Columns of the pictures: each method's map and its last stage, then the fused network."""
    pairs = [(method, f"{method}-iter{STAGES[-1]}") for method in METHODS]
    shown = [s for pair in pairs for s in pair if s in systems_of(testset)]
    return shown + fused_systems()[:1] + a2s_systems() + wss_systems() + ldps_systems()


def model_of(wildcards):
    """The network behind a system's name."""
    system = wildcards.system.removeprefix("raw-")
    name, _, variant = system.partition("@")
    if system not in trained_systems() and not (variant in TABLES.settings and TABLES.has(name, variant)):
        raise WorkflowError(f"no system {system!r}; there are {', '.join(systems_of(wildcards.testset))}")
    return f"{folder_of(SETTINGS.train, system)}/model.safetensors"


def folder_of(dataset, system):
    """Where a training leaves its network, its history and its labels."""
    if system.startswith("a2s-"):
        stage, _, variant = system.removeprefix("a2s-").partition("@")
        return f"results/{dataset}/a2s/{f'variants/{variant}/' if variant else ''}{stage}"
    if system.startswith("wss-"):
        stage, _, variant = system.removeprefix("wss-").partition("@")
        return f"results/{dataset}/wss/{f'variants/{variant}/' if variant else ''}{stage}"
    if system.startswith("ldps"):
        kind, _, prior = system.partition("-")
        prior, _, variant = prior.partition("@")
        return f"results/{dataset}/{kind}/{f'variants/{variant}/' if variant else ''}{prior}"
    name, _, variant = system.partition("@")
    folder = f"results/{dataset}/deepusps/{f'variants/{variant}/' if variant else ''}"
    if name.startswith("deepusps-seed"):
        return f"{folder}fusion/{name.removeprefix('deepusps-')}"
    method, _, stage = name.rpartition("-iter")
    return f"{folder}{method}/iter{stage}"


def maps_of(testset, system):
    """The maps that a system's score is about: its own, the stage's labels on the training set, or predictions."""
    if system.startswith("ldps"):
        return f"{folder_of(testset, system)}/labels.h5"
    if system in METHODS or (testset == SETTINGS.train and (system in label_systems() or system.startswith("a2s-"))):
        return labels_of(testset, system)
    return f"results/scores/{testset}/{system}.h5"


def labels_of(dataset, name):
    """The MapStore that something can learn from: the maps of a method, or the labels that a training leaves."""
    if name in METHODS:
        return f"results/{dataset}/maps/{name}.h5"
    if name.startswith("oracle-"):
        kind, _, variant = name.removeprefix("oracle-").partition("@")
        return f"results/{dataset}/oracle/{f'variants/{variant}/' if variant else ''}{kind}.h5"
    return f"{folder_of(dataset, name)}/labels.h5"


def published_table():
    """The published table of the first system that there is; its paper's F is the table's F."""
    tables = {"deepusps": "deepusps_table1", "a2s": "a2s_table2", "wss": "wss_table1", "ldps": "ldps_table1"}
    return next(table for system, table in tables.items() if system in SETTINGS.systems)


# ---- what the workflow says at its end


def print_where_to_look():
    table = Path(f"results/report/scores-{SETTINGS.test[0]}.md") if SETTINGS.test else None
    if table and table.exists():
        print(f"\n{table}\n\n{table.read_text(encoding='utf-8')}", file=sys.stderr)
    if Path("results/report").is_dir():
        print("Tables and figures: results/report; all in one page: snakemake --report report.html", file=sys.stderr)


def print_errors_of_jobs():
    """The one line of each job that failed in this run; it would be buried in the jobs' logs otherwise."""
    for log in sorted(Path("results/logs").rglob("*.log")):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        if log.stat().st_mtime >= STARTED and lines:
            errors = [line for line in lines if line.startswith("usod: error:")]
            if not errors and any(line.startswith("Traceback") or "command not found" in line for line in lines):
                errors = lines[-1:]
            for line in errors:
                print(f"{log}: {line}", file=sys.stderr)
