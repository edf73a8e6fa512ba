rule vote_on_labels:
    """One label set of several, by their votes, without training."""
    input:
        maps=reads("maps", "vote"),
    output:
        labels="results/{dataset}/vote/{variant}labels.h5",
    log:
        "results/logs/{dataset}/vote/{variant}labels.log",
    benchmark:
        "results/timings/{dataset}/vote/{variant}labels.tsv"
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.vote"),
        voters=lambda wildcards, input: [
            word
            for name, path in zip(sources(wildcards, "maps", "vote"), input.maps, strict=True)
            for word in ("--maps" if name in METHODS else "--labels", f"{name}={path}")
        ],
        size=SETTINGS.size,
        rule=lambda wildcards: VARIANTS[wildcards.variant].vote.rule,
        soft=lambda wildcards: ["--soft"] if VARIANTS[wildcards.variant].vote.soft else [],
        threshold=lambda wildcards: VARIANTS[wildcards.variant].vote.threshold,
        factor=lambda wildcards: VARIANTS[wildcards.variant].vote.threshold_factor,
    shell:
        "usod vote make {params.voters:q} --rule {params.rule} {params.soft} --threshold {params.threshold}"
        " --threshold-factor {params.factor} --size {params.size} --out {output.labels:q} > {log:q} 2>&1"
