rule export_masks:
    input:
        maps=lambda wildcards: maps_of(wildcards.dataset, final_systems()[0]),
        index="results/{dataset}/index.csv",
        code=code("usod.commands.masks"),
    output:
        # As a folder it is emptied before it is written again: an image may have gone.
        masks=directory("results/masks/{dataset}"),
    log:
        "results/logs/{dataset}/masks.export.log",
    benchmark:
        "results/timings/{dataset}/masks.export.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        root=root,
        threshold=SETTINGS.report.mask_threshold,
    shell:
        "usod maps export {input.maps} --out {output.masks} --index {input.index} --root {params.root:q}"
        " --threshold {params.threshold} > {log} 2>&1"


rule masks:
    input:
        expand("results/masks/{dataset}", dataset=SETTINGS.train),
    localrule: True


rule export_model:
    input:
        model=lambda wildcards: f"{folder_of(SETTINGS.train, wildcards.system)}/model.safetensors",
        scores=lambda wildcards: [f"results/scores/{testset}/{wildcards.system}.json" for testset in SETTINGS.test],
        index=f"results/{SETTINGS.train}/index.csv",
        code=code("usod.commands.export"),
    output:
        onnx="results/export/{system}.onnx",
        card="results/export/{system}.md",
    log:
        "results/logs/export/{system}.log",
    benchmark:
        "results/timings/export/{system}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        train=SETTINGS.train,
        scores=lambda wildcards, input: [
            f"--score {testset}={path}" for testset, path in zip(SETTINGS.test, input.scores, strict=True)
        ],
    shell:
        "usod export {input.model} {output.onnx} {params.scores} --data {params.train}={input.index} > {log} 2>&1"


rule export:
    input:
        expand("results/export/{system}.onnx", system=[s for s in final_systems() if not s.startswith("ldps")]),
    localrule: True
