"""DeepUSPS as a system: stages that refine every method's maps, and networks that learn all of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from pydantic import Field, ValidationError, model_validator

from usod.models.config import NetworkConfig
from usod.settings.base import Settings, deep_merge
from usod.settings.faults import explain
from usod.settings.sections import Section
from usod.systems.deepusps_settings import FuseConfig, RefineConfig
from usod.systems.description import Part, Read, System


class DeepUspsConfig(Section):
    refine: RefineConfig = RefineConfig()
    fuse: FuseConfig = FuseConfig()
    labels: list[str] | None = Field(
        None,
        min_length=1,
        description="What the fusion learns; null: the last stage of every method. Names of maps (rbd), of refined "
        "labels (rbd-iter2), of another system's (a2s-stage1, a2s-stage2), and of oracles: oracle-masks is the ground "
        "truth, oracle-labels each pixel's best refined label. {method} stands for every method ({method}-iter0)",
    )


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
    reserved = r".*-iter\d+|oracle-.*|fusion"

    def networks(self, config: DeepUspsSettings) -> Mapping[str, NetworkConfig]:
        return {"network": config.network}

    def parts(self, config: DeepUspsSettings) -> Iterable[Part]:
        stages = range(config.deepusps.refine.iterations + 1)
        for method in config.methods:
            for stage in stages:
                yield _stage(config, method, stage, stage == stages[-1])
        candidates = tuple(Read(label) for label in config.last_labels)
        yield _oracle("oracle-masks", "oracle/masks.h5")
        yield _oracle("oracle-labels", "oracle/{variant}labels.h5", candidates)
        fuse = config.deepusps.fuse
        for seed in fuse.seeds:
            yield Part(
                f"deepusps-seed{seed}",
                f"deepusps/{{variant}}fusion/seed{seed}",
                leaves=("model", "history"),
                settings=(config.network, fuse.model_dump(exclude={"seeds"})),
                reads=tuple(Read(label, "deepusps.labels") for label in config.fused_labels),
                final=True,
                trains=config.network,
                column=seed == fuse.seeds[0],
            )

    def wanted(self, config: DeepUspsSettings) -> list[str]:
        """All stages of the methods that the fusion learns something of."""
        parts = [part for part in self.parts(config) if not part.truth]
        learnt = {part.method for part in parts if part.name in config.fused_labels}
        return [part.name for part in parts if part.method is None or part.method in learnt]

    def counts(self, config: DeepUspsSettings) -> dict[str, list[str]]:
        return {"iteration": [str(k) for k in range(1, config.deepusps.refine.iterations + 1)]}

    def step(self, place: Sequence[str]) -> str:
        return "fusion" if "fusion" in place else f"stage {place[-1].removeprefix('iter')}"


def _stage(config: DeepUspsSettings, method: str, stage: int, last: bool) -> Part:
    refine = config.refine_of(method)
    before = f"{method}-iter{stage - 1}" if stage else method
    # The network of the stage before is handed on where its labels have settled.
    handed_on = (Read(before, what="model"),) if stage and refine.stable is not None else ()
    return Part(
        f"{method}-iter{stage}",
        f"deepusps/{{variant}}{method}/iter{stage}",
        settings=(config.network, refine.of_stage(stage)),
        reads=(Read(before), *handed_on),
        maps="labels",
        scored="stage",
        column=last,
        method=method,
        trains=config.network,
        heading=f"iteration {stage}" if stage else "consistency",
    )


def _oracle(name: str, labels: str, reads: tuple[Read, ...] = ()) -> Part:
    return Part(
        name, "oracle", ("labels",), reads=reads, scored="never", column=False, truth=True, files={"labels": labels}
    )
