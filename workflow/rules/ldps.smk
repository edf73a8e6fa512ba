rule train_relations:
    input:
        images="results/{dataset}/images.h5",
        prior=lambda wildcards: maps_of(wildcards.dataset, wildcards.prior),
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].relation, "ldps.network"),
        code=code("usod.commands.ldps"),
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
        mem_mb=training_memory,
        runtime="12h",
    params:
        train=lambda wildcards: as_json(VARIANTS[wildcards.variant].ldps.train),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].relation),
        work="results/work/{dataset}/ldps/{variant}{prior}",
    shell:
        "usod devices run --count {resources.gpu} -- usod ldps train --images {input.images} --prior {input.prior}"
        " --config {params.train:q} --network {params.network:q} --devices {resources.gpu} --out-model {output.model}"
        " --history {output.history} --work {params.work} --threads {threads} > {log} 2>&1"


rule refine_prior:
    input:
        images="results/{dataset}/images.h5",
        prior=lambda wildcards: maps_of(wildcards.dataset, wildcards.prior),
        model=lambda wildcards: (
            f"{folder_of(SETTINGS.train, relation_network(wildcards.prior, variant_of(wildcards)))}/model.safetensors"
        ),
        code=code("usod.commands.ldps"),
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
    params:
        merge=lambda wildcards: as_json(VARIANTS[wildcards.variant].ldps.merge),
    shell:
        "usod devices run --count {resources.gpu} -- usod ldps refine {input.model} --images {input.images}"
        " --prior {input.prior} --merge {params.merge:q} --threads {threads} --out {output.maps} > {log} 2>&1"


rule refine_singly:
    input:
        images="results/{dataset}/images.h5",
        prior=lambda wildcards: maps_of(wildcards.dataset, wildcards.prior),
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].relation, "ldps.network"),
        code=code("usod.commands.ldps"),
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
    params:
        single=lambda wildcards: as_json(VARIANTS[wildcards.variant].ldps.single),
        merge=lambda wildcards: as_json(VARIANTS[wildcards.variant].ldps.merge),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].relation),
    shell:
        "usod devices run --count {resources.gpu} -- usod ldps single --images {input.images} --prior {input.prior}"
        " --config {params.single:q} --merge {params.merge:q} --network {params.network:q} --threads {threads}"
        " --out {output.maps} > {log} 2>&1"


rule ldps:
    input:
        [
            f"{folder_of(SETTINGS.train, system)}/{file}"
            for system in relation_networks()
            for file in ("model.safetensors", "history.csv")
        ],
        [maps_of(dataset, system) for dataset in scored_sets() + [SETTINGS.train] for system in ldps_systems()],
    localrule: True
