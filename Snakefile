"""usod: saliency masks from unlabelled images. Table of contents; the stages are in workflow/rules."""

from snakemake.utils import min_version

min_version("9.19")


if "images" not in config:  # `--config images=FOLDER` has settings of its own, in any folder

    configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/systems.smk"
include: "workflow/rules/tables.smk"
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
        rules.masks.input if not SETTINGS.datasets[SETTINGS.train].has_masks else [],
        [file for table in ablations() for file in ablation_files(table)],
    localrule: True


onsuccess:
    print_where_to_look()


onerror:
    print_errors_of_jobs()
