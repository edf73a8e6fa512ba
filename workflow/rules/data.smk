rule draw_scenes:
    """Draw the bundled demo: scenes with their masks and tags."""
    output:
        # Snakemake empties an output folder before the job: with other settings there may be fewer scenes.
        scenes=directory("results/data/scenes"),
    log:
        "results/logs/data/scenes.log",
    benchmark:
        "results/timings/data/scenes.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.data.demo"),
        scenes=scene_options,
    shell:
        "usod data demo --out {output.scenes:q} {params.scenes:q} > {log:q} 2>&1"


rule index_images:
    """List the images of a data set, each decoded once to prove that it can be; no mask is opened."""
    input:
        scenes=scenes_of,
    output:
        index="results/{dataset}/index.csv",
    log:
        "results/logs/{dataset}/index.log",
    benchmark:
        "results/timings/{dataset}/index.tsv"
    wildcard_constraints:
        dataset=SINGLE,
    conda:
        "../../envs/usod.yaml"
    threads: 4
    params:
        code=code("usod.commands.data.index"),
        root=root,
        folder=folder,
        options=dataset_options,
        published=published_option,
        rights=rights_option,
        rights_listing=rights_listing,
        chosen=chosen_tags,
        tagged=tag_options,
        listing=listing("images"),
    shell:
        "usod data index {params.folder:q} {params.options:q} {params.published:q} {params.rights:q} {params.tagged:q} --out {output.index:q}"
        " --workers {threads} > {log:q} 2>&1"


rule index_masks:
    """List the masks of a data set: the ground truth, for evaluation and pictures only."""
    input:
        scenes=scenes_of,
    output:
        masks="results/{dataset}/masks.csv",
    log:
        "results/logs/{dataset}/masks.log",
    benchmark:
        "results/timings/{dataset}/masks.tsv"
    wildcard_constraints:
        dataset=SINGLE,
    conda:
        "../../envs/usod.yaml"
    threads: 4
    params:
        code=code("usod.commands.data.masks"),
        root=root,
        folder=folder,
        options=mask_options,
        chosen=chosen_tags,
        tagged=tag_options,
        listing=listing("masks"),
    shell:
        "usod data masks {params.folder:q} {params.options:q} {params.tagged:q} --out {output.masks:q} --workers {threads} > {log:q} 2>&1"


rule read_corrections:
    """Human masks of some training images: what every training learns of these, in place of its labels."""
    input:
        masks=lambda wildcards: local(SETTINGS.corrections.masks),
        index="results/{dataset}/index.csv",
    output:
        masks="results/{dataset}/corrections.h5",
        table="results/{dataset}/corrections.csv",
    log:
        "results/logs/{dataset}/corrections.log",
    benchmark:
        "results/timings/{dataset}/corrections.tsv"
    wildcard_constraints:
        dataset=re.escape(SETTINGS.train) if SETTINGS.corrections else "(?!)",
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.data.corrections"),
        weight=SETTINGS.corrections.weight if SETTINGS.corrections else 1,
        listing=lambda wildcards: files_of(SETTINGS.corrections.masks, "maps"),
    shell:
        "usod data corrections {input.masks:q} --index {input.index:q} --weight {params.weight} --out {output.masks:q}"
        " --csv {output.table:q} > {log:q} 2>&1"


rule decode_images:
    """Decode the images once, at working size."""
    input:
        index="results/{dataset}/index.csv",
        scenes=scenes_of,
    output:
        images="results/{dataset}/images.h5",
    log:
        "results/logs/{dataset}/images.log",
    benchmark:
        "results/timings/{dataset}/images.tsv"
    wildcard_constraints:
        dataset=SINGLE,
    conda:
        "../../envs/usod.yaml"
    threads: 4
    params:
        code=code("usod.commands.data.images"),
        size=SETTINGS.size,
    shell:
        "usod data images --index {input.index:q} --size {params.size} --out {output.images:q} --workers {threads}"
        " > {log:q} 2>&1"


rule join_sets:
    """Several data sets as one: their lists, images, maps or features, each computed once for the set alone."""
    input:
        parts=lambda wildcards: list(parts_of(wildcards).values()),
        # Features say which images they are of.
        images=lambda wildcards: "results/{dataset}/images.h5" if wildcards.file.startswith("features/") else [],
        scenes=scenes_of,
    output:
        "results/{dataset}/{file}",
    log:
        "results/logs/{dataset}/joined/{file}.log",
    benchmark:
        "results/timings/{dataset}/joined/{file}.tsv"
    wildcard_constraints:
        dataset=JOINED,
        file=r"(index|masks|tags)\.csv|images\.h5|(maps|features)/[^/]+\.h5",
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.data.join"),
        parts=lambda wildcards, input: pairs("--part", parts_of(wildcards), input.parts),
        names=lambda wildcards: list(parts_of(wildcards)),
        images=lambda wildcards, input: ["--images", input.images] if input.images else [],
    shell:
        "usod data join {params.parts:q} {params.images:q} --out {output:q} > {log:q} 2>&1"
