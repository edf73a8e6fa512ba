rule score_table:
    """All systems' scores on a data set in one table, beside the published ones."""
    input:
        scores=lambda wildcards: PLAN.score_files(wildcards.testset),
    output:
        csv="results/report/scores-{testset}.csv",
        markdown=report(
            "results/report/scores-{testset}.md",
            caption="../report/scores.rst",
            category="Scores",
            labels={"data set": "{testset}", "as": "table"},
        ),
        latex="results/report/scores-{testset}.tex",
    log:
        "results/logs/report/scores-{testset}.log",
    benchmark:
        "results/timings/report/scores-{testset}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        code=code("usod.commands.report"),
        published=lambda wildcards: SETTINGS.datasets[wildcards.testset].published_as or "none",
        reference=PLAN.published_table(),
    shell:
        "usod report scores {input.scores:q} --published {params.published:q} --reference {params.reference}"
        " --csv {output.csv:q} --markdown {output.markdown:q} --latex {output.latex:q} > {log:q} 2>&1"


rule plot_curves:
    """Precision-recall and F-threshold curves."""
    input:
        scores=lambda wildcards: PLAN.score_files(wildcards.testset),
    output:
        figure=report(
            "results/report/curves-{testset}.svg",
            caption="../report/curves.rst",
            category="Scores",
            labels={"data set": "{testset}", "as": "curves"},
        ),
    log:
        "results/logs/report/curves-{testset}.log",
    benchmark:
        "results/timings/report/curves-{testset}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        code=code("usod.commands.report"),
        systems=" ".join(METHODS + PLAN.finals),
    shell:
        "usod report curves {input.scores:q} --systems {params.systems:q} --out {output.figure:q} > {log:q} 2>&1"


rule plot_label_quality:
    """The scores of the labels, stage by stage."""
    input:
        scores=lambda wildcards: PLAN.score_files(wildcards.testset),
    output:
        figure=report(
            "results/report/stages-{testset}.svg",
            caption="../report/label_quality.rst",
            category="Quality by stage",
            labels={"data set": "{testset}", "as": "figure"},
        ),
        table="results/report/stages-{testset}.csv",
    log:
        "results/logs/report/stages-{testset}.log",
    benchmark:
        "results/timings/report/stages-{testset}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        code=code("usod.commands.report"),
        methods=" ".join(METHODS),
    shell:
        "usod report stages {input.scores:q} --methods {params.methods:q} --out {output.figure:q}"
        " --csv {output.table:q} > {log:q} 2>&1"


rule show_examples:
    """Images, maps and masks side by side."""
    input:
        images="results/{testset}/images.h5",
        maps=lambda wildcards: [maps_of(wildcards.testset, s) for s in PLAN.columns(wildcards.testset)],
        masks=lambda wildcards: (["results/{testset}/masks.csv"] if wildcards.testset in PLAN.scored_sets() else []),
        scenes=scenes_of,
    output:
        figure=report(
            "results/report/examples-{testset}.png",
            caption="../report/examples.rst",
            category="Pictures",
            labels={"data set": "{testset}"},
        ),
    log:
        "results/logs/report/examples-{testset}.log",
    benchmark:
        "results/timings/report/examples-{testset}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        code=code("usod.commands.pictures"),
        columns=lambda wildcards, input: pairs("--column", PLAN.columns(wildcards.testset), input.maps),
        masks=lambda wildcards, input: ["--masks", *input.masks] if input.masks else [],
        shown=SETTINGS.report.examples,
    shell:
        "usod report examples --images {input.images:q} {params.columns:q} {params.masks:q} --count {params.shown}"
        " --out {output.figure:q} > {log:q} 2>&1"


rule plot_training:
    """Losses and speed of all trainings."""
    input:
        histories=lambda wildcards: [PLAN.file(wildcards.dataset, name, "history") for name in PLAN.trained],
    output:
        figure=report(
            "results/report/training-{dataset}.svg",
            caption="../report/training.rst",
            category="Training",
            labels={"data set": "{dataset}"},
        ),
    log:
        "results/logs/report/training-{dataset}.log",
    benchmark:
        "results/timings/report/training-{dataset}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        code=code("usod.commands.report"),
        histories=lambda wildcards, input: pairs("--history", map(PLAN.title, PLAN.trained), input.histories),
    shell:
        "usod report training {params.histories:q} --out {output.figure:q} > {log:q} 2>&1"
