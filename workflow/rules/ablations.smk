"""Tables of variants (workflow/presets/ablations, or one's own), each with a target of its name."""


def ablations():
    """The tables that belong to `all`."""
    return [Path(name).stem for name in SETTINGS.ablations]


def scored_on(table):
    """The data sets of a table."""
    if TABLES.tables[table].score == "test":
        return SETTINGS.test
    if not SETTINGS.datasets[SETTINGS.train].has_masks:
        raise WorkflowError(f"{table}: scores labels of the training set {SETTINGS.train!r}, which has no masks")
    return [SETTINGS.train]


def ablation_scores(wildcards):
    systems = TABLES.systems(wildcards.table).values()
    sets = scored_on(wildcards.table)
    return [f"results/scores/{testset}/{system}.json" for system in dict.fromkeys(systems) for testset in sets]


def ablation_histories(wildcards):
    return list(dict.fromkeys(histories_of(wildcards.table).values()))


def histories_of(table):
    """Row -> the history of the training behind it, where there is one."""
    histories = {}
    for row, name in TABLES.systems(table).items():
        system, _, variant = name.partition("@")
        if system.startswith("ldps-"):
            histories[row] = (
                f"{folder_of(SETTINGS.train, relation_network(system.removeprefix('ldps-'), variant))}/history.csv"
            )
        elif system.startswith(("a2s-", "wss-")):
            histories[row] = f"{folder_of(SETTINGS.train, name)}/history.csv"
    return histories


def ablation_as_json(wildcards):
    """What `usod report ablation` puts into its table."""
    table, sets = TABLES.tables[wildcards.table], scored_on(wildcards.table)
    systems = TABLES.systems(wildcards.table)
    described = {
        "title": table.title,
        "reference": table.reference,
        "rows": {row: {s: f"results/scores/{s}/{name}.json" for s in sets} for row, name in systems.items()},
        "histories": histories_of(wildcards.table),
        "published_as": {s: SETTINGS.datasets[s].published_as for s in sets},
    }
    return json.dumps(described)


def ablation_files(table):
    """What a table's target asks for."""
    figure = [f"results/report/{table}.svg"] if TABLES.tables[table].curves else []
    return [f"results/report/{table}.md", *figure]


rule ablation_table:
    input:
        scores=ablation_scores,
        histories=ablation_histories,
        code=code("usod.commands.report"),
    output:
        csv="results/report/{table}.csv",
        markdown=report(
            "results/report/{table}.md",
            caption="../report/ablation.rst",
            category="Ablations",
            labels={"table": "{table}", "as": "table"},
        ),
        latex="results/report/{table}.tex",
    log:
        "results/logs/report/{table}.log",
    benchmark:
        "results/timings/report/{table}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        table=ablation_as_json,
    shell:
        "usod report ablation --table {params.table:q} --csv {output.csv} --markdown {output.markdown}"
        " --latex {output.latex} > {log} 2>&1"


rule score_epochs:
    input:
        watched=lambda wildcards: f"{folder_of(wildcards.testset, wildcards.system)}/watched.h5",
        masks="results/{testset}/masks.csv",
        code=code("usod.commands.evaluate"),
    output:
        "results/scores/{testset}/epochs/{system}.csv",
    log:
        "results/logs/scores/{testset}/{system}.epochs.log",
    benchmark:
        "results/timings/scores/{testset}/{system}.epochs.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    shell:
        "usod evaluate-epochs {input.watched} --index {input.masks} --out {output} > {log} 2>&1"


rule plot_ablation_curves:
    input:
        curves=lambda wildcards: [
            f"results/scores/{SETTINGS.train}/epochs/{system}.csv"
            for system in TABLES.systems(wildcards.table).values()
        ],
        code=code("usod.commands.report"),
    output:
        figure=report(
            "results/report/{table}.svg",
            caption="../report/ablation_curves.rst",
            category="Ablations",
            labels={"table": "{table}", "as": "curves"},
        ),
    log:
        "results/logs/report/{table}.curves.log",
    benchmark:
        "results/timings/report/{table}.curves.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        curves=lambda wildcards, input: [
            part
            for row, path in zip(TABLES.systems(wildcards.table), input.curves, strict=True)
            for part in ("--history", f"{row}={path}")
        ],
    shell:
        "usod report training {params.curves:q} --column mae --out {output.figure} > {log} 2>&1"


rule measure_variance:
    input:
        images=f"results/{SETTINGS.train}/images.h5",
        model=f"results/{SETTINGS.train}/a2s/stage1/model.safetensors",
        weights=lambda wildcards: weights(SETTINGS.encoder, "a2s.encoder"),
        code=code("usod.commands.a2s"),
    output:
        report(
            "results/report/a2s_table1.csv",
            caption="../report/variance.rst",
            category="Ablations",
            labels={"table": "a2s_table1", "as": "table"},
        ),
    log:
        "results/logs/report/a2s_table1.log",
    benchmark:
        "results/timings/report/a2s_table1.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        gpu=gpus,
    params:
        network=as_json(SETTINGS.encoder),
        seed=SETTINGS.a2s.stage1.seed,
    shell:
        "usod devices run --count {resources.gpu} -- usod a2s variance --images {input.images} --model {input.model}"
        " --network {params.network:q} --seed {params.seed} --threads {threads} --out {output} > {log} 2>&1"


rule a2s_table1:
    input:
        rules.measure_variance.output,
    localrule: True


for table in TABLES.tables:

    rule:
        name:
            table
        input:
            lambda wildcards, table=table: ablation_files(table),
        localrule: True
