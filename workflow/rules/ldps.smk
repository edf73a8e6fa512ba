rule train_relations:
    """LDPS: learn which pixels go with what a prior map is sure of."""
    input:
        images="results/{dataset}/images.h5",
        prior=lambda wildcards: maps_of(wildcards.dataset, wildcards.prior),
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].relation, "ldps.network"),
    output:
        model="results/{dataset}/ldps/{variant}{prior}/model.safetensors",
        history="results/{dataset}/ldps/{variant}{prior}/history.csv",
    log:
        "results/logs/{dataset}/ldps/{variant}{prior}.log",
    benchmark:
        "results/timings/{dataset}/ldps/{variant}{prior}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(len(relation_networks()) or 1)
    resources:
        gpu=gpus,
        mem_mb=memory,
        runtime="12h",
    params:
        code=code("usod.commands.ldps"),
        train=lambda wildcards: as_json(VARIANTS[wildcards.variant].ldps.train),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].relation),
        weights=weights_option,
    shell:
        "usod devices run --count {resources.gpu} -- usod ldps train --images {input.images:q} --prior {input.prior:q}"
        " --config {params.train:q} --network {params.network:q} {params.weights:q} --devices {resources.gpu} --out-model {output.model:q}"
        " --history {output.history:q} --threads {threads} > {log:q} 2>&1"


rule refine_prior:
    """LDPS: refine prior maps by the learnt relations."""
    input:
        images="results/{dataset}/images.h5",
        prior=lambda wildcards: maps_of(wildcards.dataset, wildcards.prior),
        model=lambda wildcards: model_file(named(f"ldps-{wildcards.prior}", variant_of(wildcards))),
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
        prior=lambda wildcards: maps_of(wildcards.dataset, wildcards.prior),
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


rule ldps:
    """LDPS: the relation networks and the refined maps of all priors."""
    input:
        [
            f"{folder_of(SETTINGS.train, system)}/{file}"
            for system in relation_networks()
            for file in ("model.safetensors", "history.csv")
        ],
        [maps_of(dataset, system) for dataset in scored_sets() + [SETTINGS.train] for system in ldps_systems()],
    localrule: True
