rule export_masks:
    """Write a final system's maps of the images as black and white PNG files, named and placed like the images."""
    input:
        maps=lambda wildcards: maps_of(wildcards.dataset, wildcards.system),
        index="results/{dataset}/index.csv",
        scenes=scenes_of,
        corrections=corrections("corrections.h5"),
    output:
        # Snakemake empties an output folder before the job: masks of images that were removed go.
        masks=directory("results/masks/{dataset}/{system}"),
    log:
        "results/logs/{dataset}/masks/{system}.log",
    benchmark:
        "results/timings/{dataset}/masks/{system}.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.maps.export"),
        roots=roots,
        placed=placed_below,
        threshold=SETTINGS.report.mask_threshold,
        corrections=corrections_option,
    shell:
        "usod maps export {input.maps:q} --out {output.masks:q} --index {input.index:q} {params.placed:q}"
        " --threshold {params.threshold} {params.corrections:q} > {log:q} 2>&1"


rule masks:
    """Masks of the training images, from every final system."""
    input:
        [PLAN.masks(SETTINGS.train, system) for system in PLAN.finals],
    localrule: True


rule keep_crf:
    """A copy of a final network that says by which CRF its maps are sharpened: what one predicts other images with."""
    input:
        model=model_of,
    output:
        model=f"results/models/{SETTINGS.train}/{{system}}.safetensors",
    log:
        f"results/logs/{SETTINGS.train}/models/{{system}}.log",
    benchmark:
        f"results/timings/{SETTINGS.train}/models/{{system}}.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.export"),
        crf="none" if SETTINGS.benchmark.crf is None else as_json(SETTINGS.benchmark.crf),
    shell:
        "usod export {input.model:q} {output.model:q} --crf {params.crf:q} > {log:q} 2>&1"


rule models:
    """All final networks, for other images."""
    input:
        PLAN.models,
    localrule: True


rule export_model:
    """Write a trained network as ONNX, with its model card."""
    input:
        model=model_of,
        scores=lambda wildcards: [PLAN.score(testset, wildcards.system) for testset in SETTINGS.test],
        index=f"results/{SETTINGS.train}/index.csv",
    output:
        onnx="results/export/{system}.onnx",
        card="results/export/{system}.md",
    log:
        "results/logs/export/{system}.log",
    benchmark:
        "results/timings/export/{system}.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.export"),
        train=SETTINGS.train,
        scores=lambda wildcards, input: pairs("--score", SETTINGS.test, input.scores),
    shell:
        "usod export {input.model:q} {output.onnx:q} {params.scores:q} --data {params.train}={input.index:q} > {log:q} 2>&1"


rule export:
    """All final networks as ONNX."""
    input:
        expand("results/export/{system}.onnx", system=PLAN.exported),
    localrule: True
