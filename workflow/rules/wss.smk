rule index_tags:
    input:
        scenes=scenes_of,
        index="results/{dataset}/index.csv",
        code=code("usod.data.tags"),
    output:
        tags="results/{dataset}/tags.csv",
    log:
        "results/logs/{dataset}/tags.log",
    benchmark:
        "results/timings/{dataset}/tags.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        source=tags_of,
        listing=tags_listing,
    shell:
        "usod data tags --index {input.index} --source {params.source:q} --out {output.tags} > {log} 2>&1"


rule learn_tags:
    input:
        images="results/{dataset}/images.h5",
        tags="results/{dataset}/tags.csv",
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].tagger, "wss.network"),
        code=code("usod.commands.wss"),
    output:
        model="results/{dataset}/wss/{variant}pretrain/model.safetensors",
        history="results/{dataset}/wss/{variant}pretrain/history.csv",
    log:
        "results/logs/{dataset}/wss/{variant}pretrain.log",
    benchmark:
        "results/timings/{dataset}/wss/{variant}pretrain.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        gpu=gpus,
        mem_mb=training_memory,
        runtime="12h",
    params:
        pretrain=lambda wildcards: as_json(VARIANTS[wildcards.variant].wss.pretrain),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].tagger),
        work="results/work/{dataset}/wss/{variant}pretrain",
    shell:
        "usod devices run --count {resources.gpu} -- usod wss pretrain --images {input.images} --tags {input.tags}"
        " --config {params.pretrain:q} --network {params.network:q} --out-model {output.model}"
        " --history {output.history} --work {params.work} --threads {threads} > {log} 2>&1"


rule predict_foreground:
    input:
        images="results/{dataset}/images.h5",
        model=lambda wildcards: f"{stage_before(wildcards)}/model.safetensors",
        code=code("usod.commands.predict"),
    output:
        maps="results/{dataset}/wss/{variant}iter{stage}/maps.h5",
    log:
        "results/logs/{dataset}/wss/{variant}iter{stage}.predict.log",
    benchmark:
        "results/timings/{dataset}/wss/{variant}iter{stage}.predict.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        gpu=gpus,
    shell:
        "usod devices run --count {resources.gpu} -- usod predict {input.model} {input.images} --out {output.maps}"
        " --crf none --threads {threads} > {log} 2>&1"


rule estimate_labels:
    input:
        images="results/{dataset}/images.h5",
        maps="results/{dataset}/wss/{variant}iter{stage}/maps.h5",
        code=code("usod.commands.crf"),
    output:
        labels="results/{dataset}/wss/{variant}iter{stage}/labels.h5",
    log:
        "results/logs/{dataset}/wss/{variant}iter{stage}.crf.log",
    benchmark:
        "results/timings/{dataset}/wss/{variant}iter{stage}.crf.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: cores()
    params:
        crf=lambda wildcards: as_json(VARIANTS[wildcards.variant].wss.crf),
    shell:
        "usod crf superpixel {input.maps} --images {input.images} --config {params.crf:q} --workers {threads}"
        " --out {output.labels} > {log} 2>&1"


rule learn_estimates:
    input:
        images="results/{dataset}/images.h5",
        labels="results/{dataset}/wss/{variant}iter{stage}/labels.h5",
        model=lambda wildcards: f"{stage_before(wildcards)}/model.safetensors",
        code=code("usod.commands.wss"),
    output:
        model="results/{dataset}/wss/{variant}iter{stage}/model.safetensors",
        history="results/{dataset}/wss/{variant}iter{stage}/history.csv",
    log:
        "results/logs/{dataset}/wss/{variant}iter{stage}.log",
    benchmark:
        "results/timings/{dataset}/wss/{variant}iter{stage}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: training_threads(1)
    resources:
        gpu=gpus,
        mem_mb=training_memory,
        runtime="12h",
    params:
        selftrain=lambda wildcards: as_json(VARIANTS[wildcards.variant].wss.selftrain),
        work="results/work/{dataset}/wss/{variant}iter{stage}",
    shell:
        "usod devices run --count {resources.gpu} -- usod wss selftrain --images {input.images} --labels {input.labels}"
        " --model-before {input.model} --config {params.selftrain:q} --out-model {output.model}"
        " --history {output.history} --work {params.work} --threads {threads} > {log} 2>&1"


rule wss:
    input:
        expand("results/{dataset}/tags.csv", dataset=SETTINGS.train),
        [
            f"{folder_of(SETTINGS.train, system)}/{file}"
            for system in wss_systems()
            for file in ("model.safetensors", "history.csv")
        ],
    localrule: True
