rule distil_maps:
    """Distillation: a network that learns the maps of whatever came before."""
    input:
        images="results/{dataset}/images.h5",
        labels=reads("maps", "distil-{distilled}"),
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].distilled_network(wildcards.distilled), "distil"),
        features=features(lambda wildcards: VARIANTS[wildcards.variant].distilled_network(wildcards.distilled)),
        corrections=corrections("corrections.h5"),
    output:
        model="results/{dataset}/distil/{variant}{distilled}/model.safetensors",
        history="results/{dataset}/distil/{variant}{distilled}/history.csv",
    log:
        "results/logs/{dataset}/distil/{variant}{distilled}.log",
    benchmark:
        "results/timings/{dataset}/distil/{variant}{distilled}.tsv"
    wildcard_constraints:
        distilled=r"round\d+|student",
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        # --set-resources distil_maps:gpu=4 trains it on four together.
        gpu=gpus,
        mem_mb=memory,
        runtime="24h",
    params:
        code=code("usod.commands.distil"),
        learn=lambda wildcards: as_json(VARIANTS[wildcards.variant].distilled_how(wildcards.distilled)),
        student=lambda wildcards: ["--student"] if wildcards.distilled == "student" else [],
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].distilled_network(wildcards.distilled)),
        weights=weights_option,
        features=features_option,
        corrections=corrections_option,
    shell:
        "usod devices run --count {resources.gpu} -- usod distil learn --images {input.images:q} --labels {input.labels:q}"
        " {params.student} --config {params.learn:q} --network {params.network:q} {params.weights:q} {params.features:q}"
        " {params.corrections:q} --devices {resources.gpu} --out {output.model:q} --history {output.history:q} --threads {threads} > {log:q} 2>&1"
