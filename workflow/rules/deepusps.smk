rule refine_labels:
    input:
        images="results/{dataset}/images.h5",
        maps=labels_before,
        model=model_before,
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].network),
        code=code("usod.commands.deepusps"),
    output:
        labels="results/{dataset}/deepusps/{variant}{method}/iter{stage}/labels.h5",
        model="results/{dataset}/deepusps/{variant}{method}/iter{stage}/model.safetensors",
        history="results/{dataset}/deepusps/{variant}{method}/iter{stage}/history.csv",
    log:
        "results/logs/{dataset}/deepusps/{variant}{method}/iter{stage}.log",
    benchmark:
        "results/timings/{dataset}/deepusps/{variant}{method}/iter{stage}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(len(METHODS))
    resources:
        gpu=gpus,
        mem_mb=training_memory,
        runtime="12h",
    params:
        refine=lambda wildcards: as_json(
            VARIANTS[wildcards.variant].refine_of(wildcards.method).of_stage(int(wildcards.stage))
        ),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].network),
        model_before=lambda wildcards, input: (f"--model-before {input.model}" if input.model else ""),
        work="results/work/{dataset}/deepusps/{variant}{method}/iter{stage}",
    shell:
        "usod devices run --count {resources.gpu} -- usod deepusps refine --images {input.images}"
        " --maps {input.maps} --stage {wildcards.stage} --config {params.refine:q} --network {params.network:q}"
        " {params.model_before} --out-labels {output.labels} --out-model {output.model} --history {output.history}"
        " --work {params.work} --threads {threads} > {log} 2>&1"


rule fuse_labels:
    input:
        images="results/{dataset}/images.h5",
        labels=lambda wildcards: list(fused_files(wildcards).values()),
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].network),
        code=code("usod.commands.deepusps"),
    output:
        model="results/{dataset}/deepusps/{variant}fusion/seed{seed}/model.safetensors",
        history="results/{dataset}/deepusps/{variant}fusion/seed{seed}/history.csv",
    log:
        "results/logs/{dataset}/deepusps/{variant}fusion/seed{seed}.log",
    benchmark:
        "results/timings/{dataset}/deepusps/{variant}fusion/seed{seed}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(len(SEEDS))
    resources:
        # --set-resources fuse_labels:gpu=4 trains it on four together.
        gpu=gpus,
        mem_mb=training_memory,
        runtime="24h",
    params:
        labels=lambda wildcards: " ".join(
            f"{'--maps' if name in METHODS else '--labels'} {name}={path}"
            for name, path in fused_files(wildcards).items()
        ),
        fuse=lambda wildcards: VARIANTS[wildcards.variant].deepusps.fuse.model_dump_json(exclude={"seeds"}),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].network),
        work="results/work/{dataset}/deepusps/{variant}fusion/seed{seed}",
    shell:
        "usod devices run --count {resources.gpu} -- usod deepusps fuse --images {input.images} {params.labels}"
        " --seed {wildcards.seed} --devices {resources.gpu} --config {params.fuse:q} --network {params.network:q} --out {output.model}"
        " --history {output.history} --work {params.work} --threads {threads} > {log} 2>&1"


rule oracle_masks:
    input:
        images="results/{dataset}/images.h5",
        masks=oracle_truth,
        code=code("usod.commands.deepusps"),
    output:
        "results/{dataset}/oracle/masks.h5",
    log:
        "results/logs/{dataset}/oracle/masks.log",
    benchmark:
        "results/timings/{dataset}/oracle/masks.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    shell:
        "usod deepusps oracle --images {input.images} --masks {input.masks} --out {output} > {log} 2>&1"


rule oracle_labels:
    input:
        images="results/{dataset}/images.h5",
        masks=oracle_truth,
        labels=lambda wildcards: list(oracle_candidates(wildcards).values()),
        code=code("usod.commands.deepusps"),
    output:
        "results/{dataset}/oracle/{variant}labels.h5",
    log:
        "results/logs/{dataset}/oracle/{variant}labels.log",
    benchmark:
        "results/timings/{dataset}/oracle/{variant}labels.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        labels=lambda wildcards: [f"--labels {name}={path}" for name, path in oracle_candidates(wildcards).items()],
    shell:
        "usod deepusps oracle --images {input.images} --masks {input.masks} {params.labels} --out {output}"
        " > {log} 2>&1"


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
