rule draw_scenes:
    input:
        code=code("usod.commands.demo"),
    output:
        # As a folder it is emptied before it is drawn again: other settings may mean fewer scenes.
        scenes=directory(SCENES),
    log:
        "results/logs/data/scenes.log",
    benchmark:
        "results/timings/data/scenes.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        scenes=scene_options(),
    shell:
        "usod data demo --out {output.scenes} {params.scenes} > {log} 2>&1"


rule index_images:
    input:
        scenes=scenes_of,
        code=code("usod.commands.data"),
    output:
        index="results/{dataset}/index.csv",
    log:
        "results/logs/{dataset}/index.log",
    benchmark:
        "results/timings/{dataset}/index.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 4
    params:
        root=root,
        options=dataset_options,
        listing=listing("images"),
    shell:
        "usod data index {params.root:q} {params.options:q} --out {output.index} > {log} 2>&1"


rule index_masks:
    input:
        scenes=scenes_of,
        code=code("usod.commands.data"),
    output:
        masks="results/{dataset}/masks.csv",
    log:
        "results/logs/{dataset}/masks.log",
    benchmark:
        "results/timings/{dataset}/masks.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 1
    params:
        root=root,
        options=mask_options,
        listing=listing("masks"),
    shell:
        "usod data masks {params.root:q} {params.options:q} --out {output.masks} > {log} 2>&1"


rule decode_images:
    input:
        index="results/{dataset}/index.csv",
        code=code("usod.commands.data"),
    output:
        images="results/{dataset}/images.h5",
    log:
        "results/logs/{dataset}/images.log",
    benchmark:
        "results/timings/{dataset}/images.tsv"
    conda:
        "../../envs/usod.yaml"
    threads: 4
    params:
        size=SETTINGS.size,
    shell:
        "usod data images --index {input.index} --size {params.size} --out {output.images} --workers {threads}"
        " > {log} 2>&1"
