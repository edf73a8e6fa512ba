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


def systems_in(table):
    """All systems of a table, each once."""
    return list(dict.fromkeys(system for row in TABLES.systems(table).values() for system in row))


def ablation_scores(wildcards):
    sets = scored_on(wildcards.table)
    return [f"results/scores/{testset}/{system}.json" for system in systems_in(wildcards.table) for testset in sets]


def ablation_histories(wildcards):
    return list(dict.fromkeys(file for files in histories_of(wildcards.table).values() for file in files))


def histories_of(table):
    """Row -> the histories of the trainings behind it, where there are any."""
    histories = {}
    for row, names in TABLES.systems(table).items():
        for name in names:
            system, _, variant = name.partition("@")
            if system.startswith("ldps-"):
                name = relation_network(system.removeprefix("ldps-"), variant)
            elif not system.startswith(("a2s-", "wss-", "deepusps-")):
                continue
            histories.setdefault(row, []).append(f"{folder_of(SETTINGS.train, name)}/history.csv")
    return histories


def ablation_as_json(wildcards):
    """What `usod report ablation` puts into its table."""
    table, sets = TABLES.tables[wildcards.table], scored_on(wildcards.table)
    systems = TABLES.systems(wildcards.table)
    described = {
        "title": table.title,
        "reference": table.reference,
        "f": table.f,
        "rows": {
            row: {s: [f"results/scores/{s}/{name}.json" for name in names] for s in sets}
            for row, names in systems.items()
        },
        "histories": histories_of(wildcards.table),
        "published_as": {s: SETTINGS.datasets[s].published_as for s in sets},
    }
    return json.dumps(described)


def ablation_files(table):
    """What a table's target asks for."""
    figures = [f"results/report/{table}.svg"] if TABLES.tables[table].curves else []
    if TABLES.tables[table].scatter:
        figures += [f"results/report/{table}-{testset}.svg" for testset in scored_on(table)]
    return [f"results/report/{table}.md", *figures]


def ablation_target(table):
    """The files of a table, or one line that says why the configuration has none."""
    if table in TABLES.unfit:
        raise WorkflowError(TABLES.unfit[table])
    return ablation_files(table)


def scattered(wildcards):
    """The scores per image of the two rows that a figure sets against each other: of their first seeds."""
    rows = TABLES.tables[wildcards.table].scatter
    return [f"results/scores/{wildcards.testset}/{TABLES.of_row(wildcards.table, row)[0]}.csv" for row in rows]
