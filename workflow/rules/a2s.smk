rule a2s_stage1:
    """A2S, stage 1: learn to gather what a pretrained encoder answers to."""
    input:
        images="results/{dataset}/images.h5",
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].encoder, "a2s.encoder"),
    output:
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
        " --network {params.network:q} {params.weights:q} --out-model {output.model:q}"
        " --history {output.history:q} --out-watched {output.watched:q} --threads {threads}"
        " > {log:q} 2>&1"


rule a2s_labels:
    """A2S: the pseudo-labels of any data set, from the activations of stage 1 (Eq. 6)."""
    input:
        index="results/{dataset}/index.csv",
        scenes=scenes_of,
        model=lambda wildcards: PLAN.model(str(SystemName("a2s-stage1", variant_in(wildcards.variant)))),
    output:
        labels="results/{dataset}/a2s/{variant}stage1/labels.h5",
    log:
        "results/logs/{dataset}/a2s/{variant}stage1.labels.log",
    benchmark:
        "results/timings/{dataset}/a2s/{variant}stage1.labels.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        gpu=gpus,
        mem_mb=memory,
        runtime="12h",
    params:
        code=code("usod.commands.a2s"),
        labels=lambda wildcards: as_json(VARIANTS[wildcards.variant].a2s.pseudo_labels),
    shell:
        "usod devices run --count {resources.gpu} -- usod a2s labels {input.model:q} --index {input.index:q}"
        " --config {params.labels:q} --threads {threads} --out {output.labels:q} > {log:q} 2>&1"


rule a2s_stage2:
    """A2S, stage 2: a detector that learns labels and rectifies them."""
    input:
        images="results/{dataset}/images.h5",
        labels=reads("labels", "a2s-stage2"),
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].detector, "a2s.detector"),
        features=features(lambda wildcards: VARIANTS[wildcards.variant].detector),
        corrections=corrections("corrections.h5"),
    output:
        labels="results/{dataset}/a2s/{variant}stage2/labels.h5",
        model="results/{dataset}/a2s/{variant}stage2/model.safetensors",
        history="results/{dataset}/a2s/{variant}stage2/history.csv",
        watched="results/{dataset}/a2s/{variant}stage2/watched.h5",
    log:
        "results/logs/{dataset}/a2s/{variant}stage2.log",
    benchmark:
        "results/timings/{dataset}/a2s/{variant}stage2.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        # --set-resources a2s_stage2:gpu=4 trains it on four together.
        gpu=gpus,
        mem_mb=memory,
        runtime="12h",
    params:
        code=code("usod.commands.a2s"),
        stage2=lambda wildcards: as_json(VARIANTS[wildcards.variant].a2s.stage2),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].detector),
        weights=weights_option,
        features=features_option,
        corrections=corrections_option,
    shell:
        "usod devices run --count {resources.gpu} -- usod a2s stage2 --images {input.images:q} --labels {input.labels:q}"
        " --config {params.stage2:q} --network {params.network:q} {params.weights:q} {params.features:q} --devices {resources.gpu} --out-labels {output.labels:q}"
        " {params.corrections:q} --out-model {output.model:q} --history {output.history:q} --out-watched {output.watched:q}"
        " --threads {threads} > {log:q} 2>&1"


rule show_activations:
    """What A2S's first stage answers to while it learns."""
    input:
        images="results/{dataset}/images.h5",
        maps="results/{dataset}/a2s/stage1/watched.h5",
    output:
        figure=report(
            "results/report/activations-{dataset}.png",
            caption="../report/watched.rst",
            category="Pictures",
            labels={"data set": "{dataset}", "as": "A2S activations"},
        ),
    log:
        "results/logs/report/activations-{dataset}.log",
    benchmark:
        "results/timings/report/activations-{dataset}.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.report.watched"),
        shown=SETTINGS.report.examples,
    shell:
        "usod report watched --images {input.images:q} --maps activation={input.maps:q} --count {params.shown}"
        " --out {output.figure:q} > {log:q} 2>&1"


rule a2s_figure5:
    """A2S, Fig. 5: what three thresholds cut out of activation maps before the training."""
    input:
        images=f"results/{SETTINGS.train}/images.h5",
        masks=f"results/{SETTINGS.train}/masks.csv" if SETTINGS.train in PLAN.scored_sets() else [],
        scenes=scenes_of(SETTINGS.train),
        weights=lambda wildcards: weights(SETTINGS.encoder, "a2s.encoder"),
    output:
        "results/report/a2s_figure5.png",
    log:
        "results/logs/report/a2s_figure5.log",
    benchmark:
        "results/timings/report/a2s_figure5.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        gpu=gpus,
        mem_mb=memory,
    params:
        code=code("usod.commands.report.thresholds"),
        network=lambda wildcards: as_json(SETTINGS.encoder),
        weights=weights_option,
        masks=lambda wildcards, input: ["--masks", input.masks] if input.masks else [],
        seed=SETTINGS.a2s.stage1.seed,
        shown=SETTINGS.report.examples,
    shell:
        "usod devices run --count {resources.gpu} -- usod report thresholds --images {input.images:q} {params.masks:q}"
        " --network {params.network:q} {params.weights:q} --seed {params.seed} --count {params.shown} --threads {threads}"
        " --out {output:q} > {log:q} 2>&1"


rule show_rams:
    """The features of the detector's residual attention modules."""
    input:
        model=f"results/{SETTINGS.train}/a2s/stage2/model.safetensors",
        images="results/{testset}/images.h5",
        masks="results/{testset}/masks.csv",
        scenes=scenes_of,
    output:
        "results/report/a2s_figure11-{testset}.png",
    log:
        "results/logs/report/a2s_figure11-{testset}.log",
    benchmark:
        "results/timings/report/a2s_figure11-{testset}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        gpu=gpus,
        mem_mb=memory,
    params:
        code=code("usod.commands.report.rams"),
    shell:
        "usod devices run --count {resources.gpu} -- usod report rams {input.model:q} --images {input.images:q}"
        " --masks {input.masks:q} --threads {threads} --out {output:q} > {log:q} 2>&1"


rule a2s_figure11:
    """A2S, Fig. 11, on every test set."""
    input:
        expand("results/report/a2s_figure11-{testset}.png", testset=SETTINGS.test),
    localrule: True


rule measure_variance:
    """A2S, Table 1: how far the activations move when the encoder learns."""
    input:
        images=f"results/{SETTINGS.train}/images.h5",
        model=f"results/{SETTINGS.train}/a2s/stage1/model.safetensors",
        weights=lambda wildcards: weights(SETTINGS.encoder, "a2s.encoder"),
    output:
        report(
            "results/report/a2s_table1.csv",
            caption="../report/variance.rst",
            category="Ablations",
            labels={"table": "a2s_table1", "as": "table"},
        ),
    log:
        "results/logs/report/a2s_table1.log",
    benchmark:
        "results/timings/report/a2s_table1.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        gpu=gpus,
        mem_mb=memory,
        runtime="4h",
    params:
        code=code("usod.commands.a2s"),
        network=lambda wildcards: as_json(SETTINGS.encoder),
        weights=weights_option,
        seed=SETTINGS.a2s.stage1.seed,
    shell:
        "usod devices run --count {resources.gpu} -- usod a2s variance --images {input.images:q} --model {input.model:q}"
        " --network {params.network:q} {params.weights:q} --seed {params.seed} --threads {threads} --out {output:q} > {log:q} 2>&1"


rule a2s_table1:
    """A2S, Table 1."""
    input:
        rules.measure_variance.output,
    localrule: True
