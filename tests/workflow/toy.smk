rule train_toy:
    input:
        images="results/{dataset}/images.h5",
        maps=reads("labels", "toy-mean"),
    output:
        model="results/{dataset}/toy/{variant}mean/model.safetensors",
        history="results/{dataset}/toy/{variant}mean/history.csv",
    log:
        "results/logs/{dataset}/toy/{variant}mean.log",
    benchmark:
        "results/timings/{dataset}/toy/{variant}mean.tsv"
    params:
        code=code(str(SETTINGS.registry["toy"].file)),
        script=str(SETTINGS.registry["toy"].file),
        config=lambda wildcards: as_json(VARIANTS[wildcards.variant].toy),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].network),
    shell:
        "python {params.script:q} {input.images:q} {params.config:q} {params.network:q} {output.model:q}"
        " {output.history:q} {input.maps:q} > {log:q} 2>&1"


rule draw_toy:
    input:
        "results/{dataset}/toy/mean/history.csv",
    output:
        report("results/report/toy-{dataset}.svg", category="Toys"),
    params:
        code=code("usod.commands.report.training"),
    shell:
        "usod report training --history toy={input:q} --out {output:q}"
