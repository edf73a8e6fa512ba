"""Masks in the formats of other tools."""


def label_options(wildcards):
    """The options of `usod labels export` that the configuration sets."""
    section = SETTINGS.labels
    words = ["--class", section.class_name, "--smallest", section.smallest, "--image-url", section.image_url]
    words += ["--simplify", section.simplify, "--threshold", SETTINGS.report.mask_threshold]
    flags = [f"--{name}" for name in ("instances", "polygons") if getattr(section, name)]
    return [*map(str, words), *flags]


rule write_labels:
    """Write a final system's masks in the format of another tool, from its maps: their values are the objects' scores."""
    input:
        maps=lambda wildcards: maps_of(wildcards.dataset, wildcards.system),
        index="results/{dataset}/index.csv",
        scenes=scenes_of,
        corrections=corrections("corrections.h5"),
    output:
        labels=directory("results/labels/{dataset}/{system}/{format}"),
    log:
        "results/logs/{dataset}/labels/{system}.{format}.log",
    benchmark:
        "results/timings/{dataset}/labels/{system}.{format}.tsv"
    wildcard_constraints:
        format="|".join(LABEL_FORMATS),
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.labels.export"),
        roots=roots,
        placed=placed_below,
        options=label_options,
        corrections=corrections_option,
    shell:
        "usod labels export {input.maps:q} --out {output.labels:q} --index {input.index:q} {params.placed:q}"
        " --format {wildcards.format} {params.options:q} {params.corrections:q} > {log:q} 2>&1"


rule labels:
    """The masks of every final system in the formats of `labels.formats`."""
    input:
        [PLAN.labels_for(SETTINGS.train, system, name) for system in PLAN.finals for name in SETTINGS.labels.formats],
    localrule: True
