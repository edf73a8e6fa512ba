"""A2S as a system: labels from activations, and a detector that learns them, or any other labels."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from usod.models.config import NetworkConfig
from usod.settings.base import Settings, differing
from usod.settings.sections import Section
from usod.systems.a2s_settings import ActivationConfig, PseudoLabelConfig, RectifyConfig
from usod.systems.description import Figure, Part, Read, System


class A2sConfig(Section):
    """A2S (Zhou et al., TCSVT 2023): pseudo-labels from a pretrained encoder, and the detector that learns them."""

    encoder: dict[str, Any] = Field(
        {}, description="Keys of network that differ in stage 1 (the paper: resnet50, MoCo v2, output_stride 32)"
    )
    detector: dict[str, Any] = Field(
        {}, description="Keys of the encoder that differ in the detector of stage 2, whose head is ram"
    )
    labels: str = Field(
        "a2s-stage1",
        description="What stage 2 learns: a2s-stage1, the refined labels of a method (rbd-iter2), or its maps (rbd)",
    )
    stage1: ActivationConfig = ActivationConfig()
    pseudo_labels: PseudoLabelConfig = PseudoLabelConfig()
    stage2: RectifyConfig = RectifyConfig()


class A2sSettings(Settings):
    a2s: A2sConfig = A2sConfig()

    @property
    def encoder(self) -> NetworkConfig:
        """The network of A2S's first stage."""
        network = differing(self.network, self.a2s.encoder, "a2s.encoder")
        made = self.a2s.stage1.network_of(network)
        if "head" in self.a2s.encoder and network.head.name != made.head.name:
            loss, wanted, given = self.a2s.stage1.loss, made.head.name, network.head.name
            raise ValueError(
                f"a2s.encoder.head: a2s.stage1.loss: {loss} is made for the head {wanted}, not {given}; leave it out"
            )
        return made

    @property
    def detector(self) -> NetworkConfig:
        """The network of A2S's second stage."""
        return differing(self.encoder, {"head": "ram"} | self.a2s.detector, "a2s.detector")

    @model_validator(mode="after")
    def _networks_of_a2s_fit(self) -> Self:
        detector, _ = self.detector, self.encoder  # which raise, too
        if detector.frozen and self.a2s.stage2.second_scale is not None:
            raise ValueError(
                "a2s.stage2.second_scale: the features of a frozen detector are those of one size; set null, or "
                "a2s.detector: {frozen: false}"
            )
        return self


class A2s(System):
    """A2S: both stages, as far as they are needed."""

    name = "a2s"
    settings = A2sSettings
    rules = "workflow/rules/a2s.smk"
    published = ("a2s_table2", "a2s_successors", "csnet")
    report_files = ("activations", "a2s_figure11")

    def networks(self, config: A2sSettings) -> Mapping[str, NetworkConfig]:
        return {"a2s.encoder": config.encoder, "a2s.detector": config.detector}

    def parts(self, config: A2sSettings) -> Iterable[Part]:
        yield Part(
            "a2s_train",
            "a2s/{variant}stage1",
            leaves=("model", "history", "watched"),
            settings=(config.encoder, config.a2s.stage1),
            scored="never",
            column=False,
            title="a2s-stage1",
        )
        yield Part(
            "a2s-stage1",
            "a2s/{variant}stage1",
            leaves=("labels",),
            settings=(config.a2s.pseudo_labels,),
            network="a2s_train",
            maps="made",
        )
        yield Part(
            "a2s-stage2",
            "a2s/{variant}stage2",
            leaves=("labels", "model", "history", "watched"),
            settings=(config.detector, config.a2s.stage2),
            reads=(Read(config.a2s.labels, "a2s.labels"),),
            trains=config.detector,
            maps="labels",
            final=True,
        )

    def figures(self, config: A2sSettings, made: Iterable[str]) -> list[Figure]:
        if "a2s-stage1" not in made or not config.a2s.stage1.watch:
            return []
        return [
            Figure("Activations", f"activations-{config.train}.png", "watched", wildcards={"dataset": config.train})
        ]
