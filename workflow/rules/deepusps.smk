wildcard_constraints:
    # What the name of a seed's own labels ends with: nothing for the first.
    again=r"|-seed\d+",


rule refine_labels:
    """DeepUSPS: refine the labels of one method by one stage (inter-image consistency, then self-supervision)."""
    input:
        images="results/{dataset}/images.h5",
        maps=reads("labels", "{method}-iter{stage}{again}"),
        model=reads("model", "{method}-iter{stage}{again}"),
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].network),
        features=features(lambda wildcards: VARIANTS[wildcards.variant].network),
        corrections=corrections("corrections.h5"),
    output:
        labels="results/{dataset}/deepusps/{variant}{method}/iter{stage}{again}/labels.h5",
        model="results/{dataset}/deepusps/{variant}{method}/iter{stage}{again}/model.safetensors",
        history="results/{dataset}/deepusps/{variant}{method}/iter{stage}{again}/history.csv",
    log:
        "results/logs/{dataset}/deepusps/{variant}{method}/iter{stage}{again}.log",
    benchmark:
        "results/timings/{dataset}/deepusps/{variant}{method}/iter{stage}{again}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(len(METHODS) * len(SETTINGS.deepusps.seeds))
    resources:
        gpu=gpus,
        mem_mb=memory,
        runtime="12h",
    params:
        code=code("usod.commands.deepusps"),
        refine=lambda wildcards: as_json(
            VARIANTS[wildcards.variant].refine_of(wildcards.method).of_stage(int(wildcards.stage))
        ),
        seed=lambda wildcards: VARIANTS[wildcards.variant].seed_of(wildcards.again),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].network),
        weights=weights_option,
        features=features_option,
        model_before=lambda wildcards, input: ["--model-before", *input.model] if input.model else [],
        corrections=corrections_option,
    shell:
        "usod devices run --count {resources.gpu} -- usod deepusps refine --images {input.images:q}"
        " --maps {input.maps:q} --stage {wildcards.stage} --seed {params.seed} --config {params.refine:q} --network {params.network:q} {params.weights:q} {params.features:q}"
        " {params.corrections:q} {params.model_before:q} --out-labels {output.labels:q} --out-model {output.model:q} --history {output.history:q}"
        " --threads {threads} > {log:q} 2>&1"


rule fuse_labels:
    """DeepUSPS: train one network on the labels of all methods."""
    input:
        images="results/{dataset}/images.h5",
        labels=reads("labels", "deepusps-seed{seed}"),
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].network),
        features=features(lambda wildcards: VARIANTS[wildcards.variant].network),
        corrections=corrections("corrections.h5"),
    output:
        model="results/{dataset}/deepusps/{variant}fusion/seed{seed}/model.safetensors",
        history="results/{dataset}/deepusps/{variant}fusion/seed{seed}/history.csv",
    log:
        "results/logs/{dataset}/deepusps/{variant}fusion/seed{seed}.log",
    benchmark:
        "results/timings/{dataset}/deepusps/{variant}fusion/seed{seed}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(len(SETTINGS.deepusps.seeds))
    resources:
        # --set-resources fuse_labels:gpu=4 trains it on four together.
        gpu=gpus,
        mem_mb=memory,
        runtime="24h",
    params:
        code=code("usod.commands.deepusps"),
        labels=lambda wildcards, input: [
            word
            for name, path in zip(sources(wildcards, "labels", "deepusps-seed{seed}"), input.labels, strict=True)
            for word in ("--maps" if name in METHODS else "--labels", f"{name}={path}")
        ],
        fuse=lambda wildcards: VARIANTS[wildcards.variant].deepusps.fuse.model_dump_json(),
        binarise=lambda wildcards: json.dumps(
            {name: how.model_dump() for name, how in VARIANTS[wildcards.variant].unrefined.items()}
        ),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].network),
        weights=weights_option,
        features=features_option,
        corrections=corrections_option,
    shell:
        "usod devices run --count {resources.gpu} -- usod deepusps fuse --images {input.images:q} {params.labels:q} --binarise {params.binarise:q}"
        " --seed {wildcards.seed} --devices {resources.gpu} --config {params.fuse:q} --network {params.network:q} {params.weights:q} {params.features:q}"
        " {params.corrections:q} --out {output.model:q} --history {output.history:q} --threads {threads} > {log:q} 2>&1"


rule oracle_masks:
    """The ground truth as labels, for the tables' oracles only."""
    input:
        images="results/{dataset}/images.h5",
        masks=truth,
        scenes=scenes_of,
    output:
        "results/{dataset}/oracle/masks.h5",
    log:
        "results/logs/{dataset}/oracle/masks.log",
    benchmark:
        "results/timings/{dataset}/oracle/masks.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.deepusps"),
    shell:
        "usod deepusps oracle --images {input.images:q} --masks {input.masks:q} --out {output:q} > {log:q} 2>&1"


rule oracle_labels:
    """Each pixel's best refined label, chosen with the ground truth, for the tables' oracles only."""
    input:
        images="results/{dataset}/images.h5",
        masks=truth,
        scenes=scenes_of,
        labels=reads("labels", "oracle-labels{again}"),
    output:
        "results/{dataset}/oracle/{variant}labels{again}.h5",
    log:
        "results/logs/{dataset}/oracle/{variant}labels{again}.log",
    benchmark:
        "results/timings/{dataset}/oracle/{variant}labels{again}.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.deepusps"),
        labels=lambda wildcards, input: pairs(
            "--labels", sources(wildcards, "labels", "oracle-labels{again}"), input.labels
        ),
    shell:
        "usod deepusps oracle --images {input.images:q} --masks {input.masks:q} {params.labels:q} --out {output:q}"
        " > {log:q} 2>&1"


rule deepusps_figure6:
    """DeepUSPS, Figures 6 and 8: how good the labels are after every stage, beside their networks' own maps."""
    input:
        scores=lambda wildcards: list(output_scores("deepusps_figure6").values()),
    output:
        figure="results/report/deepusps_figure6.svg",
        table="results/report/deepusps_figure6.csv",
    log:
        "results/logs/report/deepusps_figure6.log",
    benchmark:
        "results/timings/report/deepusps_figure6.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.report.stages"),
        scores=lambda wildcards, input: pairs("--score", output_scores("deepusps_figure6"), input.scores),
    shell:
        "usod report stages {params.scores:q} --out {output.figure:q} --csv {output.table:q} > {log:q} 2>&1"
