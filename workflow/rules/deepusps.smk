rule refine_labels:
    input:
        images="results/{dataset}/images.h5",
        maps=labels_before,
        model=model_before,
        weights=weights(),
        code=code("usod.commands.deepusps"),
    output:
        labels="results/{dataset}/deepusps/{method}/iter{stage}/labels.h5",
        model="results/{dataset}/deepusps/{method}/iter{stage}/model.safetensors",
        history="results/{dataset}/deepusps/{method}/iter{stage}/history.csv",
    log:
        "results/logs/{dataset}/deepusps/{method}/iter{stage}.log",
    benchmark:
        "results/timings/{dataset}/deepusps/{method}/iter{stage}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(len(METHODS))
    resources:
        gpu=gpus,
    params:
        refine=lambda wildcards: as_json(SETTINGS.refine_of(wildcards.method).of_stage(int(wildcards.stage))),
        network=as_json(SETTINGS.network),
        model_before=lambda wildcards, input: (f"--model-before {input.model}" if input.model else ""),
        work="results/work/{dataset}/deepusps/{method}/iter{stage}",
    shell:
        "usod devices run --count {resources.gpu} -- usod deepusps refine --images {input.images}"
        " --maps {input.maps} --stage {wildcards.stage} --config {params.refine:q} --network {params.network:q}"
        " {params.model_before} --out-labels {output.labels} --out-model {output.model} --history {output.history}"
        " --work {params.work} --threads {threads} > {log} 2>&1"


rule fuse_labels:
    input:
        images="results/{dataset}/images.h5",
        labels=lambda wildcards: [labels_of(wildcards.dataset, label) for label in fused_labels()],
        weights=weights(),
        code=code("usod.commands.deepusps"),
    output:
        model="results/{dataset}/deepusps/fusion/seed{seed}/model.safetensors",
        history="results/{dataset}/deepusps/fusion/seed{seed}/history.csv",
    log:
        "results/logs/{dataset}/deepusps/fusion/seed{seed}.log",
    benchmark:
        "results/timings/{dataset}/deepusps/fusion/seed{seed}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(len(SEEDS))
    resources:
        # --set-resources fuse_labels:gpu=4 trains it on four together.
        gpu=gpus,
    params:
        labels=lambda wildcards, input: " ".join(
            f"--labels {name}={path}"
            for name, path in zip(SETTINGS.deepusps.labels or METHODS, input.labels, strict=True)
        ),
        fuse=SETTINGS.deepusps.fuse.model_dump_json(exclude={"seeds"}),
        network=as_json(SETTINGS.network),
        work="results/work/{dataset}/deepusps/fusion/seed{seed}",
    shell:
        "usod devices run --count {resources.gpu} -- usod deepusps fuse --images {input.images} {params.labels}"
        " --seed {wildcards.seed} --devices {resources.gpu} --config {params.fuse:q} --network {params.network:q} --out {output.model}"
        " --history {output.history} --work {params.work} --threads {threads} > {log} 2>&1"


rule deepusps:
    input:
        expand(
            "results/{dataset}/deepusps/fusion/seed{seed}/{file}",
            dataset=SETTINGS.train,
            seed=SEEDS,
            file=["model.safetensors", "history.csv"],
        ),
        # Named here, a stage's file that was deleted is made again; as mere intermediates they would not be missed.
        expand(
            "results/{dataset}/deepusps/{method}/iter{stage}/{file}",
            dataset=SETTINGS.train,
            method=refined_methods(),
            stage=STAGES,
            file=["labels.h5", "model.safetensors", "history.csv"],
        ),
    localrule: True
