"""What stands in the report and in the tables of variants. Functions only."""


def caption_text(name):
    return Path(workflow.source_path(f"../report/{name}.rst")).read_text(encoding="utf-8")


figures, contents = one_line(figures), one_line(contents)
FIGURES = list(map(report_path, figures(PLAN)))
FIRST = first_pictures(PLAN)


def page(files, first):
    """The JSON of `usod report page`; `files`: the figures' paths at run time; `first`: those of the first pictures."""
    return json.dumps(contents(PLAN, caption_text, files, first))


ablation_scores, output_scores = one_line(PLAN.ablation_scores), one_line(PLAN.output_scores)


@one_line
def ablation_files(table):
    """The table of variants and its figures."""
    return list(map(report_path, PLAN.ablation_figures(table)))


def ablation_histories(table):
    """The histories of all trainings of a table, each once."""
    return list(dict.fromkeys(file for files in PLAN.histories(table).values() for file in files))


def ablation_places(table, input):
    """Path in the plan -> path at run time, which a prefix or a storage may have changed."""
    files = [*ablation_scores(table), *ablation_histories(table)]
    return dict(zip(files, [*input.scores, *input.histories], strict=True))


def of_rows(table):
    """Row of a table -> the system that is scored; of several seeds the first."""
    return {row: systems[0] for row, systems in TABLES.systems(table).items()}


def pictured(table):
    """Column of a table's pictures -> its system."""
    return {name: name for name in TABLES.tables[table].beside} | of_rows(table)


def set_against(wildcards):
    """The two systems that a figure sets against each other: of their rows' first seeds."""
    systems = of_rows(wildcards.table)
    return [systems[row] for row in TABLES.tables[wildcards.table].scatter]


def scattered(wildcards):
    """Their scores per image."""
    return [f"results/scores/{wildcards.testset}/{system}.csv" for system in set_against(wildcards)]


def scattered_maps(wildcards):
    """The maps that these are about."""
    return [maps_of(wildcards.testset, system) for system in set_against(wildcards)]


def gallery_values():
    """Tables of values per image: doubts, and the scores of what the systems end with where there are masks."""
    train = SETTINGS.train
    doubts = [f"results/report/doubts-{train}.csv"] if PLAN.doubted(train) else []
    scored = PLAN.finals[:1] if train in PLAN.scored_sets() else []
    return doubts + [f"results/scores/{train}/{system}.csv" for system in scored]


def gallery_masks(wildcards, input):
    """Where the masks lie that the gallery enlarges, and what they are named after."""
    return ["--masks", *input.masks, *placed_below(SETTINGS.train, input)] if input.masks else []
