rule score_table:
    """All systems' scores on a data set in one table, beside the published ones."""
    input:
        scores=lambda wildcards: PLAN.score_files(wildcards.testset),
        leaks=lambda wildcards: ("results/report/leaks-{testset}.csv" if wildcards.testset != SETTINGS.train else []),
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
    params:
        code=code("usod.commands.report.scores"),
        published=lambda wildcards: SETTINGS.datasets[wildcards.testset].published_as or "none",
        reference=[f"--reference {table}" for table in PLAN.published_tables()],
        leaks=lambda wildcards, input: (
            ["--leaks", f"{SETTINGS.train}={input.leaks}", "--dataset", wildcards.testset] if input.leaks else []
        ),
    shell:
        "usod report scores {input.scores:q} --published {params.published:q} {params.reference} {params.leaks:q}"
        " --csv {output.csv:q} --markdown {output.markdown:q} --latex {output.latex:q} > {log:q} 2>&1"


rule find_leaks:
    """Images of a test set that are training images too, or look like one."""
    input:
        train=f"results/{SETTINGS.train}/index.csv",
        test="results/{testset}/index.csv",
        scenes=lambda wildcards: scenes_of(SETTINGS.train) or scenes_of(wildcards),
    output:
        "results/report/leaks-{testset}.csv",
    log:
        "results/logs/report/leaks-{testset}.log",
    benchmark:
        "results/timings/report/leaks-{testset}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 4
    params:
        code=code("usod.commands.data.leaks"),
    shell:
        "usod data leaks {input.train:q} {input.test:q} --csv {output:q} --workers {threads} > {log:q} 2>&1"


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
    params:
        code=code("usod.commands.report.curves"),
        systems=" ".join(METHODS + PLAN.finals),
    shell:
        "usod report curves {input.scores:q} --systems {params.systems:q} --out {output.figure:q} > {log:q} 2>&1"


rule plot_label_quality:
    """The scores of the labels, stage by stage."""
    input:
        scores=lambda wildcards: list(PLAN.stage_scores(wildcards.testset).values()),
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
    params:
        code=code("usod.commands.report.stages"),
        scores=lambda wildcards, input: pairs("--score", PLAN.stage_scores(wildcards.testset), input.scores),
    shell:
        "usod report stages {params.scores:q} --out {output.figure:q}" " --csv {output.table:q} > {log:q} 2>&1"


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
    params:
        code=code("usod.commands.report.examples"),
        columns=lambda wildcards, input: pairs("--column", PLAN.columns(wildcards.testset), input.maps),
        masks=lambda wildcards, input: ["--masks", *input.masks] if input.masks else [],
        shown=SETTINGS.report.examples,
    shell:
        "usod report examples --images {input.images:q} {params.columns:q} {params.masks:q} --count {params.shown}"
        " --out {output.figure:q} > {log:q} 2>&1"


rule show_evolution:
    """The labels of a method after every stage."""
    input:
        images="results/{dataset}/images.h5",
        maps=lambda wildcards: list(PLAN.stages(wildcards.dataset, wildcards.method).values()),
        masks=lambda wildcards: ["results/{dataset}/masks.csv"] if wildcards.dataset in PLAN.scored_sets() else [],
        scenes=scenes_of,
    output:
        report(
            "results/report/evolution-{dataset}-{method}.png",
            caption="../report/evolution.rst",
            category="Pictures",
            labels={"data set": "{dataset}", "as": "stages of {method}"},
        ),
    log:
        "results/logs/report/evolution-{dataset}-{method}.log",
    benchmark:
        "results/timings/report/evolution-{dataset}-{method}.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.report.examples"),
        columns=lambda wildcards, input: pairs("--column", PLAN.stages(wildcards.dataset, wildcards.method), input.maps),
        masks=lambda wildcards, input: ["--masks", *input.masks] if input.masks else [],
        shown=SETTINGS.report.examples,
    shell:
        "usod report examples --images {input.images:q} {params.columns:q} {params.masks:q} --count {params.shown}"
        " --out {output:q} > {log:q} 2>&1"


rule show_doubts:
    """The images on which the methods disagree most."""
    input:
        images="results/{dataset}/images.h5",
        labels=lambda wildcards: list(PLAN.doubted(wildcards.dataset).values()),
        csv="results/report/doubts-{dataset}.csv",
    output:
        report(
            "results/report/doubts-{dataset}.png",
            caption="../report/doubts.rst",
            category="Pictures",
            labels={"data set": "{dataset}", "as": "images to look at"},
        ),
    log:
        "results/logs/report/doubts-{dataset}.pictures.log",
    benchmark:
        "results/timings/report/doubts-{dataset}.pictures.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.report.examples"),
        columns=lambda wildcards, input: pairs("--column", PLAN.doubted(wildcards.dataset), input.labels),
        shown=SETTINGS.report.examples,
    shell:
        "usod report examples --images {input.images:q} {params.columns:q} --first {input.csv:q} --count {params.shown}"
        " --out {output:q} > {log:q} 2>&1"


rule make_gallery:
    """All training images with their masks and maps: a page that opens from disk."""
    input:
        images=f"results/{SETTINGS.train}/images.h5",
        index=f"results/{SETTINGS.train}/index.csv",
        maps=PLAN.layers(SETTINGS.train).values(),
        masks=[PLAN.masks(SETTINGS.train, system) for system in PLAN.finals[:1]],
        values=gallery_values(),
        truth=f"results/{SETTINGS.train}/masks.csv" if SETTINGS.train in PLAN.scored_sets() else [],
        corrections=corrections("corrections.h5")(SETTINGS.train),
        scenes=scenes_of(SETTINGS.train),
    output:
        # Snakemake empties an output folder before the job: pictures of images that were removed go.
        directory("results/report/gallery"),
    log:
        "results/logs/report/gallery.log",
    benchmark:
        "results/timings/report/gallery.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 4
    params:
        code=code("usod.commands.report.gallery"),
        look=look("gallery"),
        name=SETTINGS.train,
        maps=lambda wildcards, input: pairs("--map", PLAN.layers(SETTINGS.train), input.maps),
        values=lambda wildcards, input: [word for file in input.values for word in ("--values", file)],
        truth=lambda wildcards, input: ["--truth", input.truth] if input.truth else [],
        roots=roots(SETTINGS.train),
        masks=gallery_masks,
        corrections=corrections_option,
        threshold=SETTINGS.report.mask_threshold,
        side=SETTINGS.report.gallery_side,
    shell:
        "usod report gallery --images {input.images:q} --index {input.index:q} {params.maps:q} {params.masks:q}"
        " {params.values:q} {params.truth:q} {params.corrections:q} --threshold {params.threshold} --side {params.side} --name {params.name:q}"
        " --workers {threads} --out {output:q} > {log:q} 2>&1"


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
    params:
        code=code("usod.commands.report.training"),
        histories=lambda wildcards, input: pairs("--history", map(PLAN.title, PLAN.trained), input.histories),
    shell:
        "usod report training {params.histories:q} --out {output.figure:q} > {log:q} 2>&1"


rule sum_costs:
    """Time and memory of every step."""
    input:
        # It reads the benchmark records of all jobs, which are nobody's outputs: these inputs make it run last.
        rules.benchmark.input,
        [PLAN.model(name) for name in PLAN.trained],
    output:
        csv="results/report/costs.csv",
        markdown=report(
            "results/report/costs.md",
            caption="../report/costs.rst",
            category="Time, memory, origin",
            labels={"as": "time and memory, table"},
        ),
        latex="results/report/costs.tex",
        figure=report(
            "results/report/costs.svg",
            caption="../report/costs.rst",
            category="Time, memory, origin",
            labels={"as": "time and memory"},
        ),
    log:
        "results/logs/report/costs.log",
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.report.costs"),
        results=lambda wildcards, output: str(Path(output.csv).parents[1]),
    shell:
        "usod report costs {params.results:q} --csv {output.csv:q} --markdown {output.markdown:q} --latex {output.latex:q}"
        " --figure {output.figure:q} > {log:q} 2>&1"


rule write_provenance:
    """Data, networks, settings and software of the run."""
    input:
        indices=[f"results/{name}/index.csv" for name in PLAN.data_sets()],
        models=PLAN.final_networks().values(),
        corrections=f"results/{SETTINGS.train}/corrections.csv" if SETTINGS.corrections else [],
    output:
        report(
            "results/report/provenance.md",
            caption="../report/provenance.rst",
            category="Time, memory, origin",
            labels={"as": "data, networks, software"},
        ),
    log:
        "results/logs/report/provenance.log",
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.report.provenance"),
        indices=lambda wildcards, input: pairs("--index", PLAN.data_sets(), input.indices),
        models=lambda wildcards, input: pairs("--model", PLAN.final_networks(), input.models),
        corrections=corrections_option,
        # `gpu` changes no result.
        config=lambda wildcards: SETTINGS.model_dump_json(exclude={"gpu"}),
    shell:
        "usod report provenance {params.indices:q} {params.models:q} {params.corrections:q} --config {params.config:q} --out {output:q} > {log:q} 2>&1"
