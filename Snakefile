"""usod: saliency masks from unlabelled images. Table of contents; the stages are in workflow/rules."""

from pathlib import Path

from snakemake.utils import min_version

min_version("9.19")


# What to compute: --configfile FILE, --config images=FOLDER or preset=NAME; else config.yaml here; else the demo's.
if not (workflow.overwrite_configfiles or {"images", "preset"} & set(config)):

    configfile: "config.yaml" if Path("config.yaml").exists() else workflow.source_path("config.yaml")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/systems.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/maps.smk"
include: "workflow/rules/deepusps.smk"
include: "workflow/rules/a2s.smk"
include: "workflow/rules/wss.smk"
include: "workflow/rules/ldps.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/page.smk"
include: "workflow/rules/ablations.smk"


rule all:
    default_target: True
    input:
        rules.maps.input,
        rules.deepusps.input if "deepusps" in SETTINGS.systems else [],
        rules.a2s.input if "a2s" in SETTINGS.systems else [],
        rules.wss.input if "wss" in SETTINGS.systems else [],
        rules.ldps.input if "ldps" in SETTINGS.systems else [],
        rules.benchmark.input,
        rules.report.input,
        rules.masks.input,
        [file for table in ablations() for file in ablation_files(table)],
    localrule: True


onstart:
    download_weights()


onsuccess:
    print_where_to_look()


onerror:
    print_errors_of_jobs()
