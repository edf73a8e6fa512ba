"""The systems that are trained and scored: their names and their files. Functions only."""


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


def networks_of(testset):
    """What is scored on one set and comes from a network."""
    return [system for system in systems_of(testset) if system not in METHODS]


def model_file(system):
    """The network behind a system, whose name may be that of a variant."""
    if system.startswith("ldps-"):
        prior, _, variant = system.removeprefix("ldps-").partition("@")
        system = relation_network(prior, variant)
    return f"{folder_of(SETTINGS.train, system)}/model.safetensors"


def masks_of(dataset, system):
    """The folder of a system's masks."""
    return f"results/masks/{dataset}/{system}"


def model_of(wildcards):
    """The network behind a system's name."""
    system = wildcards.system.removeprefix("raw-")
    name, _, variant = system.partition("@")
    if system not in trained_systems() and not (variant in TABLES.settings and TABLES.has(name, variant)):
        raise WorkflowError(f"no system {system!r}; there are {', '.join(systems_of(wildcards.testset))}")
    return model_file(system)


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
