rule write_page:
    """The report as one page that needs nothing else."""
    input:
        files=FIGURES,
        first=FIRST,
    output:
        report(
            "results/report/report.html",
            caption="../report/page.rst",
            category="Everything on one page",
            labels={"as": "page"},
        ),
    log:
        "results/logs/report/page.log",
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.report.page"),
        look=look("page"),
        wanted=lambda wildcards: page(FIGURES, FIRST),
        plan=lambda wildcards, input: page(input.files, input.first),
        threshold=SETTINGS.report.mask_threshold,
    shell:
        "usod report page --plan {params.plan:q} --threshold {params.threshold} --out {output:q} > {log:q} 2>&1"


rule report:
    """Everything that stands in the report, and the report as one page."""
    input:
        rules.write_page.input,
        rules.write_page.output,
        rules.make_gallery.output if SETTINGS.report.gallery else [],
    localrule: True
