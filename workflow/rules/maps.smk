HANDCRAFTED_METHODS = [m for m in METHODS if SETTINGS.methods[m].maps is None]
IMPORTED_METHODS = [m for m in METHODS if SETTINGS.methods[m].maps is not None]


rule extract_maps:
    """Compute the maps of a handcrafted method for a chunk of the images."""
    input:
        index="results/{dataset}/index.csv",
        scenes=scenes_of,
    output:
        maps=temp("results/{dataset}/maps/{method}.{scatteritem}.h5"),
    log:
        "results/logs/{dataset}/maps/{method}.{scatteritem}.log",
    benchmark:
        "results/timings/{dataset}/maps/{method}.{scatteritem}.tsv"
    wildcard_constraints:
        dataset=SINGLE,
        method="|".join(map(re.escape, HANDCRAFTED_METHODS)) or "(?!)",
    conda:
        "../../envs/usod.yaml"
    threads: 4
    params:
        code=lambda wildcards: code(
            "usod.commands.maps.extract",
            f"usod.handcrafted._{SETTINGS.function_of(wildcards.method)}",
        ),
        function=lambda wildcards: SETTINGS.function_of(wildcards.method),
        settings=lambda wildcards: json.dumps(SETTINGS.methods[wildcards.method].params),
        max_side=SETTINGS.maps.max_side,
    shell:
        "usod maps extract {params.function} --index {input.index:q} --out {output.maps:q}"
        " --max-side {params.max_side} --params {params.settings:q} --chunk {wildcards.scatteritem}"
        " --workers {threads} > {log:q} 2>&1"


rule merge_maps:
    """Join the chunks of a method's maps."""
    input:
        parts=gather.chunk("results/{{dataset}}/maps/{{method}}.{scatteritem}.h5"),
        index="results/{dataset}/index.csv",
    output:
        maps="results/{dataset}/maps/{method}.h5",
    log:
        "results/logs/{dataset}/maps/{method}.log",
    benchmark:
        "results/timings/{dataset}/maps/{method}.tsv"
    wildcard_constraints:
        dataset=SINGLE,
        method="|".join(map(re.escape, HANDCRAFTED_METHODS)) or "(?!)",
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.maps.merge"),
    shell:
        "usod maps merge {input.parts:q} --index {input.index:q} --out {output.maps:q} > {log:q} 2>&1"


rule import_maps:
    """Read maps that were made elsewhere."""
    input:
        maps=imported_maps,
        index="results/{dataset}/index.csv",
    output:
        maps="results/{dataset}/maps/{method}.h5",
    log:
        "results/logs/{dataset}/maps/{method}.log",
    benchmark:
        "results/timings/{dataset}/maps/{method}.tsv"
    wildcard_constraints:
        dataset=SINGLE,
        method="|".join(map(re.escape, IMPORTED_METHODS)) or "(?!)",
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.maps.import_"),
        labels=lambda wildcards: (
            ["--labels", SETTINGS.methods[wildcards.method].labels]
            if SETTINGS.methods[wildcards.method].labels
            else []
        ),
        listing=lambda wildcards: files_of(imported_maps(wildcards), "maps"),
    shell:
        "usod maps import {input.maps:q} --index {input.index:q} --out {output.maps:q}"
        " {params.labels:q} > {log:q} 2>&1"


rule maps:
    """The handcrafted maps of the training images."""
    input:
        expand(
            "results/{dataset}/maps/{method}.h5",
            dataset=SETTINGS.train,
            method=METHODS,
        ),
    localrule: True
