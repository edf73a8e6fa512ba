"""What the tables of variants ask for. Functions only."""


def ablations():
    """The tables that belong to `all`."""
    return [Path(name).stem for name in SETTINGS.ablations]


def scored_on(table):
    """The data sets of a table."""
    if TABLES.tables[table].score == "test":
        return SETTINGS.test
    if not SETTINGS.datasets[SETTINGS.train].has_masks:
        raise WorkflowError(f"{table}: scores labels of the training set {SETTINGS.train!r}, which has no masks")
    return [SETTINGS.train]


def ablation_scores(wildcards):
    systems = TABLES.systems(wildcards.table).values()
    sets = scored_on(wildcards.table)
    return [f"results/scores/{testset}/{system}.json" for system in dict.fromkeys(systems) for testset in sets]


def ablation_histories(wildcards):
    return list(dict.fromkeys(histories_of(wildcards.table).values()))


def histories_of(table):
    """Row -> the history of the training behind it, where there is one."""
    histories = {}
    for row, name in TABLES.systems(table).items():
        system, _, variant = name.partition("@")
        if system.startswith("ldps-"):
            histories[row] = (
                f"{folder_of(SETTINGS.train, relation_network(system.removeprefix('ldps-'), variant))}/history.csv"
            )
        elif system.startswith(("a2s-", "wss-")):
            histories[row] = f"{folder_of(SETTINGS.train, name)}/history.csv"
    return histories


def ablation_as_json(wildcards):
    """What `usod report ablation` puts into its table."""
    table, sets = TABLES.tables[wildcards.table], scored_on(wildcards.table)
    systems = TABLES.systems(wildcards.table)
    described = {
        "title": table.title,
        "reference": table.reference,
        "rows": {row: {s: f"results/scores/{s}/{name}.json" for s in sets} for row, name in systems.items()},
        "histories": histories_of(wildcards.table),
        "published_as": {s: SETTINGS.datasets[s].published_as for s in sets},
    }
    return json.dumps(described)


def ablation_files(table):
    """What a table's target asks for."""
    figure = [f"results/report/{table}.svg"] if TABLES.tables[table].curves else []
    return [f"results/report/{table}.md", *figure]
