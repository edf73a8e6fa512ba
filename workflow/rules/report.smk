rule score_table:
    """All systems' scores on a data set in one table, beside the published ones."""
    input:
        scores=lambda wildcards: score_files(wildcards.testset),
        models=lambda wildcards: [model_file(system) for system in networks_of(wildcards.testset)],
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
        models=lambda wildcards, input: pairs("--model", networks_of(wildcards.testset), input.models),
        published=lambda wildcards: SETTINGS.datasets[wildcards.testset].published_as or "none",
        reference=published_table(),
    shell:
        "usod report scores {input.scores:q} --published {params.published:q} --reference {params.reference}"
        " {params.models:q} --csv {output.csv:q} --markdown {output.markdown:q} --latex {output.latex:q} > {log:q} 2>&1"


rule plot_curves:
    """Precision-recall and F-threshold curves."""
    input:
        scores=lambda wildcards: score_files(wildcards.testset),
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
        systems=" ".join(METHODS + final_systems()),
    shell:
        "usod report curves {input.scores:q} --systems {params.systems:q} --out {output.figure:q} > {log:q} 2>&1"


rule plot_label_quality:
    """The scores of the labels, stage by stage."""
    input:
        scores=lambda wildcards: score_files(wildcards.testset),
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
        maps=lambda wildcards: [maps_of(wildcards.testset, s) for s in shown_systems(wildcards.testset)],
        masks=lambda wildcards: (["results/{testset}/masks.csv"] if wildcards.testset in scored_sets() else []),
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
        columns=lambda wildcards, input: pairs("--column", shown_systems(wildcards.testset), input.maps),
        masks=lambda wildcards, input: ["--masks", *input.masks] if input.masks else [],
        shown=SETTINGS.report.examples,
    shell:
        "usod report examples --images {input.images:q} {params.columns:q} {params.masks:q} --count {params.shown}"
        " --out {output.figure:q} > {log:q} 2>&1"


rule plot_training:
    """Losses and speed of all trainings."""
    input:
        histories=lambda wildcards: [
            f"{folder_of(wildcards.dataset, system)}/history.csv" for system in trained_systems()
        ],
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
        histories=lambda wildcards, input: pairs("--history", trained_systems(), input.histories),
    shell:
        "usod report training {params.histories:q} --out {output.figure:q} > {log:q} 2>&1"


rule show_activations:
    """What A2S's first stage answers to while it learns."""
    input:
        images="results/{dataset}/images.h5",
        maps="results/{dataset}/a2s/stage1/watched.h5",
    output:
        figure=report(
            "results/report/activations-{dataset}.png",
            caption="../report/watched.rst",
            category="Pictures",
            labels={"data set": "{dataset}", "as": "A2S activations"},
        ),
    log:
        "results/logs/report/activations-{dataset}.log",
    benchmark:
        "results/timings/report/activations-{dataset}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        code=code("usod.commands.pictures"),
        shown=SETTINGS.report.examples,
    shell:
        "usod report watched --images {input.images:q} --maps {input.maps:q} --count {params.shown}"
        " --out {output.figure:q} > {log:q} 2>&1"


rule show_changes:
    """The maps that LDPS changed most, for better and for worse."""
    input:
        images="results/{testset}/images.h5",
        before=lambda wildcards: maps_of(wildcards.testset, wildcards.prior),
        after="results/{testset}/ldps/{prior}/labels.h5",
        scores_before="results/scores/{testset}/{prior}.csv",
        scores_after="results/scores/{testset}/ldps-{prior}.csv",
        masks="results/{testset}/masks.csv",
        scenes=scenes_of,
    output:
        figure=report(
            "results/report/changes-{testset}-{prior}.png",
            caption="../report/changes.rst",
            category="Pictures",
            labels={"data set": "{testset}", "as": "LDPS on {prior}"},
        ),
    log:
        "results/logs/report/changes-{testset}-{prior}.log",
    benchmark:
        "results/timings/report/changes-{testset}-{prior}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        code=code("usod.commands.pictures"),
    shell:
        "usod report changes --images {input.images:q} --before {input.before:q} --after {input.after:q}"
        " --scores-before {input.scores_before:q} --scores-after {input.scores_after:q} --masks {input.masks:q}"
        " --out {output.figure:q} > {log:q} 2>&1"


rule show_tags:
    """The score maps of WSS's tags."""
    input:
        images="results/{dataset}/images.h5",
        model="results/{dataset}/wss/pretrain/model.safetensors",
    output:
        figure=report(
            "results/report/tags-{dataset}.png",
            caption="../report/tags.rst",
            category="Pictures",
            labels={"data set": "{dataset}", "as": "WSS score maps"},
        ),
    log:
        "results/logs/report/tags-{dataset}.log",
    benchmark:
        "results/timings/report/tags-{dataset}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        code=code("usod.commands.wss"),
        shown=SETTINGS.report.examples,
    shell:
        "usod wss look {input.model:q} --images {input.images:q} --count {params.shown} --out {output.figure:q} > {log:q} 2>&1"


rule report:
    """Everything that stands in the report, and the report as one page."""
    input:
        report_files(),
        "results/report/report.html",
    localrule: True
