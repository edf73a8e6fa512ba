"""What the rules ask about data sets. Functions only."""


def set_of(wildcards):
    """The data set that a rule is about: its wildcard, or its name itself where the rule has none."""
    return wildcards if isinstance(wildcards, str) else wildcards.get("dataset") or wildcards.testset


def scenes_of(wildcards):
    """The folder of drawn scenes, an input of the rules that open files of the demo's data sets."""
    return ["results/data/scenes"] if "demo" in roots_of(set_of(wildcards)) else []


def roots_of(name):
    """The folders of a data set, as the configuration has them."""
    return [SETTINGS.datasets[part].root for part in SETTINGS.single(name)]


# Snakemake takes a parameter that is made from `input` or `output` for a consequence of them, not for a reason to run
# a job again. So what decides a result is said by functions of the wildcards alone.


def root(wildcards):
    """Folder of a data set; a relative path where it lies below the working folder."""
    return below_here(SETTINGS.datasets[wildcards.dataset].root)


def folder(wildcards, input):
    """Folder of a data set as the job sees it: the input of drawn scenes, or the user's own folder."""
    return str(input.scenes) or root(wildcards)


def roots(wildcards):
    """The folders of a data set as they are told to a job; relative paths where they lie below the working folder."""
    return [below_here(root) for root in roots_of(set_of(wildcards))]


def placed_below(wildcards, input):
    """The options that name the folders below which the images of a data set lie."""
    name = set_of(wildcards)
    found = [str(input.scenes) if root == "demo" else below_here(root) for root in roots_of(name)]
    return pairs("--part", SETTINGS.single(name), found) if SETTINGS.datasets[name].of else ["--root", *found]


def parts_of(wildcards):
    """The files that a joined data set's file is put together of; masks of those that have any."""
    named = SETTINGS.single(wildcards.dataset)
    if wildcards.file == "masks.csv":
        named = [name for name in named if SETTINGS.datasets[name].has_masks]
    return {name: f"results/{name}/{wildcards.file}" for name in named}


def results():
    """The folders of all results, here and in a local storage: images in them belong to no data set."""
    scenes = rules.draw_scenes.output.scenes
    stored = get_flag_value(scenes, "storage_object")
    places = [str(scenes), *([stored.query] if stored and "://" not in stored.query else [])]
    return [str(Path(place).parents[1]) for place in places]


def scene_options(wildcards):
    """The options of `usod data demo`."""
    options = [word for key, value in SETTINGS.scenes if key != "held_out" for word in (f"--{key}", str(value))]
    return options + [word for kind in SETTINGS.scenes.held_out for word in ("--held-out", kind)]


def files_of(*arguments):
    """A digest of names, sizes and dates of files: as a parameter it reruns a rule when one is added, removed or changed."""
    try:
        return fingerprint(*arguments)
    except UsodError as error:
        return str(error)  # the job that reads the files stops with one line


def listing(kind):
    """The files of a data set's images, or of its masks, for a rule's params."""

    def of(wildcards):
        section = SETTINGS.datasets[wildcards.dataset]
        if section.root == "demo":
            return "scenes"
        return files_of(section.root, kind, section.layout, section.masks, not_of(section.root))

    return of


def not_of(root):
    """Folders whose pictures are none of a data set: all results, and human masks of training images below it."""
    corrected = SETTINGS.corrections.masks if SETTINGS.corrections else None
    inside = corrected and absolute(corrected).is_relative_to(absolute(root))
    return [*results(), corrected] if inside else results()


@one_line
def imported_maps(wildcards):
    """Folder or file of maps made elsewhere: the user's path, to which no prefix or storage applies."""
    path = str(SETTINGS.imported_maps(wildcards.method, wildcards.dataset))
    return local(str(require_folder(path, f"methods.{wildcards.method}.maps", or_file=True)))


def dataset_options(wildcards):
    section = SETTINGS.datasets[wildcards.dataset]
    options = ["--layout", section.layout]
    options += ["--split", section.split] if section.split else []
    if section.root != "demo":
        options += [word for place in not_of(section.root) for word in ("--without", place)]
    return options + (["--masks", section.masks] if section.masks else [])


def rights_option(wildcards):
    """The option that says whose the images are."""
    rights = SETTINGS.datasets[wildcards.dataset].rights
    return ["--rights", rights] if rights else []


def rights_listing(wildcards):
    """A digest of the table of rights: a change reruns the rule."""
    rights = SETTINGS.datasets[wildcards.dataset].rights or ""
    return files_of(rights, "maps") if rights.lower().endswith(".csv") else ""


def published_option(wildcards):
    """The option by which a split of our own is refused where scores on it would stand under a published name."""
    published = SETTINGS.datasets[wildcards.dataset].published_as
    return ["--published-as", published] if published else []


def chosen_tags(wildcards):
    """The options that name tags, and a digest of where the tags are: what decides which images are used."""
    section = SETTINGS.datasets[wildcards.dataset]
    only = [word for name in section.only_tags for word in ("--only-tag", name)]
    chosen = only + [word for name in section.without_tags for word in ("--without-tag", name)]
    return {"options": chosen, "listing": tags_listing(wildcards) if chosen else ""}


def tag_options(wildcards, input):
    """The options by which images of certain tags are used or left out."""
    chosen = chosen_tags(wildcards)["options"]
    return ["--tags", tags_of(wildcards, input), *chosen] if chosen else []


def mask_options(wildcards):
    section = SETTINGS.datasets[wildcards.dataset]
    return [*dataset_options(wildcards), "--threshold", str(section.mask_threshold)]


def truth(wildcards):
    """The list of masks of the training images; of all trainings only the rules `oracle_...` read it."""
    if not SETTINGS.datasets[wildcards.dataset].has_masks:
        raise WorkflowError(f"oracles learn from masks, and the data set {wildcards.dataset!r} has none")
    return "results/{dataset}/masks.csv"


def tags_of(wildcards, input):
    """Where the tags of a data set come from."""
    return SETTINGS.datasets[wildcards.dataset].tags or f"{input.scenes}/tags.csv"


def tags_listing(wildcards):
    """The source of the tags and a digest of its files: a change reruns the rule."""
    source = SETTINGS.datasets[wildcards.dataset].tags
    return [source, files_of(source, "tags")] if source else "scenes"


# ---- human masks of some training images


def corrections(file):
    """The human masks of training images, `corrections.h5`, or their table, `.csv`, as an input; nothing without any."""

    def of(wildcards):
        name = wildcards.get("dataset") or wildcards.testset
        return f"results/{name}/{file}" if SETTINGS.corrections and name == SETTINGS.train else []

    return of


def corrected_of_the_same(wildcards):
    """The table of human masks, where scores are on a set that shares folders with the one that is trained on."""
    shared = set(SETTINGS.single(wildcards.testset)) & set(SETTINGS.single(SETTINGS.train))
    return f"results/{SETTINGS.train}/corrections.csv" if SETTINGS.corrections and shared else []


def without_corrected(wildcards, input):
    """The option that leaves them out, and the name of the set whose ids begin with it in the other one alone."""
    names = (SETTINGS.train, wildcards.testset)
    alone = [name for name in names if not SETTINGS.datasets[name].of]
    part = ["--part", alone[0]] if len(alone) == 1 else []
    return ["--without", input.corrections, *part] if input.corrections else []


def corrections_option(wildcards, input):
    """The option by which a job is told of them."""
    return ["--corrections", input.corrections] if input.corrections else []
