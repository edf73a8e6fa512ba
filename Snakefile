"""usod: saliency masks from unlabelled images. Table of contents; the stages are in workflow/rules."""

from pathlib import Path

from snakemake.utils import min_version

min_version("9.19")


# What to compute: --configfile FILE, --config images=FOLDER or preset=NAME; else config.yaml here; else the demo's.
if not (workflow.overwrite_configfiles or {"images", "preset"} & set(config)):

    configfile: "config.yaml" if Path("config.yaml").exists() else workflow.source_path("config.yaml")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/datasets.smk"
include: "workflow/rules/contents.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/maps.smk"
include: "workflow/rules/features.smk"


for system in SETTINGS.registry.values():

    include: system.rules_file

    rule:
        """A system: all that it trains and makes."""
        name:
            system.name
        input:
            PLAN.files(system.name),
        localrule: True


include: "workflow/rules/evaluate.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/labels.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/page.smk"
include: "workflow/rules/ablations.smk"


rule all:
    """Everything that the configuration asks for: masks, models, scores, the report."""
    default_target: True
    input:
        [PLAN.maps(SETTINGS.train, method) for method in PLAN.methods_on(SETTINGS.train)],
        [PLAN.files(system) for system in SETTINGS.systems],
        rules.benchmark.input,
        rules.report.input,
        rules.masks.input,
        rules.models.input,
        [file for table in SETTINGS.ablations for file in ablation_files(Path(table).stem)],
    localrule: True


tell_places(places())


onstart:
    forget(Path(PLACE))
    download_weights()


onsuccess:
    print_where_to_look()


onerror:
    print_errors_of_jobs()
