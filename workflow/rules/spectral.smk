rule mask_patches:
    """Masks without training, from what a frozen vision transformer sees: TokenCut, Selfment, FOUND."""
    input:
        images="results/{dataset}/images.h5",
        features=lambda wildcards: [
            PLAN.features(wildcards.dataset, network)
            for network in VARIANTS[wildcards.variant].patch_features(wildcards.recipe)
        ],
    output:
        labels="results/{dataset}/spectral/{variant}{recipe}/labels.h5",
    log:
        "results/logs/{dataset}/spectral/{variant}{recipe}.log",
    benchmark:
        "results/timings/{dataset}/spectral/{variant}{recipe}.tsv"
    wildcard_constraints:
        recipe="tokencut|selfment|found",
    conda:
        "../../envs/usod.yaml"
    threads: cores()
    params:
        code=code("usod.commands.spectral"),
        config=lambda wildcards: as_json(getattr(VARIANTS[wildcards.variant].spectral, wildcards.recipe)),
        features=lambda wildcards, input: [
            word for pair in zip(("--features", "--attention"), input.features) for word in pair
        ],
    shell:
        "usod spectral {wildcards.recipe} --images {input.images:q} {params.features:q} --config {params.config:q}"
        " --workers {threads} --out {output.labels:q} > {log:q} 2>&1"
