"""DeepUSPS as a system: stages that refine every method's maps, and networks that learn all of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from pydantic import Field, ValidationError, field_validator, model_validator

from usod.models.config import NetworkConfig
from usod.settings.base import Settings, deep_merge
from usod.settings.faults import explain
from usod.settings.sections import Section, Seed
from usod.systems.deepusps_settings import Binarisation, FuseConfig, RefineConfig
from usod.systems.description import Part, Read, System


class DeepUspsConfig(Section):
    seeds: list[Seed] = Field(
        [0],
        min_length=1,
        description="The whole training is repeated with each: all stages of all methods, from the same handcrafted "
        "maps, and the fusion; scores are mean and deviation (4.1: 'trained for three times'). Of the stages those of "
        "the first seed are scored, shown and learnt by other systems (rbd-iter1); those of seed 2 are rbd-iter1-seed2",
    )
    refine: RefineConfig = RefineConfig()
    fuse: FuseConfig = FuseConfig()
    labels: list[str] | None = Field(
        None,
        min_length=1,
        description="What the fusion learns; null: the last stage of every method. Names of maps (rbd), of refined "
        "labels (rbd-iter2), of another system's (a2s-stage1, a2s-stage2), and of oracles: oracle-masks is the ground "
        "truth, oracle-labels each pixel's best refined label. {method} stands for every method ({method}-iter0). "
        "Every seed's fusion learns the refined labels of its own seed",
    )

    @field_validator("seeds")
    @classmethod
    def _no_seed_twice(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("every seed once")
        return seeds


class DeepUspsSettings(Settings):
    deepusps: DeepUspsConfig = DeepUspsConfig()

    @model_validator(mode="after")
    def _refinements_fit(self) -> Self:
        for method in self.methods:
            self.refine_of(method)
        return self

    @property
    def last_labels(self) -> list[str]:
        """The labels that the last stage of every method leaves."""
        return [f"{method}-iter{self.deepusps.refine.iterations}" for method in self.methods]

    @property
    def fused_labels(self) -> list[str]:
        """What DeepUSPS's fusion learns."""
        if self.deepusps.labels is None:
            return self.last_labels
        labels = [
            label.replace("{method}", method)
            for label in self.deepusps.labels
            for method in (self.methods if "{method}" in label else [""])
        ]
        return list(dict.fromkeys(labels))

    @property
    def unrefined(self) -> dict[str, Binarisation]:
        """The handcrafted maps among what the fusion learns, and how each is binarised."""
        return {label: self.refine_of(label).binarisation for label in self.fused_labels if label in self.methods}

    def again(self, seed: int) -> str:
        """What the name of a seed's own labels ends with; those of the first seed have the name itself."""
        return "" if seed == self.deepusps.seeds[0] else f"-seed{seed}"

    def seed_of(self, again: str) -> int:
        """The seed of labels whose name ends so."""
        return int(again.removeprefix("-seed")) if again else self.deepusps.seeds[0]

    def refine_of(self, method: str) -> RefineConfig:
        """`deepusps.refine` with the method's own keys laid over it."""
        base = self.deepusps.refine.model_dump(exclude_unset=True)
        own = self.methods[method].refine
        if "iterations" in own:
            raise ValueError(f"methods.{method}.refine.iterations: all methods have deepusps.refine.iterations")
        try:
            return RefineConfig.model_validate(deep_merge(base, own))
        except ValidationError as error:
            raise ValueError(explain(error, prefix=f"methods.{method}.refine")) from error


class DeepUsps(System):
    """DeepUSPS: every stage of every method, and the fused networks."""

    name = "deepusps"
    settings = DeepUspsSettings
    rules = "workflow/rules/deepusps.smk"
    published = ("deepusps_table1",)
    reserved = r".*-iter\d+(-seed\d+)?|oracle-.*|fusion"

    def networks(self, config: DeepUspsSettings) -> Mapping[str, NetworkConfig]:
        return {"network": config.network}

    def parts(self, config: DeepUspsSettings) -> Iterable[Part]:
        yield _oracle("oracle-masks", "oracle/masks.h5")
        for seed in config.deepusps.seeds:
            again = config.again(seed)
            own = [stage for method in config.methods for stage in _stages(config, method, seed)]
            last = tuple(Read(f"{label}{again}") for label in config.last_labels)
            own.append(_oracle(f"oracle-labels{again}", f"oracle/{{variant}}labels{again}.h5", last))
            yield from own
            repeated = {part.name.removesuffix(again) for part in own}
            labels = [f"{label}{again}" if label in repeated else label for label in config.fused_labels]
            yield Part(
                f"deepusps-seed{seed}",
                f"deepusps/{{variant}}fusion/seed{seed}",
                leaves=("model", "history"),
                settings=(config.network, config.deepusps.fuse, config.unrefined),
                reads=tuple(Read(label, "deepusps.labels") for label in labels),
                final=True,
                trains=config.network,
                column=not again,
            )

    def wanted(self, config: DeepUspsSettings) -> list[str]:
        """The fusions, and all stages of the methods that they learn something of."""
        parts = [part for part in self.parts(config) if not part.truth]
        learnt = {part.method for part in parts if part.name in config.fused_labels}
        return [part.name for part in parts if part.final or part.method in learnt]

    def counts(self, config: DeepUspsSettings) -> dict[str, list[str]]:
        return {"iteration": [str(k) for k in range(1, config.deepusps.refine.iterations + 1)]}

    def step(self, place: Sequence[str]) -> str:
        return "fusion" if "fusion" in place else f"stage {place[-1].removeprefix('iter').partition('-')[0]}"


def _stages(config: DeepUspsSettings, method: str, seed: int) -> Iterable[Part]:
    """All stages of a method with one seed."""
    refine, again = config.refine_of(method), config.again(seed)
    for stage in range(refine.iterations + 1):
        before = f"{method}-iter{stage - 1}{again}" if stage else method
        # The network of the stage before is handed on where its labels have settled.
        handed_on = (Read(before, what="model"),) if stage and refine.stable is not None else ()
        yield Part(
            f"{method}-iter{stage}{again}",
            f"deepusps/{{variant}}{method}/iter{stage}{again}",
            settings=(config.network, refine.of_stage(stage), seed),
            reads=(Read(before), *handed_on),
            maps="labels",
            scored="never" if again else "stage",
            column=stage == refine.iterations and not again,
            method=None if again else method,
            trains=config.network,
            heading=f"iteration {stage}" if stage else "consistency",
        )


def _oracle(name: str, labels: str, reads: tuple[Read, ...] = ()) -> Part:
    return Part(
        name, "oracle", ("labels",), reads=reads, scored="never", column=False, truth=True, files={"labels": labels}
    )
