rule ablation_table:
    """A table of variants, beside the published one."""
    input:
        scores=ablation_scores,
        histories=ablation_histories,
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
        code=code("usod.commands.report"),
        wanted=ablation_as_json,
        table=lambda wildcards, input: ablation_as_json(wildcards, input.scores, input.histories),
    shell:
        "usod report ablation --table {params.table:q} --csv {output.csv:q} --markdown {output.markdown:q}"
        " --latex {output.latex:q} > {log:q} 2>&1"


rule score_epochs:
    """Score the maps that A2S's first stage gave after every epoch."""
    input:
        watched=lambda wildcards: f"{folder_of(wildcards.testset, wildcards.system)}/watched.h5",
        masks="results/{testset}/masks.csv",
        scenes=scenes_of,
    output:
        "results/scores/{testset}/epochs/{system}.csv",
    log:
        "results/logs/scores/{testset}/{system}.epochs.log",
    benchmark:
        "results/timings/scores/{testset}/{system}.epochs.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        code=code("usod.commands.evaluate"),
    shell:
        "usod evaluate-epochs {input.watched:q} --index {input.masks:q} --out {output:q} > {log:q} 2>&1"


rule plot_ablation_curves:
    """The error of a table's variants, epoch by epoch."""
    input:
        curves=lambda wildcards: [
            f"results/scores/{SETTINGS.train}/epochs/{system}.csv"
            for system, *_ in TABLES.systems(wildcards.table).values()
        ],
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
        code=code("usod.commands.report"),
        curves=lambda wildcards, input: pairs("--history", TABLES.systems(wildcards.table), input.curves),
    shell:
        "usod report training {params.curves:q} --column mae --out {output.figure:q} > {log:q} 2>&1"


rule plot_ablation_scatter:
    """Two of a table's variants against each other, image by image."""
    input:
        scores=scattered,
    output:
        figure=report(
            "results/report/{table}-{testset}.svg",
            caption="../report/ablation_scatter.rst",
            category="Ablations",
            labels={"table": "{table}", "as": "image by image, {testset}"},
        ),
    log:
        "results/logs/report/{table}-{testset}.scatter.log",
    benchmark:
        "results/timings/report/{table}-{testset}.scatter.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        code=code("usod.commands.report"),
        names=lambda wildcards: TABLES.tables[wildcards.table].scatter,
        f=lambda wildcards: TABLES.tables[wildcards.table].f,
    shell:
        "usod report scatter {input.scores[0]:q} {input.scores[1]:q} --name {params.names[0]:q} --name {params.names[1]:q}"
        " --measure {params.f} --measure mae --out {output.figure:q} > {log:q} 2>&1"


rule measure_variance:
    """A2S, Table 1: how far the activations move when the encoder learns."""
    input:
        images=f"results/{SETTINGS.train}/images.h5",
        model=f"results/{SETTINGS.train}/a2s/stage1/model.safetensors",
        weights=lambda wildcards: weights(SETTINGS.encoder, "a2s.encoder"),
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
        mem_mb=memory,
        runtime="4h",
    params:
        code=code("usod.commands.a2s"),
        network=lambda wildcards: as_json(SETTINGS.encoder),
        weights=weights_option,
        seed=SETTINGS.a2s.stage1.seed,
    shell:
        "usod devices run --count {resources.gpu} -- usod a2s variance --images {input.images:q} --model {input.model:q}"
        " --network {params.network:q} {params.weights:q} --seed {params.seed} --threads {threads} --out {output:q} > {log:q} 2>&1"


rule a2s_table1:
    """A2S, Table 1."""
    input:
        rules.measure_variance.output,
    localrule: True


try:
    check_table_names(TABLE_FILES, {"all", *filter(rules.has, TABLE_FILES)})
except UsodError as error:
    raise WorkflowError(str(error)) from None


for table in [*TABLES.tables, *TABLES.unfit]:

    rule:
        """A table of variants, beside the published one: results/report/NAME.md, .csv and .tex."""
        name:
            table
        input:
            lambda wildcards, table=table: ablation_target(table),
        localrule: True
