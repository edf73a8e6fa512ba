"""Votes as a system: one label set of several, without training."""

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import Field, model_validator

from usod.settings.base import Settings
from usod.settings.sections import Section
from usod.systems.description import Part, Read, System


class VoteConfig(Section):
    """One label set of several, by their votes, without training."""

    labels: list[str] | None = Field(
        None,
        min_length=2,
        description="Who votes, two or more: maps (rbd), any system's labels or maps (spectral-selfment, rbd-iter2, "
        "a2s-stage2, deepusps-seed0); null: the maps of every method",
    )
    rule: Literal["majority", "weighted", "best"] = Field(
        "majority",
        description="majority: what more than half vote for; weighted: the same, a vote counting by its mean IoU with "
        "the others in that image (of three label sets the majority again); best: the one vote that agrees most with "
        "the others, of those that do not span the frame (SelfMask). Chosen with the masks of SED2, SOD and half of "
        "PASCAL-S: the majority of three or four "
        "had the F of its best member (-.001) or more; best had up to .025 less; two label sets gained nothing "
        "(docs/experiments.md)",
    )
    soft: bool = Field(
        False,
        description="Keep each pixel's share of the votes. By the masks of SED2, SOD and half of PASCAL-S its adaptive "
        "F was up to .06 below the best member's",
    )
    threshold: float = Field(0.5, ge=0, lt=1, description="A label votes for the pixels where it is above")
    threshold_factor: float = Field(
        1.5, gt=0, description="Of handcrafted maps: they vote above 1.5 * their mean over the data set (DeepUSPS 3.1)"
    )


class VoteSettings(Settings):
    vote: VoteConfig = VoteConfig()

    @property
    def voters(self) -> list[str]:
        """Who votes, each once."""
        return list(dict.fromkeys(self.methods if self.vote.labels is None else self.vote.labels))

    @model_validator(mode="after")
    def _there_is_something_to_vote_on(self) -> Self:
        read = {read.name for part in self.parts.values() for read in part.reads}
        if "vote" in [*self.systems, *read] and len(self.voters) < 2:
            raise ValueError(f"vote.labels: {self.voters[0]} alone cannot vote; name another beside it")
        return self


class Vote(System):
    """Vote: one label set of several, without training."""

    name = "vote"
    settings = VoteSettings
    rules = "workflow/rules/vote.smk"

    def parts(self, config: VoteSettings) -> Iterable[Part]:
        yield Part(
            "vote",
            "vote",
            leaves=("labels",),
            maps="made",
            settings=(config.vote.model_dump(exclude={"labels"}),),
            reads=tuple(Read(name, "vote.labels", what="maps") for name in config.voters),
            final=True,
            files={"labels": "vote/{variant}labels.h5"},
        )
