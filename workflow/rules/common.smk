"""The checked configuration, and what the rules ask of it. Functions only."""

import hashlib
import json
import os
import subprocess
import time
from functools import wraps
from pathlib import Path
from typing import get_args

from snakemake.exceptions import WorkflowError
from snakemake.io import get_flag_value

from usod.settings.ablations import Variants, check_table_names, find_tables, read_ablation
from usod.settings.config import own_images, parse_config
from usod.data.listing import fingerprint
from usod.devices import DETERMINISTIC, machine_has_gpu
from usod.errors import UsageError, UsodError
from usod.heartbeat import PLACE, forget, gather
from usod.folders import absolute, below_here, require_folder
from usod.models.sources import missing_file
from usod.plan import Plan
from usod.provenance import code_digest as code, lead_to_usod
from usod.reporting.contents import contents, figures, first_pictures, report_path
from usod.reporting.templates import look
from usod.settings.sections import CrfConfig, read_yaml
from usod.settings.base import deep_merge
from usod.settings.names import F_OF_PROTOCOL, LabelFormat
from usod.running.supervise import tell_places
from usod.systems.names import RAW, SystemName, variant_folder, variant_in

STARTED = time.time()
PRESETS = (
    *("a2s", "a2s_as_released", "a2s_imagenet", "a2s_v2", "a2s_v3"),
    *("deepusps", "deepusps_as_released", "ldps", "ldps_as_released", "ldps_handcrafted"),
    *("own_images", "own_images_small", "smoke", "spectral", "wss", "wss_as_released", "wss_scenes"),
)
# The tables of variants, in their order: later ones share what earlier ones train.
ABLATIONS = (
    *("a2s_figure9", "a2s_table4", "a2s_table5", "a2s_table6", "a2s_table7", "a2s_table8"),
    *("a2s_figure7", "a2s_figure10"),
    *("deepusps_crf", "deepusps_table2", "deepusps_table3", "deepusps_figure5"),
    *("ldps_table1", "ldps_table2", "ldps_table3", "ldps_table4", "ldps_table5"),
    *("wss_figure2", "wss_figure6"),
)

# Of memory for a training that can read from a file: the images of ImageNet DET at 256 pixels alone are 90 GB.
ENOUGH_MB = 64_000

lead_to_usod(workflow.resource_settings.cores)
gather(Path(PLACE))


def one_line(function):
    """The function, its UsodErrors turned into WorkflowErrors, which Snakemake prints as one line."""

    @wraps(function)
    def asked(*arguments, **named):
        try:
            return function(*arguments, **named)
        except UsodError as error:
            raise WorkflowError(str(error)) from None

    return asked


def preset(name):
    """The values of a preset: one that comes with the workflow, or a YAML file."""
    if name in PRESETS:
        return read_yaml(workflow.source_path(f"../presets/{name}.yaml"))
    if not Path(name).is_file():
        raise UsageError(f"preset={name}: no such file ({Path(name).absolute()}), nor one of {', '.join(PRESETS)}")
    return read_yaml(name)


def settings():
    """The configuration in force: a preset if one is named, the user's keys over it, the user's images as the data."""
    own = dict(config)
    if "images" in own:
        return own_images(own["images"], preset(own.pop("preset", "own_images")), own)
    return deep_merge(preset(own.pop("preset")), own) if "preset" in own else own


try:
    SETTINGS = parse_config(settings())
    known = {name: workflow.source_path(f"../presets/ablations/{name}.yaml") for name in ABLATIONS}
    TABLE_FILES = find_tables(SETTINGS.ablations, known, SETTINGS.registry)
    TABLES = Variants(
        SETTINGS,
        {name: read_ablation(file, SETTINGS.registry) for name, file in TABLE_FILES.items()},
        asked=[Path(name).stem for name in SETTINGS.ablations],
    )
    PLAN = Plan(TABLES)
    SETTINGS.check_paths(PLAN.tested)
except UsodError as error:
    raise WorkflowError(str(error)) from None

if SETTINGS.deterministic:
    # Jobs inherit it. A job on another machine reads this file, too.
    os.environ[DETERMINISTIC] = "1"

METHODS = list(SETTINGS.methods)


class Known(dict):
    """Settings by name; a name that nothing has ends the workflow with one line."""

    def __missing__(self, name):
        raise WorkflowError(f"{name}: no table of variants has such a row")


LABEL_FORMATS = get_args(LabelFormat)
# A variant as part of a path -> its configuration; "" is the configuration itself.
VARIANTS = Known({variant_folder(name): settings for name, settings in TABLES.settings.items()})


# Data sets that are folders; the others are several of them together.
SINGLE = "|".join(re.escape(name) for name, section in SETTINGS.datasets.items() if not section.of) or "(?!)"
JOINED = "|".join(re.escape(name) for name, section in SETTINGS.datasets.items() if section.of) or "(?!)"


wildcard_constraints:
    dataset="|".join(map(re.escape, SETTINGS.datasets)),
    testset="|".join(map(re.escape, SETTINGS.datasets)),
    method="|".join(map(re.escape, METHODS)),
    stage=r"\d+",
    seed=r"\d+",
    system=r"[^/]+",
    # Not the hundred names that there are: every pattern with a variant would be compiled with them.
    variant="(variants/[^/]+/)?",
    table="|".join(map(re.escape, TABLES.tables)),


scattergather:
    chunk=SETTINGS.maps.chunks,


def as_json(section):
    """A section of the configuration as the JSON that a step's --config takes."""
    return section.model_dump_json()


def gpus(wildcards=None):
    """GPUs of a job that trains or predicts: one where jobs run on other machines, else one if this machine has any."""
    if SETTINGS.gpu != "auto":
        return SETTINGS.gpu
    return 1 if workflow.non_local_exec or machine_has_gpu() else 0


def cores():
    """CPU cores to share out; 8 where none are given, as on a cluster and for a report."""
    try:
        return workflow.cores or 8
    except WorkflowError:
        return 8


def training_threads(jobs):
    """CPU threads of one of `jobs` trainings that can run side by side; a function, as the executor is not known yet."""
    return lambda wildcards: 4 if gpus() else max(1, cores() // jobs)


def memory(wildcards, input, attempt, rulename):
    """MB of a job with a network: PyTorch and CUDA in each of its processes, and what it keeps of every image.

    Images, labels and moving averages take 12 bytes a pixel at most, 4 times the bytes of the images. The stores are
    compressed by a fifth on photographs. Features are read as they are wanted, or kept where there is room. More after
    a failure, which may have been this.
    """
    asked = workflow.resource_settings.overwrite_resources.get(rulename, {})
    processes = max(1, int(asked["gpu"].value)) if "gpu" in asked else 1
    kept = Path(str(input.get("features") or ""))
    read = kept.stat().st_size / 1e6 if kept.is_file() else 0
    return int(8000 * processes + 5 * max(0, input.size_mb - read)) * attempt


def bounded_memory(wildcards, input, attempt, rulename):
    """MB of a job that can do with less than `memory`: it keeps images and labels alone, or reads image by image.

    What does not fit is read from a file beside the inputs (`usod.memory.room`).
    """
    return min(memory(wildcards, input, 1, rulename), ENOUGH_MB) * attempt


def pairs(option, names, files):
    """`--option NAME=FILE` for every file, as a list of words."""
    return [word for name, file in zip(names, files, strict=True) for word in (option, f"{name}={file}")]


# ---- stages and networks


def weights_name(network):
    """The name of a network's weights below results/weights."""
    words = [network.name, network.weights]
    if network.weights_are_file:
        # Two files of one name in different folders.
        words = [network.name, Path(network.weights).stem, hashlib.sha256(network.weights.encode()).hexdigest()[:8]]
    return re.sub(r"[^\w.-]", "-", ".".join(words))


# Name below results/weights -> a network that starts from them.
WEIGHTS = {
    weights_name(network): network
    for settings in VARIANTS.values()
    for system in SETTINGS.registry.values()
    for network in system.networks(settings).values()
    if network.weights != "none"
}


def weights(network, key="network"):
    """The file of pretrained weights that a training reads, where the network has one; see rule bring_weights."""
    if network.weights == "none":
        return []
    if network.weights_are_file and not Path(network.weights).is_file():
        raise WorkflowError(f"{key}.weights: {missing_file(network.weights)}")
    return f"results/weights/{weights_name(network)}.weights"


# A file that is not there stops the workflow before any work.
for system in SETTINGS.systems:
    for key, network in SETTINGS.registry[system].networks(SETTINGS).items():
        weights(network, key)


def weights_option(wildcards, input):
    """The option that makes a job read the file of rule bring_weights, whatever the network's settings name."""
    return ["--weights", input.weights] if input.weights else []


# Name below results/DATASET/features -> a network with that frozen encoder.
ENCODERS = PLAN.encoders()


def features(network_of, dataset="dataset"):
    """The features of a frozen encoder, of the network that a function of the wildcards gives; nothing where it learns."""

    def of(wildcards):
        network = network_of(wildcards)
        return PLAN.features(wildcards[dataset], network) if network and network.frozen else []

    return of


def features_option(wildcards, input):
    """Where a job reads the features of its network's frozen encoder."""
    return ["--features", input.features] if input.features else []


def own_weights(wildcards):
    """The user's own file of weights."""
    network = WEIGHTS[wildcards.weights]
    return local(network.weights) if network.weights_are_file else []


def weights_json(wildcards):
    """The settings that decide which weights a network has."""
    return WEIGHTS[wildcards.weights].model_dump_json(include={"name", "weights", "weights_labels"})


def download_weights():
    """Download published weights into the cache before any job, or end the run with one line.

    A job that fails does not stop the others where they are to be kept going: without internet all maps would be made
    before the trainings fail.
    """
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "bring_weights" and not job.input:
            call = [sys.executable, "-m", "usod", "weights", "bring", "--network", weights_json(job.wildcards)]
            done = subprocess.run(call, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                lines = done.stderr.strip().splitlines() or ["usod weights bring failed"]
                raise WorkflowError(lines[-1].removeprefix("usod: error: "))


@one_line
def maps_of(testset, system):
    """The maps that a system's score is about."""
    return PLAN.maps(testset, system)


@one_line
def shared_maps_of(wildcards):
    """The same, of the first variant that makes them so: a variant may differ in what is done to the maps alone."""
    name = PLAN.name(wildcards.system)
    return maps_of(wildcards.testset, TABLES.shared(str(name.of("")), name.variant))


@one_line
def model_of(wildcards):
    """The network behind a system's name."""
    return PLAN.model(wildcards.system)


def reads(what, part):
    """The files of one kind, `labels`, `maps` or `model`, that a part is made from; its name has wildcards."""
    return lambda wildcards: list(sources(wildcards, what, part).values())


@one_line
def sources(wildcards, what, part):
    """Name -> file that a part of the wildcards' variant is made from; variants with equal settings share it."""
    name = part.format_map(dict(wildcards.items()))
    return PLAN.sources(wildcards.dataset, name, variant_in(wildcards.variant), what)


# ---- what the workflow says at its end


def print_where_to_look():
    table = Path(f"results/report/scores-{SETTINGS.test[0]}.md") if SETTINGS.test else None
    if table and table.exists():
        print(f"\n{table}\n\n{table.read_text(encoding='utf-8')}", file=sys.stderr)
    for what, place in places():
        if Path(place).exists():
            print(f"{what}: {place}", file=sys.stderr)


def places():
    """What a user looks for at the end, and where it is."""
    found = [("Masks", PLAN.masks(SETTINGS.train, system)) for system in PLAN.finals]
    found += [("Model", model) for model in PLAN.models]
    found += [("Gallery", "results/report/gallery/index.html")] if SETTINGS.report.gallery else []
    return [*found, ("Report", "results/report/report.html")]


def print_errors_of_jobs():
    """The one line of each job that failed in this run; it would be buried in the jobs' logs otherwise."""
    told = set()
    for log in sorted(log for place in results() for log in Path(place, "logs").rglob("*.log")):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        if log.stat().st_mtime >= STARTED and lines:
            errors = [line for line in lines if line.startswith("usod: error:")]
            if not errors and any(line.startswith("Traceback") or "command not found" in line for line in lines):
                errors = lines[-1:]
            for line in errors:
                if line not in told:  # a storage has a copy of each log
                    print(f"{log}: {line}", file=sys.stderr)
                told.add(line)
