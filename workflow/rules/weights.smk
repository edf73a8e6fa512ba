rule bring_weights:
    """Bring pretrained weights, once and before other work: from the cache, the internet or the user's own file.

    It runs where the workflow does, as compute nodes often have no internet.
    """
    input:
        weights=own_weights,
    output:
        weights="results/weights/{weights}.weights",
        record="results/weights/{weights}.json",
    log:
        "results/logs/weights/{weights}.log",
    wildcard_constraints:
        weights="|".join(map(re.escape, WEIGHTS)) or "none",
    priority: 100
    localrule: True
    conda:
        "../../envs/usod.yaml"
    params:
        code=code("usod.commands.weights"),
        network=weights_json,
        weights=weights_option,
    shell:
        "usod weights bring --network {params.network:q} {params.weights:q} --out {output.weights:q}"
        " --record {output.record:q} > {log:q} 2>&1"
