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
            f"results/scores/{SETTINGS.train}/epochs/{system}.csv" for system in systems_in(wildcards.table)
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
            for row, (system, *_) in TABLES.systems(wildcards.table).items()
            for part in ("--history", f"{row}=results/scores/{SETTINGS.train}/epochs/{system}.csv")
        ],
    shell:
        "usod report training {params.curves:q} --column mae --out {output.figure} > {log} 2>&1"


rule plot_ablation_scatter:
    input:
        scores=scattered,
        code=code("usod.commands.report"),
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
        names=lambda wildcards: TABLES.tables[wildcards.table].scatter,
        f=lambda wildcards: TABLES.tables[wildcards.table].f,
    shell:
        "usod report scatter {input.scores[0]} {input.scores[1]} --name {params.names[0]:q} --name {params.names[1]:q}"
        " --measure {params.f} --measure mae --out {output.figure} > {log} 2>&1"


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


for table in [*TABLES.tables, *TABLES.unfit]:

    rule:
        name:
            table
        input:
            lambda wildcards, table=table: ablation_target(table),
        localrule: True
