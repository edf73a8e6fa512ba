rule activate:
    input:
        images="results/{dataset}/images.h5",
        weights=weights(SETTINGS.encoder, "a2s.encoder"),
        code=code("usod.commands.a2s"),
    output:
        labels="results/{dataset}/a2s/stage1/labels.h5",
        model="results/{dataset}/a2s/stage1/model.safetensors",
        history="results/{dataset}/a2s/stage1/history.csv",
    log:
        "results/logs/{dataset}/a2s/stage1.log",
    benchmark:
        "results/timings/{dataset}/a2s/stage1.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        gpu=gpus,
    params:
        stage1=as_json(SETTINGS.a2s.stage1),
        network=as_json(SETTINGS.encoder),
        work="results/work/{dataset}/a2s/stage1",
    shell:
        "usod devices run --count {resources.gpu} -- usod a2s stage1 --images {input.images} --config {params.stage1:q}"
        " --network {params.network:q} --out-labels {output.labels} --out-model {output.model}"
        " --history {output.history} --work {params.work} --threads {threads} > {log} 2>&1"


rule detect:
    input:
        images="results/{dataset}/images.h5",
        labels=lambda wildcards: labels_of(wildcards.dataset, SETTINGS.a2s.labels),
        weights=weights(SETTINGS.detector, "a2s.detector"),
        code=code("usod.commands.a2s"),
    output:
        labels="results/{dataset}/a2s/stage2/labels.h5",
        model="results/{dataset}/a2s/stage2/model.safetensors",
        history="results/{dataset}/a2s/stage2/history.csv",
    log:
        "results/logs/{dataset}/a2s/stage2.log",
    benchmark:
        "results/timings/{dataset}/a2s/stage2.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        # --set-resources detect:gpu=4 trains it on four together.
        gpu=gpus,
    params:
        stage2=as_json(SETTINGS.a2s.stage2),
        network=as_json(SETTINGS.detector),
        work="results/work/{dataset}/a2s/stage2",
    shell:
        "usod devices run --count {resources.gpu} -- usod a2s stage2 --images {input.images} --labels {input.labels}"
        " --config {params.stage2:q} --network {params.network:q} --devices {resources.gpu} --out-labels {output.labels}"
        " --out-model {output.model} --history {output.history} --work {params.work} --threads {threads} > {log} 2>&1"


rule a2s:
    input:
        expand(
            "results/{dataset}/a2s/{stage}/{file}",
            dataset=SETTINGS.train,
            stage=["stage1", "stage2"],
            file=["labels.h5", "model.safetensors", "history.csv"],
        ),
    localrule: True
