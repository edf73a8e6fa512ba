"""What the workflow makes of a configuration: which parts of which systems, from what, and where they lie.

The rules ask this; it asks the systems' descriptions, and knows none of them. Files are paths from the working folder.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usod.errors import UsageError
from usod.models.config import NetworkConfig
from usod.models.sources import TIMM
from usod.settings.ablations import Variants
from usod.systems.description import Figure, Part, System
from usod.systems.names import RAW, SystemName


class Plan:
    """The parts that are made, their names and files, of the configuration and its variants.

    Parameters
    ----------
    tables : the configuration in force and the tables of variants
    """

    def __init__(self, tables: Variants):
        self.tables = tables
        self.settings = tables.settings[""]
        self.methods = list(self.settings.methods)
        self.parts = self.settings.parts
        asked = [system for name, system in self.settings.registry.items() if name in self.settings.systems]
        made = self._with_sources([name for system in asked for name in system.wanted(self.settings)])
        self.made = [part for name, part in self.parts.items() if name in made]
        read = {read.name for part in self.made for read in part.reads}
        self.learnt_from = [method for method in self.methods if method in read]

    def _with_sources(self, wanted: list[str]) -> set[str]:
        """Names of parts, with those that they are made from; nothing that is made with the ground truth."""
        found: set[str] = set()
        queue = list(wanted)
        while queue:
            name = queue.pop()
            part = self.parts.get(name)
            if part is None or name in found or part.truth:
                continue
            found.add(name)
            queue += [read.name for read in part.reads] + ([part.network] if part.network else [])
        return found

    # ---- which there are

    @property
    def systems(self) -> list[System]:
        """The systems that are asked for, in their order."""
        return [system for name, system in self.settings.registry.items() if name in self.settings.systems]

    @property
    def trained(self) -> list[str]:
        """Every part that is trained."""
        return [part.name for part in self.made if "history" in part.leaves]

    def trained_by(self, system: str) -> list[str]:
        """The parts of one system that are trained."""
        return [name for name in self.trained if self.parts[name].system == system]

    @property
    def tested(self) -> set[str]:
        """The methods from whose maps of the training images nothing is learnt."""
        learnt = {read.name for part in self.made for read in part.reads if (part.maps, read.what) != ("made", "maps")}
        return {method for method in self.methods if method not in learnt}

    @property
    def finals(self) -> list[str]:
        """What the systems that are asked for end with."""
        return [part.name for part in self.made if part.final and part.system in self.settings.systems]

    @property
    def exported(self) -> list[str]:
        """Those of `finals` that have a network."""
        return [name for name in self.finals if self._network(self.parts[name])]

    @property
    def models(self) -> list[str]:
        """Copies of those networks that know their CRF."""
        return [f"results/models/{self.settings.train}/{name}.safetensors" for name in self.exported]

    def final_networks(self) -> dict[str, str]:
        """Name -> model of the networks behind what the systems end with."""
        networks = dict.fromkeys(network for name in self.finals if (network := self._network(self.parts[name])))
        return {self.title(name): self.model(name) for name in networks}

    def title(self, name: str) -> str:
        """A part's name in figures of trainings."""
        return self.parts[name].title or name

    def scored(self, testset: str) -> list[str]:
        """Everything scored on one set: the methods' maps, then the parts."""
        stages = self.settings.benchmark.stages or testset == self.settings.train
        parts = [p.name for p in self.made if p.scored == "always" or (p.scored == "stage" and stages)]
        return self.methods_on(testset) + parts

    def methods_on(self, dataset: str) -> list[str]:
        """The methods whose maps of a data set are wanted: of training images those that are learnt from, or scored.

        Hours of a core go into ten thousand images, and a system such as WSS reads none of the maps.
        """
        return self.methods if dataset in self.scored_sets() else self.learnt_from

    def scored_sets(self) -> list[str]:
        """The test sets, and the training set where its labels can be compared with masks."""
        train = [self.settings.train] if self.settings.datasets[self.settings.train].has_masks else []
        return list(dict.fromkeys(self.settings.test + train))

    def data_sets(self) -> list[str]:
        """The data sets that are read."""
        return list(dict.fromkeys([self.settings.train, *self.settings.test]))

    def score_files(self, testset: str) -> list[str]:
        return [self.score(testset, name) for name in self.scored(testset)]

    def columns(self, testset: str) -> list[str]:
        """Columns of the pictures: each method's maps and what refines them, then the rest."""
        shown = [self.parts[name] for name in self.scored(testset) if name in self.parts and self.parts[name].column]
        found: list[str] = []
        for method in self.methods_on(testset):
            refined = [part.name for part in shown if part.method == method]
            found += [method, *refined]
        return found + [part.name for part in shown if part.method is None]

    def layers(self, dataset: str) -> dict[str, str]:
        """Name -> maps of the gallery: what the systems end with, each method's stages, then the rest."""
        chains = {method: [part.name for part in chain] for method, chain in self.chains().items()}
        columns = [name for shown in self.columns(dataset) for name in (shown, *chains.get(shown, []))]
        return {name: self.maps(dataset, name) for name in dict.fromkeys([*self.finals, *columns])}

    def chains(self) -> dict[str, list[Part]]:
        """Method -> the parts that refine its maps, one after the other, where there are any."""
        chains = {m: [part for part in self.made if part.method == m] for m in self.methods}
        return {method: chain for method, chain in chains.items() if chain}

    # ---- where their files lie

    def name(self, text: str) -> SystemName:
        return self.settings.registry.name(text)

    def score(self, testset: str, system: str) -> str:
        return f"results/scores/{testset}/{system}.json"

    def masks(self, dataset: str, system: str) -> str:
        """The folder of a system's masks."""
        return f"results/masks/{dataset}/{system}"

    def labels_for(self, dataset: str, system: str, tool: str) -> str:
        """The folder of a system's masks in another tool's format."""
        return f"results/labels/{dataset}/{system}/{tool}"

    def file(self, dataset: str, system: str, key: str) -> str:
        """What a part leaves: `labels`, `model`, `history`, `watched`; of a method its maps.

        Raises
        ------
        UsageError
            If there is no such part.
        """
        name = self.name(system)
        if name.part in self.methods and key == "labels":
            return f"results/{dataset}/maps/{name.part}.h5"
        part = self._part(name)
        if key not in part.leaves and part.network is not None:  # its network's training leaves it
            return self.file(dataset, self.tables.shared(part.network, name.variant), key)
        return f"results/{dataset}/{part.file(key, name.folder)}"

    def _part(self, name: SystemName) -> Part:
        settings = self.tables.settings.get(name.variant)
        part = settings.parts.get(name.part) if settings else None
        if part is None:
            there = ", ".join([*self.methods, *(part.name for part in self.made)])
            raise UsageError(f"no system {str(name)!r}; there are {there}")
        return part

    def _network(self, part: Part) -> str | None:
        return part.network or (part.name if "model" in part.leaves else None)

    def labels(self, dataset: str, system: str) -> str:
        """The MapStore that something can learn from: a method's maps, or the labels that a part leaves."""
        return self.file(dataset, system, "labels")

    def maps(self, testset: str, system: str) -> str:
        """The maps that a system's score is about."""
        name = self.name(system)
        if not name.post:
            made = name.part in self.methods or self._part(name).maps == "made"
            if made or (testset == self.settings.train and self._part(name).maps == "labels"):
                return self.labels(testset, system)
        return f"results/predictions/{testset}/{system}.h5"

    def model(self, system: str) -> str:
        """The network behind a system. Raises UsageError where there is none."""
        name = self.name(system)
        network = self._network(self._part(name)) if name.part not in self.methods else None
        if network is None:
            raise UsageError(f"{system}: has no network of its own")
        return self.file(self.settings.train, self.tables.shared(network, name.variant), "model")

    def encoder(self, system: str) -> NetworkConfig | None:
        """The network behind a system where its encoder is frozen, so that its features can be kept."""
        name = self.name(system)
        network = self._network(self._part(name)) if name.part not in self.methods else None
        trains = self._part(SystemName(network, name.variant)).trains if network else None
        return trains if trains is not None and trains.frozen else None

    def encoders(self) -> dict[str, NetworkConfig]:
        """Name of a file of features -> a network with that frozen encoder, of all variants."""
        parts = [part for settings in self.tables.settings.values() for part in settings.parts.values()]
        networks = [network for part in parts for network in (part.trains, *part.encoders)]
        return {features_name(network): network for network in networks if network is not None and network.frozen}

    def features(self, dataset: str, network: NetworkConfig) -> str:
        """The features of a frozen encoder for the images of a data set."""
        return f"results/{dataset}/features/{features_name(network)}.h5"

    def files(self, system: str) -> list[str]:
        """All that a system leaves, for its target.

        Snakemake makes a deleted file again where a target names it, but not where it is an intermediate one.
        """
        train, described = self.settings.train, self.settings.registry[system]
        wanted = [
            self.parts[name] for name in self.parts if name in self._with_sources(described.wanted(self.settings))
        ]
        found = [f"results/{train}/{name}" for name in described.needs]
        for part in wanted:
            everywhere = [*self.scored_sets(), train] if part.maps == "made" else [train]
            found += [self.file(dataset, part.name, key) for dataset in everywhere for key in part.leaves]
        return list(dict.fromkeys(found))

    # ---- what a part is made from

    def sources(self, dataset: str, part: str, variant: str, what: str) -> dict[str, str]:
        """Name -> file of what a part of a variant reads: `labels`, `maps` or `model`; shared where variants agree."""
        found = {}
        for read in self._part(SystemName(part, variant)).reads:
            if read.what == what:
                name = self.tables.shared(read.name, variant) if read.name in self.parts else read.name
                found[read.name] = self.maps(dataset, name) if what == "maps" else self.file(dataset, name, what)
        return found

    # ---- what stands in the report

    def doubted(self, dataset: str) -> dict[str, str]:
        """Method -> the labels whose agreement tells how sure they are: of the last stage, or the maps themselves."""
        names = {method: chain[-1].name for method, chain in self.chains().items()}
        names = names or {method: method for method in self.methods_on(dataset)}
        return {method: self.labels(dataset, name) for method, name in names.items()}

    def doubted_before(self, dataset: str) -> dict[str, str]:
        """Method -> the labels of the stage before."""
        before = {method: [method, *(part.name for part in chain)][-2] for method, chain in self.chains().items()}
        return {method: self.labels(dataset, name) for method, name in before.items()}

    def learnt(self, dataset: str) -> dict[str, str]:
        """Name -> the maps of the first final network of the systems asked for: what became of those labels."""
        return {name: self.maps(dataset, name) for name in self.exported[:1]}

    def stages(self, dataset: str, method: str) -> dict[str, str]:
        """Heading -> the labels of a method after every stage."""
        return {heading: self.labels(dataset, name) for heading, name in self._stages(method).items()}

    def stage_scores(self, testset: str) -> dict[str, str]:
        """METHOD/HEADING -> the score after every stage of every method, where it is scored."""
        scored = self.scored(testset)
        return {
            f"{method}/{heading}": self.score(testset, name)
            for method in self.methods
            for heading, name in self._stages(method).items()
            if name in scored
        }

    def output_scores(self, target: str) -> dict[str, str]:
        """`stage_scores` of the training set, and METHOD/HEADING/network -> that of what the stage's network gives.

        Raises
        ------
        UsageError
            If the training set has no masks, or no stage is trained; `target` is what asked for them.
        """
        train = self.settings.train
        if not self.settings.datasets[train].has_masks:
            raise UsageError(f"{target}: scores labels of the training set {train!r}, which has no masks")
        if not self.chains():
            raise UsageError(f"{target}: shows stages, and this configuration trains none")
        networks = {
            f"{method}/{heading}/network": self.score(train, f"{RAW}-{name}")
            for method in self.chains()
            for heading, name in self._stages(method).items()
            if name != method
        }
        return self.stage_scores(train) | networks

    def _stages(self, method: str) -> dict[str, str]:
        """Heading -> a method, then the parts that refine its maps one after the other."""
        return {"maps": method, **{part.heading or part.name: part.name for part in self.chains().get(method, [])}}

    def published_tables(self) -> tuple[str, ...]:
        """The published tables of the first system that has any."""
        return next((system.published for system in self.systems if system.published), ("none",))

    # ---- the tables of variants

    def scored_on(self, table: str) -> list[str]:
        """The data sets of a table. Raises UsageError where it needs masks of the training set, and there are none."""
        train = self.settings.train
        if self.tables.tables[table].score == "test":
            return list(self.settings.test)
        if not self.settings.datasets[train].has_masks:
            raise UsageError(f"{table}: scores labels of the training set {train!r}, which has no masks")
        return [train]

    def ablation_figures(self, table: str) -> list[Figure]:
        """What a table's target asks for. Raises UsageError where the configuration has no such table."""
        if table in self.tables.unfit:
            raise UsageError(self.tables.unfit[table])
        described = self.tables.tables[table]
        found = [Figure("Ablations", f"{table}.md", "ablation", wildcards={"table": table})]
        if described.curves:
            found.append(Figure("Ablations", f"{table}.svg", "ablation_curves", wildcards={"table": table}))
        if described.pictures == "epochs":
            wildcards = {"table": table, "testset": self.settings.train}
            file = f"{table}-epochs-{self.settings.train}.png"
            found.append(Figure("Ablations", file, "ablation_epochs", wildcards=wildcards))
        for testset in self.scored_on(table):
            wildcards = {"table": table, "testset": testset}
            if described.pictures == "maps":
                file = f"{table}-maps-{testset}.png"
                found.append(Figure("Ablations", file, "ablation_maps", wildcards=wildcards))
            if described.scatter:
                found.append(Figure("Ablations", f"{table}-{testset}.svg", "ablation_scatter", wildcards=wildcards))
                found.append(Figure("Ablations", f"{table}-{testset}.png", "ablation_failures", wildcards=wildcards))
        return found

    def ablation_scores(self, table: str) -> list[str]:
        systems = dict.fromkeys(system for row in self.tables.systems(table).values() for system in row)
        return [self.score(testset, system) for system in systems for testset in self.scored_on(table)]

    def histories(self, table: str) -> dict[str, list[str]]:
        """Row -> the histories of the trainings behind it, where there are any."""
        found: dict[str, list[str]] = {}
        for row, systems in self.tables.systems(table).items():
            for system in systems:
                name = self.name(system)
                network = None if name.post or name.part in self.methods else self._network(self._part(name))
                if network is not None:
                    shared = self.tables.shared(network, name.variant)
                    found.setdefault(row, []).append(self.file(self.settings.train, shared, "history"))
        return found

    def ablation(self, table: str, places: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What `usod report ablation` puts into its table; `places`: where each of the files lies now."""
        described, sets, at = self.tables.tables[table], self.scored_on(table), places or {}
        rows = self.tables.systems(table)
        return {
            "title": described.title,
            "reference": described.reference,
            "protocol": described.protocol,
            "rows": {
                row: {s: [at.get(file, file) for file in (self.score(s, name) for name in names)] for s in sets}
                for row, names in rows.items()
            },
            "histories": {row: [at.get(file, file) for file in files] for row, files in self.histories(table).items()},
            "published_as": {s: self.settings.datasets[s].published_as for s in sets},
        }


def features_name(network: NetworkConfig) -> str:
    """A file of features: its encoder in words, and a digest of all that decides them."""
    encoder = network.encoder
    tag = Path(encoder.weights).stem if encoder.weights_are_file else encoder.weights
    decides = encoder.model_dump_json(include={"name", "weights", "normalisation", "output_stride", "features"})
    words = re.sub(r"[^\w.-]", "-", f"{encoder.name.removeprefix(TIMM)}.{tag}")
    return f"{words}-{hashlib.sha256(decides.encode()).hexdigest()[:8]}"
