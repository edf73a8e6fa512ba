"""What stands in the report and in the tables of variants. Functions only."""


def caption_text(name):
    return Path(workflow.source_path(f"../report/{name}.rst")).read_text(encoding="utf-8")


def report_files():
    """The files of the report's pictures and tables."""
    return [item["file"] for items in PLAN.chapters(caption_text).values() for item in items]


def report_plan(files=None):
    """What `usod report page` puts together; the files as the rule names them, or where they lie."""
    places = dict(zip(report_files(), files or report_files(), strict=True))
    return {
        "title": f"Saliency masks for {SETTINGS.train}: {', '.join(PLAN.finals)}",
        "intro": " ".join(caption_text("workflow").split()),
        "chapters": [
            {"title": title, "items": [item | {"file": places[item["file"]]} for item in items]}
            for title, items in PLAN.chapters(caption_text).items()
        ],
    }


ablation_files, ablation_scores = one_line(PLAN.ablation_files), one_line(PLAN.ablation_scores)


def ablation_histories(table):
    """The histories of all trainings of a table, each once."""
    return list(dict.fromkeys(file for files in PLAN.histories(table).values() for file in files))


def ablation_places(table, input):
    """File -> where it lies, as the rule names it."""
    files = [*ablation_scores(table), *ablation_histories(table)]
    return dict(zip(files, [*input.scores, *input.histories], strict=True))


def scattered(wildcards):
    """The scores per image of the two rows that a figure sets against each other: of their first seeds."""
    rows = TABLES.tables[wildcards.table].scatter
    return [f"results/scores/{wildcards.testset}/{TABLES.of_row(wildcards.table, row)[0]}.csv" for row in rows]
