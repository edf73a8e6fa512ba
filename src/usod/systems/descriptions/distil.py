"""Distillation as a system: rounds of learning one's own sharpened maps, and a student."""

from collections.abc import Iterable, Mapping
from typing import Any, Self, cast

from pydantic import Field, model_validator

from usod.models.config import NetworkConfig
from usod.settings.base import Settings, differing
from usod.settings.sections import Section
from usod.systems.description import Part, Read, System
from usod.systems.distil_settings import LearnConfig, StudentConfig


class DistilConfig(Section):
    """Networks that learn the maps of a system, as they are after the CRF of `benchmark`, again and again."""

    labels: str | None = Field(
        None,
        description="What the first round learns the maps of: any system or method (spectral-selfment, rbd); null: the "
        "first fused network of DeepUSPS",
    )
    rounds: int = Field(
        1,
        ge=0,
        le=100,
        description="Each learns the maps of the one before. Scored with masks, the first one gained .003 to .008 of F "
        "where the labels were poor, and lost .008 on SED2 where they were good (docs/experiments.md)",
    )
    network: dict[str, Any] = Field({}, description="Keys of network that differ in the rounds")
    round: LearnConfig = LearnConfig()
    student: dict[str, Any] | None = Field(
        None, description="A last network, such as a small one, by its own keys; null: there is none"
    )
    learn: StudentConfig = Field(StudentConfig(), description="How the student learns")


class DistilSettings(Settings):
    distil: DistilConfig = DistilConfig()

    @property
    def round_network(self) -> NetworkConfig:
        """The network of the rounds."""
        return differing(self.network, self.distil.network, "distil.network")

    @property
    def student_network(self) -> NetworkConfig | None:
        """The network of the student, if there is one."""
        if self.distil.student is None:
            return None
        return differing(NetworkConfig(), self.distil.student, "distil.student")

    def distilled_network(self, name: str) -> NetworkConfig:
        """The network of `round1` and so on, or of the `student`."""
        return (self.student_network if name == "student" else None) or self.round_network

    def distilled_how(self, name: str) -> LearnConfig:
        """How it learns."""
        return self.distil.learn if name == "student" else self.distil.round

    @model_validator(mode="after")
    def _something_is_distilled(self) -> Self:
        _ = self.round_network, self.student_network
        if "distil" in self.systems and not self.distil.rounds and self.distil.student is None:
            raise ValueError("distil: neither rounds nor a student; give rounds: 1, or student: {name: mobilenet_v2}")
        return self


class Distil(System):
    """Distillation: all rounds, and the student."""

    name = "distil"
    settings = DistilSettings
    rules = "workflow/rules/distil.smk"

    def networks(self, config: DistilSettings) -> Mapping[str, NetworkConfig]:
        found = {"distil.network": config.round_network} if config.distil.rounds else {}
        return found | ({"distil.student": config.student_network} if config.student_network else {})

    def parts(self, config: DistilSettings) -> Iterable[Part]:
        distil, others = config.distil, cast(Any, config)
        before = distil.labels or f"deepusps-seed{others.deepusps.seeds[0]}"
        for number in range(1, distil.rounds + 1):
            last = number == distil.rounds and distil.student is None
            yield _part(f"round{number}", before, config.round_network, distil.round, last)
            before = f"distil-round{number}"
        if config.student_network:
            yield _part("student", before, config.student_network, distil.learn, True)


def _part(name: str, before: str, network: NetworkConfig, settings: LearnConfig, last: bool) -> Part:
    return Part(
        f"distil-{name}",
        f"distil/{{variant}}{name}",
        leaves=("model", "history"),
        settings=(network, settings),
        reads=(Read(before, "distil.labels", what="maps"),),
        trains=network,
        final=last,
    )
