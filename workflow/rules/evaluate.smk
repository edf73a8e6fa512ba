rule predict_maps:
    """Predict the maps of a data set with a trained network."""
    input:
        model=model_of,
        images="results/{testset}/images.h5",
        features=features(lambda wildcards: PLAN.encoder(wildcards.system), "testset"),
    output:
        maps="results/predictions/{testset}/{system}.h5",
    log:
        "results/logs/predictions/{testset}/{system}.log",
    benchmark:
        "results/timings/predictions/{testset}/{system}.tsv"
    wildcard_constraints:
        # A name that begins with such a word (crf-, spcrf-) is the output of another rule.
        system=f"(?!{'|'.join(f'{word}-' for word in SETTINGS.registry.posts if word != RAW)})[^/]+",
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(2)
    resources:
        gpu=gpus,
        mem_mb=bounded_memory,
        runtime="4h",
    params:
        code=code("usod.commands.predict"),
        crf=lambda wildcards: (
            "none"
            if RAW in PLAN.name(wildcards.system).post or SETTINGS.benchmark.crf is None
            else as_json(SETTINGS.benchmark.crf)
        ),
        batch=SETTINGS.benchmark.batch_size,
        precision=SETTINGS.benchmark.precision,
        features=features_option,
    shell:
        "usod devices run --count {resources.gpu} -- usod predict {input.model:q} {input.images:q} --out {output.maps:q}"
        " {params.features:q} --crf {params.crf:q} --batch {params.batch} --precision {params.precision} --threads {threads} > {log:q} 2>&1"


rule refine_with_crf:
    """Refine any maps by the dense CRF."""
    input:
        maps=lambda wildcards: maps_of(wildcards.testset, wildcards.system),
        images="results/{testset}/images.h5",
    output:
        maps="results/predictions/{testset}/crf-{system}.h5",
    log:
        "results/logs/predictions/{testset}/crf-{system}.log",
    benchmark:
        "results/timings/predictions/{testset}/crf-{system}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(2)
    resources:
        gpu=gpus,
        mem_mb=memory,
        runtime="4h",
    params:
        code=code("usod.commands.crf"),
        crf=lambda wildcards: as_json(SETTINGS.benchmark.crf or CrfConfig().at(SETTINGS.size)),
    shell:
        "usod devices run --count {resources.gpu} -- usod crf refine {input.maps:q} --images {input.images:q}"
        " --config {params.crf:q} --threads {threads} --out {output.maps:q} > {log:q} 2>&1"


rule score_maps:
    """Score a system's maps against the masks, image by image and in sum."""
    input:
        maps=lambda wildcards: maps_of(wildcards.testset, wildcards.system),
        masks="results/{testset}/masks.csv",
        scenes=scenes_of,
        corrections=corrected_of_the_same,
    output:
        per_image="results/scores/{testset}/{system}.csv",
        summary="results/scores/{testset}/{system}.json",
    log:
        "results/logs/scores/{testset}/{system}.log",
    benchmark:
        "results/timings/scores/{testset}/{system}.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.evaluate"),
        protocols=[f"--protocol {name}" for name in SETTINGS.benchmark.protocols],
        # Of these the masks are what was learnt: scores on them say nothing.
        without=without_corrected,
    shell:
        "usod evaluate {input.maps:q} --index {input.masks:q} --per-image {output.per_image:q} --json {output.summary:q}"
        " {params.without:q} {params.protocols} --workers {threads} > {log:q} 2>&1"


rule rank_doubts:
    """Rank the images by how much the methods disagree on them."""
    input:
        labels=lambda wildcards: list(PLAN.doubted(wildcards.dataset).values()),
        before=lambda wildcards: list(PLAN.doubted_before(wildcards.dataset).values()),
        learnt=lambda wildcards: list(PLAN.learnt(wildcards.dataset).values()),
        index="results/{dataset}/index.csv",
        corrections=corrections("corrections.csv"),
    output:
        csv="results/report/doubts-{dataset}.csv",
    log:
        "results/logs/report/doubts-{dataset}.log",
    benchmark:
        "results/timings/report/doubts-{dataset}.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.maps.agree"),
        labels=lambda wildcards, input: pairs("--labels", PLAN.doubted(wildcards.dataset), input.labels),
        before=lambda wildcards, input: pairs("--before", PLAN.doubted_before(wildcards.dataset), input.before),
        learnt=lambda wildcards, input: pairs("--learnt", PLAN.learnt(wildcards.dataset), input.learnt),
        corrections=corrections_option,
    shell:
        "usod maps agree {params.labels:q} {params.before:q} {params.learnt:q} {params.corrections:q} --index {input.index:q} --csv {output.csv:q} > {log:q} 2>&1"


rule benchmark:
    """The scores of all systems on all data sets with masks."""
    input:
        [file for testset in PLAN.scored_sets() for file in PLAN.score_files(testset)],
    localrule: True
