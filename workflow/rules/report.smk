rule score_table:
    input:
        scores=lambda wildcards: score_files(wildcards.testset),
        model=f"{folder_of(SETTINGS.train, final_systems()[0])}/model.safetensors",
        code=code("usod.commands.report"),
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
        maps=" ".join(METHODS),
        published=lambda wildcards: SETTINGS.datasets[wildcards.testset].published_as or "none",
        reference=published_table(),
    shell:
        "usod report scores {input.scores} --published {params.published:q} --reference {params.reference}"
        " --model {input.model} --maps {params.maps:q} --csv {output.csv}"
        " --markdown {output.markdown} --latex {output.latex} > {log} 2>&1"


rule plot_curves:
    input:
        scores=lambda wildcards: score_files(wildcards.testset),
        code=code("usod.commands.report"),
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
        systems=" ".join(METHODS + final_systems()),
    shell:
        "usod report curves {input.scores} --systems {params.systems:q} --out {output.figure} > {log} 2>&1"


rule plot_label_quality:
    input:
        scores=lambda wildcards: score_files(wildcards.testset),
        code=code("usod.commands.report"),
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
        methods=" ".join(METHODS),
    shell:
        "usod report stages {input.scores} --methods {params.methods:q} --out {output.figure}"
        " --csv {output.table} > {log} 2>&1"


rule show_examples:
    input:
        images="results/{testset}/images.h5",
        maps=lambda wildcards: [maps_of(wildcards.testset, s) for s in shown_systems(wildcards.testset)],
        masks=lambda wildcards: (["results/{testset}/masks.csv"] if wildcards.testset in scored_sets() else []),
        code=code("usod.commands.pictures"),
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
        columns=lambda wildcards: [
            f"--column {system}={maps_of(wildcards.testset, system)}" for system in shown_systems(wildcards.testset)
        ],
        masks=lambda wildcards, input: f"--masks {input.masks}" if input.masks else "",
        shown=SETTINGS.report.examples,
    shell:
        "usod report examples --images {input.images} {params.columns} {params.masks} --count {params.shown}"
        " --out {output.figure} > {log} 2>&1"


rule plot_training:
    input:
        histories=lambda wildcards: [
            f"{folder_of(wildcards.dataset, system)}/history.csv" for system in trained_systems()
        ],
        code=code("usod.commands.report"),
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
        histories=lambda wildcards, input: [
            f"--history {system}={path}" for system, path in zip(trained_systems(), input.histories, strict=True)
        ],
    shell:
        "usod report training {params.histories} --out {output.figure} > {log} 2>&1"


rule show_activations:
    input:
        images="results/{dataset}/images.h5",
        maps="results/{dataset}/a2s/stage1/watched.h5",
        code=code("usod.commands.pictures"),
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
        shown=SETTINGS.report.examples,
    shell:
        "usod report watched --images {input.images} --maps {input.maps} --count {params.shown}"
        " --out {output.figure} > {log} 2>&1"


rule show_changes:
    input:
        images="results/{testset}/images.h5",
        before=lambda wildcards: maps_of(wildcards.testset, wildcards.prior),
        after="results/{testset}/ldps/{prior}/labels.h5",
        scores_before="results/scores/{testset}/{prior}.csv",
        scores_after="results/scores/{testset}/ldps-{prior}.csv",
        masks="results/{testset}/masks.csv",
        code=code("usod.commands.pictures"),
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
    shell:
        "usod report changes --images {input.images} --before {input.before} --after {input.after}"
        " --scores-before {input.scores_before} --scores-after {input.scores_after} --masks {input.masks}"
        " --out {output.figure} > {log} 2>&1"


rule show_tags:
    input:
        images="results/{dataset}/images.h5",
        model="results/{dataset}/wss/pretrain/model.safetensors",
        code=code("usod.commands.wss"),
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
        shown=SETTINGS.report.examples,
    shell:
        "usod wss look {input.model} --images {input.images} --count {params.shown} --out {output.figure} > {log} 2>&1"


rule report:
    input:
        expand("results/report/scores-{testset}.md", testset=scored_sets()),
        expand("results/report/curves-{testset}.svg", testset=scored_sets()),
        expand("results/report/stages-{testset}.svg", testset=scored_sets() if label_systems() else []),
        expand(
            "results/report/examples-{testset}.png",
            testset=dict.fromkeys([*scored_sets(), SETTINGS.train]),
        ),
        expand("results/report/training-{dataset}.svg", dataset=SETTINGS.train),
        expand(
            "results/report/changes-{testset}-{prior}.png",
            testset=SETTINGS.test,
            prior=SETTINGS.priors if ldps_systems() else [],
        ),
        expand("results/report/tags-{dataset}.png", dataset=SETTINGS.train if wss_systems() else []),
        expand("results/report/activations-{dataset}.png", dataset=SETTINGS.train if has_activations() else []),
        "results/report/report.html",
    localrule: True
