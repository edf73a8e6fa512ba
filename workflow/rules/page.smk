rule rank_doubts:
    """Rank the images by how much the methods disagree on them."""
    input:
        labels=lambda wildcards: list(PLAN.doubted(wildcards.dataset).values()),
        before=lambda wildcards: list(PLAN.doubted_before(wildcards.dataset).values()),
        index="results/{dataset}/index.csv",
    output:
        csv="results/report/doubts-{dataset}.csv",
    log:
        "results/logs/report/doubts-{dataset}.log",
    benchmark:
        "results/timings/report/doubts-{dataset}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        code=code("usod.commands.agreement"),
        labels=lambda wildcards, input: pairs("--labels", PLAN.doubted(wildcards.dataset), input.labels),
        before=lambda wildcards, input: pairs("--before", PLAN.doubted_before(wildcards.dataset), input.before),
    shell:
        "usod maps agree {params.labels:q} {params.before:q} --index {input.index:q} --csv {output.csv:q} > {log:q} 2>&1"


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
    threads: 1
    params:
        code=code("usod.commands.pictures"),
        columns=lambda wildcards, input: pairs("--column", PLAN.doubted(wildcards.dataset), input.labels),
        shown=SETTINGS.report.examples,
    shell:
        "usod report examples --images {input.images:q} {params.columns:q} --first {input.csv:q} --count {params.shown}"
        " --out {output:q} > {log:q} 2>&1"


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
    threads: 1
    params:
        code=code("usod.commands.pictures"),
        columns=lambda wildcards, input: pairs("--column", PLAN.stages(wildcards.dataset, wildcards.method), input.maps),
        masks=lambda wildcards, input: ["--masks", *input.masks] if input.masks else [],
        shown=SETTINGS.report.examples,
    shell:
        "usod report examples --images {input.images:q} {params.columns:q} {params.masks:q} --count {params.shown}"
        " --out {output:q} > {log:q} 2>&1"


rule sum_costs:
    """Time and memory of every step."""
    input:
        # What it sums up are the records that Snakemake leaves for each job; it comes after all of these.
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
    threads: 1
    params:
        code=code("usod.commands.page"),
        results=lambda wildcards, output: str(Path(output.csv).parents[1]),
    shell:
        "usod report costs {params.results:q} --csv {output.csv:q} --markdown {output.markdown:q} --latex {output.latex:q}"
        " --figure {output.figure:q} > {log:q} 2>&1"


rule write_provenance:
    """Data, networks, settings and software of the run."""
    input:
        indices=[f"results/{name}/index.csv" for name in PLAN.data_sets()],
        models=PLAN.final_networks().values(),
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
    threads: 1
    params:
        code=code("usod.commands.page"),
        indices=lambda wildcards, input: pairs("--index", PLAN.data_sets(), input.indices),
        models=lambda wildcards, input: pairs("--model", PLAN.final_networks(), input.models),
        # `gpu` says how it runs, not what it gives.
        config=lambda wildcards: SETTINGS.model_dump_json(exclude={"gpu"}),
    shell:
        "usod report provenance {params.indices:q} {params.models:q} --config {params.config:q} --out {output:q} > {log:q} 2>&1"


rule write_page:
    """The report as one page that needs nothing else."""
    input:
        files=report_files(),
    output:
        report(
            "results/report/report.html",
            caption="../report/page.rst",
            category="Everything on one page",
            labels={"as": "page"},
        ),
    log:
        "results/logs/report/page.log",
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        code=code("usod.commands.page"),
        wanted=lambda wildcards: json.dumps(report_plan()),
        plan=lambda wildcards, input: json.dumps(report_plan(input.files)),
    shell:
        "usod report page --plan {params.plan:q} --out {output:q} > {log:q} 2>&1"


rule report:
    """Everything that stands in the report, and the report as one page."""
    input:
        report_files(),
        "results/report/report.html",
    localrule: True
