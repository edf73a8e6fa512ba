rule index_tags:
    """List what is in each training image (image-level tags, for WSS)."""
    input:
        scenes=scenes_of,
        index="results/{dataset}/index.csv",
    output:
        tags="results/{dataset}/tags.csv",
    log:
        "results/logs/{dataset}/tags.log",
    benchmark:
        "results/timings/{dataset}/tags.tsv"
    wildcard_constraints:
        dataset=SINGLE,
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.data.tags"),
        source=tags_of,
        listing=tags_listing,
    shell:
        "usod data tags --index {input.index:q} --source {params.source:q} --out {output.tags:q} > {log:q} 2>&1"


rule learn_tags:
    """WSS: learn a foreground map from image-level tags."""
    input:
        images="results/{dataset}/images.h5",
        tags="results/{dataset}/tags.csv",
        weights=lambda wildcards: weights(VARIANTS[wildcards.variant].tagger, "wss.network"),
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
        mem_mb=bounded_memory,
        runtime="12h",
    params:
        code=code("usod.commands.wss"),
        pretrain=lambda wildcards: as_json(VARIANTS[wildcards.variant].wss.pretrain),
        network=lambda wildcards: as_json(VARIANTS[wildcards.variant].tagger),
        weights=weights_option,
    shell:
        "usod devices run --count {resources.gpu} -- usod wss pretrain --images {input.images:q} --tags {input.tags:q}"
        " --config {params.pretrain:q} --network {params.network:q} {params.weights:q} --out-model {output.model:q}"
        " --history {output.history:q} --threads {threads} > {log:q} 2>&1"


rule show_average:
    """WSS1-AVE of Fig. 6: the network of the tags, its maps the mean of its score maps."""
    input:
        model=reads("model", "wss-average"),
    output:
        model="results/{dataset}/wss/{variant}average/model.safetensors",
    log:
        "results/logs/{dataset}/wss/{variant}average.log",
    benchmark:
        "results/timings/{dataset}/wss/{variant}average.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.wss"),
    shell:
        "usod wss average {input.model:q} --out-model {output.model:q} > {log:q} 2>&1"


rule predict_foreground:
    """WSS: the foreground maps of the training images, by the network of the round before."""
    input:
        images="results/{dataset}/images.h5",
        model=reads("model", "wss-iter{stage}"),
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
        mem_mb=bounded_memory,
        runtime="4h",
    params:
        code=code("usod.commands.predict"),
        precision=SETTINGS.benchmark.precision,
    shell:
        "usod devices run --count {resources.gpu} -- usod predict {input.model:q} {input.images:q} --out {output.maps:q}"
        " --crf none --precision {params.precision} --threads {threads} > {log:q} 2>&1"


rule estimate_labels:
    """WSS: refine the foreground maps by a CRF on superpixels."""
    input:
        images="results/{dataset}/images.h5",
        maps="results/{dataset}/wss/{variant}iter{stage}/maps.h5",
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
        code=code("usod.commands.crf"),
        crf=lambda wildcards: as_json(VARIANTS[wildcards.variant].wss.crf),
    shell:
        "usod crf superpixel {input.maps:q} --images {input.images:q} --config {params.crf:q} --workers {threads}"
        " --out {output.labels:q} > {log:q} 2>&1"


rule learn_estimates:
    """WSS: train the network again, on its refined maps."""
    input:
        images="results/{dataset}/images.h5",
        labels="results/{dataset}/wss/{variant}iter{stage}/labels.h5",
        model=reads("model", "wss-iter{stage}"),
        corrections=corrections("corrections.h5"),
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
        mem_mb=bounded_memory,
        runtime="12h",
    params:
        code=code("usod.commands.wss"),
        selftrain=lambda wildcards: as_json(VARIANTS[wildcards.variant].wss.selftrain),
        corrections=corrections_option,
    shell:
        "usod devices run --count {resources.gpu} -- usod wss selftrain --images {input.images:q} --labels {input.labels:q}"
        " --model-before {input.model:q} --config {params.selftrain:q} --out-model {output.model:q}"
        " {params.corrections:q} --history {output.history:q} --threads {threads} > {log:q} 2>&1"


rule show_tags:
    """The score maps of WSS's tags."""
    input:
        images="results/{dataset}/images.h5",
        model="results/{dataset}/wss/pretrain/model.safetensors",
    output:
        figure=report(
            "results/report/tags-{dataset}.png",
            caption="../report/tags.rst",
            category="Pictures",
            labels={"data set": "{dataset}", "as": "WSS score maps"},
        ),
    log:
        "results/logs/report/tags-{dataset}.log",
    benchmark:
        "results/timings/report/tags-{dataset}.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.wss"),
        shown=SETTINGS.report.examples,
    shell:
        "usod wss look {input.model:q} --images {input.images:q} --count {params.shown} --out {output.figure:q} > {log:q} 2>&1"


rule refine_with_superpixels:
    """Refine any maps by WSS's CRF on superpixels, with the settings of the system's variant."""
    input:
        maps=shared_maps_of,
        images="results/{testset}/images.h5",
    output:
        maps="results/predictions/{testset}/spcrf-{system}.h5",
    log:
        "results/logs/predictions/{testset}/spcrf-{system}.log",
    benchmark:
        "results/timings/predictions/{testset}/spcrf-{system}.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: cores()
    params:
        code=code("usod.commands.crf"),
        crf=lambda wildcards: as_json(TABLES.settings[PLAN.name(wildcards.system).variant].wss.crf),
    shell:
        "usod crf superpixel {input.maps:q} --images {input.images:q} --config {params.crf:q} --workers {threads}"
        " --out {output.maps:q} > {log:q} 2>&1"
