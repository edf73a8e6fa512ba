rule ablation_table:
    """A table of variants, beside the published one."""
    input:
        scores=lambda wildcards: ablation_scores(wildcards.table),
        histories=lambda wildcards: ablation_histories(wildcards.table),
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
    params:
        code=code("usod.commands.report.ablation"),
        wanted=lambda wildcards: json.dumps(PLAN.ablation(wildcards.table)),
        table=lambda wildcards, input: json.dumps(
            PLAN.ablation(wildcards.table, ablation_places(wildcards.table, input))
        ),
    shell:
        "usod report ablation --table {params.table:q} --csv {output.csv:q} --markdown {output.markdown:q}"
        " --latex {output.latex:q} > {log:q} 2>&1"


rule score_epochs:
    """Score the maps that a training gave after every epoch."""
    input:
        watched=lambda wildcards: PLAN.file(wildcards.testset, wildcards.system, "watched"),
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
    params:
        code=code("usod.commands.evaluate_epochs"),
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
    params:
        code=code("usod.commands.report.training"),
        curves=lambda wildcards, input: pairs("--history", TABLES.systems(wildcards.table), input.curves),
    shell:
        "usod report training {params.curves:q} --column mae --out {output.figure:q} > {log:q} 2>&1"


rule show_ablation_maps:
    """The maps of a table's variants, side by side."""
    input:
        images="results/{testset}/images.h5",
        maps=lambda wildcards: [maps_of(wildcards.testset, system) for system in pictured(wildcards.table).values()],
        masks="results/{testset}/masks.csv",
        scenes=scenes_of,
    output:
        figure=report(
            "results/report/{table}-maps-{testset}.png",
            caption="../report/ablation_maps.rst",
            category="Ablations",
            labels={"table": "{table}", "as": "pictures, {testset}"},
        ),
    log:
        "results/logs/report/{table}-{testset}.maps.log",
    benchmark:
        "results/timings/report/{table}-{testset}.maps.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.report.examples"),
        columns=lambda wildcards, input: pairs("--column", pictured(wildcards.table), input.maps),
        shown=SETTINGS.report.examples,
    shell:
        "usod report examples --images {input.images:q} {params.columns:q} --masks {input.masks:q} --count {params.shown}"
        " --out {output.figure:q} > {log:q} 2>&1"


rule show_ablation_epochs:
    """What the trainings of a table's variants make of some images, epoch by epoch."""
    input:
        images="results/{testset}/images.h5",
        watched=lambda wildcards: [
            PLAN.file(wildcards.testset, system, "watched") for system in of_rows(wildcards.table).values()
        ],
        beside=lambda wildcards: [maps_of(wildcards.testset, s) for s in TABLES.tables[wildcards.table].beside],
        masks="results/{testset}/masks.csv",
        scenes=scenes_of,
    output:
        figure=report(
            "results/report/{table}-epochs-{testset}.png",
            caption="../report/ablation_epochs.rst",
            category="Ablations",
            labels={"table": "{table}", "as": "epochs, {testset}"},
        ),
    log:
        "results/logs/report/{table}-{testset}.epochs.log",
    benchmark:
        "results/timings/report/{table}-{testset}.epochs.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.report.watched"),
        maps=lambda wildcards, input: pairs("--maps", of_rows(wildcards.table), input.watched),
        beside=lambda wildcards, input: pairs("--beside", TABLES.tables[wildcards.table].beside, input.beside),
        shown=SETTINGS.report.examples,
    shell:
        "usod report watched --images {input.images:q} {params.maps:q} {params.beside:q} --masks {input.masks:q}"
        " --count {params.shown} --out {output.figure:q} > {log:q} 2>&1"


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
    params:
        code=code("usod.commands.report.scatter"),
        names=lambda wildcards: TABLES.tables[wildcards.table].scatter,
        f=lambda wildcards: F_OF_PROTOCOL[TABLES.tables[wildcards.table].protocol],
    shell:
        "usod report scatter {input.scores[0]:q} {input.scores[1]:q} --name {params.names[0]:q} --name {params.names[1]:q}"
        " --measure {params.f} --measure mae --out {output.figure:q} > {log:q} 2>&1"


rule show_ablation_failures:
    """The images on which two of a table's variants fail, and those on which one is much better."""
    input:
        scores=scattered,
        maps=scattered_maps,
        images="results/{testset}/images.h5",
        masks="results/{testset}/masks.csv",
        scenes=scenes_of,
    output:
        figure=report(
            "results/report/{table}-{testset}.png",
            caption="../report/ablation_failures.rst",
            category="Ablations",
            labels={"table": "{table}", "as": "failures, {testset}"},
        ),
    log:
        "results/logs/report/{table}-{testset}.failures.log",
    benchmark:
        "results/timings/report/{table}-{testset}.failures.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.report.failures"),
        maps=lambda wildcards, input: pairs("--maps", TABLES.tables[wildcards.table].scatter, input.maps),
    shell:
        "usod report failures {input.scores[0]:q} {input.scores[1]:q} --images {input.images:q} {params.maps:q}"
        " --masks {input.masks:q} --out {output.figure:q} > {log:q} 2>&1"


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
            lambda wildcards, table=table: ablation_files(table),
        localrule: True
