rule activate:
    """A2S, stage 1: labels from what a pretrained encoder answers to."""
    input:
        images="results/{dataset}/images.h5",
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].encoder, "a2s.encoder"),
    output:
        labels="results/{dataset}/a2s/{variant}stage1/labels.h5",
        model="results/{dataset}/a2s/{variant}stage1/model.safetensors",
        history="results/{dataset}/a2s/{variant}stage1/history.csv",
        watched="results/{dataset}/a2s/{variant}stage1/watched.h5",
    log:
        "results/logs/{dataset}/a2s/{variant}stage1.log",
    benchmark:
        "results/timings/{dataset}/a2s/{variant}stage1.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        gpu=gpus,
        mem_mb=memory,
        runtime="12h",
    params:
        code=code("usod.commands.a2s"),
        stage1=lambda wildcards: as_json(VARIANTS[wildcards.variant].a2s.stage1),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].encoder),
        weights=weights_option,
    shell:
        "usod devices run --count {resources.gpu} -- usod a2s stage1 --images {input.images:q} --config {params.stage1:q}"
        " --network {params.network:q} {params.weights:q} --out-labels {output.labels:q} --out-model {output.model:q}"
        " --history {output.history:q} --out-watched {output.watched:q} --threads {threads}"
        " > {log:q} 2>&1"


rule detect:
    """A2S, stage 2: a detector that learns labels and rectifies them."""
    input:
        images="results/{dataset}/images.h5",
        labels=detector_labels,
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].detector, "a2s.detector"),
    output:
        labels="results/{dataset}/a2s/{variant}stage2/labels.h5",
        model="results/{dataset}/a2s/{variant}stage2/model.safetensors",
        history="results/{dataset}/a2s/{variant}stage2/history.csv",
    log:
        "results/logs/{dataset}/a2s/{variant}stage2.log",
    benchmark:
        "results/timings/{dataset}/a2s/{variant}stage2.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        # --set-resources detect:gpu=4 trains it on four together.
        gpu=gpus,
        mem_mb=memory,
        runtime="12h",
    params:
        code=code("usod.commands.a2s"),
        stage2=lambda wildcards: as_json(VARIANTS[wildcards.variant].a2s.stage2),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].detector),
        weights=weights_option,
    shell:
        "usod devices run --count {resources.gpu} -- usod a2s stage2 --images {input.images:q} --labels {input.labels:q}"
        " --config {params.stage2:q} --network {params.network:q} {params.weights:q} --devices {resources.gpu} --out-labels {output.labels:q}"
        " --out-model {output.model:q} --history {output.history:q} --threads {threads} > {log:q} 2>&1"


rule a2s:
    """A2S: both stages, as far as they are needed."""
    input:
        expand(
            "results/{dataset}/a2s/{stage}/{file}",
            dataset=SETTINGS.train,
            stage=[system.removeprefix("a2s-") for system in a2s_systems()],
            file=["labels.h5", "model.safetensors", "history.csv"],
        ),
    localrule: True
