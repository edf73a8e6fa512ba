"""LDPS as a system: networks that learn relations from prior maps, and the maps that they refine."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from usod.models.config import NetworkConfig
from usod.models.registry import RelationOptions
from usod.settings.base import Settings, differing
from usod.settings.sections import CrfConfig, MergeConfig, RelationConfig, Section, SingleImageConfig
from usod.systems.description import Figure, Part, Read, System

_DEEP = ("Amulet", "UCF", "ELD", "NLDF", "SRM", "PiCANet", "RAS", "R3Net", "PFA")
PUBLISHED_PRIORS = {"rbd": "wCtrO", "mbd": "MB+", "bsca": "BSCA"} | {name.lower(): name for name in _DEEP}
"""What the tables of LDPS call some methods, whose own names are matched in any case: `picanet`, `PiCANet`."""


class LdpsConfig(Section):
    """LDPS (Chen et al., AAAI 2020): any maps refined by the relations of deep features, without labels."""

    network: dict[str, Any] = Field(
        {},
        description="Keys of network that differ (the paper: mobilenet_v2 with ImageNet weights, output_stride 32). "
        "The presets of LDPS have freeze_batchnorm: true, as the statistics of 8 images are unsteady; false is the "
        "paper's end-to-end (5.3) and the released code's",
    )
    priors: list[str] | None = Field(
        None,
        min_length=1,
        description="What is refined: maps (rbd), refined labels (rbd-iter2), a network's maps (deepusps-seed0, "
        "a2s-stage2); null: the maps of every method",
    )
    learn_from: str | None = Field(
        None,
        description="The prior on which one network for all is trained (5.3: PiCANet's maps, which masks have taught); "
        "null: each prior has its own, and no mask is behind any",
    )
    train: RelationConfig = RelationConfig()
    merge: MergeConfig = MergeConfig()
    single: SingleImageConfig = SingleImageConfig()
    crf: CrfConfig = Field(
        CrfConfig(),
        description="The dense CRF that Table 3 compares with, at the images' own sizes. The paper gives no settings; "
        "these are of pydensecrf's example",
    )


class LdpsSettings(Settings):
    ldps: LdpsConfig = LdpsConfig()

    @property
    def relation(self) -> NetworkConfig:
        """The network of LDPS."""
        network = differing(self.network, self.ldps.network, "ldps.network")
        return network.with_head(network.head_as(RelationOptions))

    @property
    def priors(self) -> list[str]:
        """What LDPS refines."""
        return self.ldps.priors or list(self.methods)

    @model_validator(mode="after")
    def _network_of_ldps_fits(self) -> Self:
        self.relation  # noqa: B018 - it raises
        return self


class Ldps(System):
    """LDPS: the relation networks and the refined maps of all priors."""

    name = "ldps"
    settings = LdpsSettings
    rules = "workflow/rules/ldps.smk"
    published = ("ldps_table1",)
    report_files = ("changes",)

    def networks(self, config: LdpsSettings) -> Mapping[str, NetworkConfig]:
        return {"ldps.network": config.relation}

    def parts(self, config: LdpsSettings) -> Iterable[Part]:
        ldps = config.ldps
        for prior in [ldps.learn_from] if ldps.learn_from else config.priors:
            yield Part(
                f"ldps_train-{prior}",
                f"ldps/{{variant}}{prior}",
                leaves=("model", "history"),
                settings=(config.relation, ldps.train),
                reads=(Read(prior, "ldps.learn_from" if ldps.learn_from else "ldps.priors", "maps"),),
                scored="never",
                column=False,
                title=f"ldps-{prior}",
            )
        for prior in dict.fromkeys([*config.priors, *filter(None, [ldps.learn_from])]):
            reads = (Read(prior, "ldps.priors", "maps"),)
            yield Part(
                f"ldps-{prior}",
                f"ldps/{{variant}}{prior}",
                leaves=("labels",),
                maps="made",
                settings=(ldps.merge,),
                reads=reads,
                network=f"ldps_train-{ldps.learn_from or prior}",
                final=True,
            )
            yield Part(
                f"ldps_single-{prior}",
                f"ldps_single/{{variant}}{prior}",
                leaves=("labels",),
                maps="made",
                settings=(config.relation, ldps.single, ldps.merge),
                reads=reads,
                column=False,
            )
            yield Part(
                f"ldps_crf-{prior}",
                f"ldps_crf/{{variant}}{prior}",
                leaves=("labels",),
                maps="made",
                settings=(ldps.crf,),
                reads=reads,
                column=False,
            )

    def wanted(self, config: LdpsSettings) -> list[str]:
        return [f"ldps-{prior}" for prior in config.priors]

    def figures(self, config: LdpsSettings, made: Iterable[str]) -> list[Figure]:
        return [
            Figure(
                "Relations",
                f"changes-{testset}-{prior}.png",
                "changes",
                f"{prior} on {testset}",
                {"testset": testset, "prior": prior},
            )
            for testset in config.test
            for prior in config.priors
            if f"ldps-{prior}" in made
        ]

    def repeats(self, config: LdpsSettings) -> dict[str, dict[str, str]]:
        """Two that the paper calls the same would be one row: the second keeps its own name."""
        shown: dict[str, str] = {}
        for prior in config.priors:
            name = PUBLISHED_PRIORS.get(prior.lower(), prior)
            shown[prior] = prior if name in shown.values() else name
        return {"prior": shown}
