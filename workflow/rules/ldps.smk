wildcard_constraints:
    prior="|".join(re.escape(prior) for prior in {*SETTINGS.priors, SETTINGS.ldps.learn_from} - {None}),


rule train_relations:
    """LDPS: learn which pixels belong together, from the pixels of which a prior map is sure."""
    input:
        images="results/{dataset}/images.h5",
        prior=reads("maps", "ldps_train-{prior}"),
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].relation, "ldps.network"),
        corrections=corrections("corrections.h5"),
    output:
        model="results/{dataset}/ldps/{variant}{prior}/model.safetensors",
        history="results/{dataset}/ldps/{variant}{prior}/history.csv",
    log:
        "results/logs/{dataset}/ldps/{variant}{prior}.log",
    benchmark:
        "results/timings/{dataset}/ldps/{variant}{prior}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(len(PLAN.trained_by("ldps")) or 1)
    resources:
        gpu=gpus,
        mem_mb=memory,
        runtime="12h",
    params:
        code=code("usod.commands.ldps"),
        train=lambda wildcards: as_json(VARIANTS[wildcards.variant].ldps.train),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].relation),
        weights=weights_option,
        corrections=corrections_option,
    shell:
        "usod devices run --count {resources.gpu} -- usod ldps train --images {input.images:q} --prior {input.prior:q}"
        " --config {params.train:q} --network {params.network:q} {params.weights:q} --devices {resources.gpu} --out-model {output.model:q}"
        " {params.corrections:q} --history {output.history:q} --threads {threads} > {log:q} 2>&1"


rule refine_prior:
    """LDPS: refine prior maps by the learnt relations."""
    input:
        images="results/{dataset}/images.h5",
        prior=reads("maps", "ldps-{prior}"),
        model=lambda wildcards: PLAN.model(str(SystemName(f"ldps-{wildcards.prior}", variant_in(wildcards.variant)))),
    output:
        maps="results/{dataset}/ldps/{variant}{prior}/labels.h5",
    log:
        "results/logs/{dataset}/ldps/{variant}{prior}.refine.log",
    benchmark:
        "results/timings/{dataset}/ldps/{variant}{prior}.refine.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(2)
    resources:
        gpu=gpus,
        mem_mb=memory,
        runtime="4h",
    params:
        code=code("usod.commands.ldps"),
        merge=lambda wildcards: as_json(VARIANTS[wildcards.variant].ldps.merge),
    shell:
        "usod devices run --count {resources.gpu} -- usod ldps refine {input.model:q} --images {input.images:q}"
        " --prior {input.prior:q} --merge {params.merge:q} --threads {threads} --out {output.maps:q} > {log:q} 2>&1"


rule refine_singly:
    """LDPS: refine each prior map by relations that are learnt from its image alone."""
    input:
        images="results/{dataset}/images.h5",
        prior=reads("maps", "ldps_single-{prior}"),
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].relation, "ldps.network"),
    output:
        maps="results/{dataset}/ldps_single/{variant}{prior}/labels.h5",
    log:
        "results/logs/{dataset}/ldps_single/{variant}{prior}.log",
    benchmark:
        "results/timings/{dataset}/ldps_single/{variant}{prior}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(2)
    resources:
        gpu=gpus,
        mem_mb=memory,
        runtime="4h",
    params:
        code=code("usod.commands.ldps"),
        single=lambda wildcards: as_json(VARIANTS[wildcards.variant].ldps.single),
        merge=lambda wildcards: as_json(VARIANTS[wildcards.variant].ldps.merge),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].relation),
        weights=weights_option,
    shell:
        "usod devices run --count {resources.gpu} -- usod ldps single --images {input.images:q} --prior {input.prior:q}"
        " --config {params.single:q} --merge {params.merge:q} --network {params.network:q} {params.weights:q} --threads {threads}"
        " --out {output.maps:q} > {log:q} 2>&1"


rule refine_prior_with_crf:
    """The dense CRF that LDPS is compared with (Table 3): on prior maps at the images' own sizes."""
    input:
        index="results/{dataset}/index.csv",
        scenes=scenes_of,
        prior=reads("maps", "ldps_crf-{prior}"),
    output:
        maps="results/{dataset}/ldps_crf/{variant}{prior}/labels.h5",
    log:
        "results/logs/{dataset}/ldps_crf/{variant}{prior}.log",
    benchmark:
        "results/timings/{dataset}/ldps_crf/{variant}{prior}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(2)
    resources:
        gpu=gpus,
        mem_mb=memory,
        runtime="4h",
    params:
        code=code("usod.commands.crf"),
        crf=lambda wildcards: as_json(VARIANTS[wildcards.variant].ldps.crf),
    shell:
        "usod devices run --count {resources.gpu} -- usod crf refine {input.prior:q} --index {input.index:q}"
        " --config {params.crf:q} --threads {threads} --out {output.maps:q} > {log:q} 2>&1"


rule show_changes:
    """The maps that LDPS changed most, for better and for worse."""
    input:
        images="results/{testset}/images.h5",
        before=lambda wildcards: maps_of(wildcards.testset, wildcards.prior),
        after="results/{testset}/ldps/{prior}/labels.h5",
        scores_before="results/scores/{testset}/{prior}.csv",
        scores_after="results/scores/{testset}/ldps-{prior}.csv",
        masks="results/{testset}/masks.csv",
        scenes=scenes_of,
    output:
        figure=report(
            "results/report/changes-{testset}-{prior}.png",
            caption="../report/changes.rst",
            category="Pictures",
            labels={"data set": "{testset}", "as": "LDPS on {prior}"},
        ),
    log:
        "results/logs/report/changes-{testset}-{prior}.log",
    benchmark:
        "results/timings/report/changes-{testset}-{prior}.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.report.changes"),
    shell:
        "usod report changes --images {input.images:q} --before {input.before:q} --after {input.after:q}"
        " --scores-before {input.scores_before:q} --scores-after {input.scores_after:q} --masks {input.masks:q}"
        " --out {output.figure:q} > {log:q} 2>&1"
