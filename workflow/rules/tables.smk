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


def ablation_as_json(wildcards, input):
    """What `usod report ablation` puts into its table."""
    table, sets = TABLES.tables[wildcards.table], scored_on(wildcards.table)
    scores = dict(zip(ablation_scores(wildcards), input.scores, strict=True))
    histories = dict(zip(ablation_histories(wildcards), input.histories, strict=True))
    described = {
        "title": table.title,
        "reference": table.reference,
        "f": table.f,
        "rows": {
            row: {s: [scores[f"results/scores/{s}/{name}.json"] for name in names] for s in sets}
            for row, names in TABLES.systems(wildcards.table).items()
        },
        "histories": {row: [histories[file] for file in files] for row, files in histories_of(wildcards.table).items()},
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


# ---- the report


def data_sets():
    """The data sets that are read."""
    return list(dict.fromkeys([SETTINGS.train, *SETTINGS.test]))


def final_networks():
    """The systems at the end that have a network of their own."""
    return [system for system in final_systems() if system in trained_systems()]


def doubted(dataset):
    """Method -> the labels whose agreement tells how sure they are: of the last stage, or the maps themselves."""
    if label_systems():
        return {m: labels_of(dataset, f"{m}-iter{STAGES[-1]}") for m in refined_methods()}
    return {method: labels_of(dataset, method) for method in METHODS}


def doubted_before(dataset):
    """Method -> the labels of the stage before."""
    if not label_systems():
        return {}
    before = f"-iter{STAGES[-1] - 1}" if STAGES[-1] else ""
    return {method: labels_of(dataset, f"{method}{before}") for method in refined_methods()}


def stages_of(dataset, method):
    """Heading -> the labels of a method after every stage."""
    names = ["consistency", *(f"iteration {k}" for k in STAGES[1:])]
    stages = {name: labels_of(dataset, f"{method}-iter{k}") for name, k in zip(names, STAGES, strict=True)}
    return {method: labels_of(dataset, method), **stages}


def caption_text(name):
    return Path(workflow.source_path(f"../report/{name}.rst")).read_text(encoding="utf-8")


def item(file, caption, title="", **wildcards):
    """An item of the page, with the caption that Snakemake's own report has."""
    text = caption_text(caption)
    for name, value in wildcards.items():
        text = text.replace(f"{{{{ snakemake.wildcards.{name} }}}}", value)
    return {"file": f"results/report/{file}", "title": title, "caption": text}


def report_chapters():
    """What stands in the report, in its order."""
    train, scored = SETTINGS.train, scored_sets()
    shown = list(dict.fromkeys([*SETTINGS.test, *scored, train]))
    methods = refined_methods() if label_systems() else []
    chapters = {
        "Scores": [
            entry
            for testset in scored
            for entry in (
                item(f"scores-{testset}.md", "scores", testset, testset=testset),
                item(f"curves-{testset}.svg", "curves", testset=testset),
            )
        ],
        "Pictures": [item(f"examples-{testset}.png", "examples", testset, testset=testset) for testset in shown],
        "Labels by stage": [
            *(item(f"stages-{t}.svg", "label_quality", t, testset=t) for t in (scored if methods else [])),
            *(item(f"evolution-{train}-{m}.png", "evolution", m, dataset=train, method=m) for m in methods),
        ],
        "Activations": [item(f"activations-{train}.png", "watched", dataset=train)] * has_activations(),
        "Tags": [item(f"tags-{train}.png", "tags", dataset=train)] * bool(wss_systems()),
        "Relations": [
            item(f"changes-{t}-{prior}.png", "changes", f"{prior} on {t}", testset=t, prior=prior)
            for t in (SETTINGS.test if ldps_systems() else [])
            for prior in SETTINGS.priors
        ],
        "Ablations": [entry for table in ablations() for entry in ablation_items(table)],
        "Images to look at": [item(f"doubts-{train}.png", "doubts", dataset=train)],
        "Training": [item(f"training-{train}.svg", "training", dataset=train)] * bool(trained_systems()),
        "Time and memory": [item("costs.svg", "costs"), item("costs.md", "costs")],
        "Data, networks, software": [item("provenance.md", "provenance")],
    }
    return {title: items for title, items in chapters.items() if items}


def report_files():
    """The files of the report's pictures and tables."""
    return [item["file"] for items in report_chapters().values() for item in items]


def report_plan(files):
    """What `usod report page` puts together; `files` are those of `report_files`, where they lie."""
    places = dict(zip(report_files(), files, strict=True))
    return {
        "title": f"Saliency masks for {SETTINGS.train}: {', '.join(final_systems())}",
        "intro": " ".join(caption_text("workflow").split()),
        "chapters": [
            {"title": title, "items": [item | {"file": places[item["file"]]} for item in items]}
            for title, items in report_chapters().items()
        ],
    }


def ablation_items(table):
    """The table and the figures of an ablation that belongs to `all`."""
    files = {f"{table}.md": "ablation", f"{table}.svg": "ablation_curves"}
    files |= {f"{table}-{testset}.svg": "ablation_scatter" for testset in scored_on(table)}
    wanted = [Path(file).name for file in ablation_files(table)]
    sets = {f"{table}-{testset}.svg": testset for testset in scored_on(table)}
    return [
        item(file, caption, table=table, testset=sets.get(file, ""))
        for file, caption in files.items()
        if file in wanted
    ]


def has_activations():
    return "a2s-stage1" in a2s_systems() and SETTINGS.a2s.stage1.watch > 0
