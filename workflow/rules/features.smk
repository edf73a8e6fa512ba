rule encode_images:
    """The features of a frozen encoder, computed once for all trainings and predictions that ask for them."""
    input:
        images="results/{dataset}/images.h5",
        weights=lambda wildcards: weights(ENCODERS[wildcards.encoder]),
    output:
        features="results/{dataset}/features/{encoder}.h5",
    log:
        "results/logs/{dataset}/features/{encoder}.log",
    benchmark:
        "results/timings/{dataset}/features/{encoder}.tsv"
    wildcard_constraints:
        dataset=SINGLE,
        encoder="|".join(map(re.escape, ENCODERS)) or "none",
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        gpu=gpus,
        mem_mb=memory,
        runtime="12h",
    params:
        code=code("usod.commands.features"),
        network=lambda wildcards: as_json(ENCODERS[wildcards.encoder].encoder),
        weights=weights_option,
    shell:
        "usod devices run --count {resources.gpu} -- usod features --images {input.images:q} --network {params.network:q}"
        " {params.weights:q} --out {output.features:q} --threads {threads} > {log:q} 2>&1"
