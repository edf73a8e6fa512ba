rule rank_doubts:
    input:
        labels=lambda wildcards: list(doubted(wildcards.dataset).values()),
        before=lambda wildcards: list(doubted_before(wildcards.dataset).values()),
        index="results/{dataset}/index.csv",
        code=code("usod.commands.agreement"),
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
        labels=lambda wildcards: [f"--labels {name}={path}" for name, path in doubted(wildcards.dataset).items()],
        before=lambda wildcards: [f"--before {name}={path}" for name, path in doubted_before(wildcards.dataset).items()],
    shell:
        "usod maps agree {params.labels} {params.before} --index {input.index} --csv {output.csv} > {log} 2>&1"


rule show_doubts:
    input:
        images="results/{dataset}/images.h5",
        labels=lambda wildcards: list(doubted(wildcards.dataset).values()),
        csv="results/report/doubts-{dataset}.csv",
        code=code("usod.commands.pictures"),
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
        columns=lambda wildcards: [f"--column {name}={path}" for name, path in doubted(wildcards.dataset).items()],
        shown=SETTINGS.report.examples,
    shell:
        "usod report examples --images {input.images} {params.columns} --first {input.csv} --count {params.shown}"
        " --out {output} > {log} 2>&1"


rule show_evolution:
    input:
        images="results/{dataset}/images.h5",
        maps=lambda wildcards: list(stages_of(wildcards.dataset, wildcards.method).values()),
        masks=lambda wildcards: ["results/{dataset}/masks.csv"] if wildcards.dataset in scored_sets() else [],
        code=code("usod.commands.pictures"),
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
        columns=lambda wildcards: [
            part
            for name, path in stages_of(wildcards.dataset, wildcards.method).items()
            for part in ("--column", f"{name}={path}")
        ],
        masks=lambda wildcards, input: f"--masks {input.masks}" if input.masks else "",
        shown=SETTINGS.report.examples,
    shell:
        "usod report examples --images {input.images} {params.columns:q} {params.masks} --count {params.shown}"
        " --out {output} > {log} 2>&1"


rule sum_costs:
    input:
        # What it sums up are the records that Snakemake leaves for each job; it comes after all of these.
        rules.benchmark.input,
        [f"{folder_of(SETTINGS.train, system)}/model.safetensors" for system in trained_systems()],
        code=code("usod.commands.page"),
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
    shell:
        "usod report costs results --csv {output.csv} --markdown {output.markdown} --latex {output.latex}"
        " --figure {output.figure} > {log} 2>&1"


rule write_provenance:
    input:
        indices=[f"results/{name}/index.csv" for name in dict.fromkeys([SETTINGS.train, *SETTINGS.test])],
        models=[f"{folder_of(SETTINGS.train, system)}/model.safetensors" for system in final_networks()],
        code=code("usod.commands.page"),
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
        indices=lambda wildcards, input: [f"--index {Path(file).parent.name}={file}" for file in input.indices],
        models=lambda wildcards, input: [
            f"--model {system}={file}" for system, file in zip(final_networks(), input.models, strict=True)
        ],
        config=SETTINGS.model_dump_json(),
    shell:
        "usod report provenance {params.indices} {params.models} --config {params.config:q} --out {output} > {log} 2>&1"


rule write_page:
    input:
        files=[item["file"] for chapter in report_plan()["chapters"] for item in chapter["items"]],
        code=code("usod.commands.page"),
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
        plan=lambda wildcards: json.dumps(report_plan()),
    shell:
        "usod report page --plan {params.plan:q} --out {output} > {log} 2>&1"
