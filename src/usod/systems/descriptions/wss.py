"""WSS as a system: a network that learns tags, and rounds of learning its own refined maps."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from usod.models.config import NetworkConfig
from usod.models.registry import TagsOptions
from usod.settings.base import Settings, differing
from usod.settings.sections import PretrainConfig, Section, SelfTrainConfig, SuperpixelConfig
from usod.systems.description import Figure, Part, Read, System


class WssConfig(Section):
    """WSS (Wang et al., CVPR 2017): salient objects from image-level tags, then from its own refined maps."""

    network: dict[str, Any] = Field({}, description="Keys of network that differ (the paper: vgg16, ImageNet weights)")
    rounds: int = Field(2, ge=0, le=100, description="Rounds of estimating and fine-tuning (3.4)")
    pretrain: PretrainConfig = PretrainConfig()
    crf: SuperpixelConfig = SuperpixelConfig()
    selftrain: SelfTrainConfig = SelfTrainConfig()


class WssSettings(Settings):
    wss: WssConfig = WssConfig()

    @property
    def tagger(self) -> NetworkConfig:
        """The network of WSS."""
        network = differing(self.network, self.wss.network, "wss.network")
        return network.with_head(network.head_as(TagsOptions))

    @model_validator(mode="after")
    def _tags_exist(self) -> Self:
        self.tagger  # noqa: B018 - it raises
        parts = [self.datasets[name] for name in self.single(self.train)]
        if "wss" in self.systems and any(part.tags is None and part.root != "demo" for part in parts):
            raise ValueError(
                f"datasets.{self.train}.tags: wss learns from tags; give a CSV, a folder of XML, or folders"
            )
        return self


AVERAGE = "wss-average"


class Wss(System):
    """WSS: pretraining with tags, and all rounds of self-training."""

    name = "wss"
    settings = WssSettings
    rules = "workflow/rules/wss.smk"
    published = ("wss_table1",)
    needs = ("tags.csv",)
    report_files = ("tags",)
    posts = ("spcrf",)

    def networks(self, config: WssSettings) -> Mapping[str, NetworkConfig]:
        return {"wss.network": config.tagger}

    def parts(self, config: WssSettings) -> Iterable[Part]:
        wss = config.wss
        yield Part(
            "wss-pretrain",
            "wss/{variant}pretrain",
            leaves=("model", "history"),
            settings=(config.tagger, wss.pretrain),
            final=not wss.rounds,
        )
        # Fig. 6, WSS1-AVE: the pretrained network as it is, asked for another map. Made for tables alone.
        yield Part(
            AVERAGE,
            "wss/{variant}average",
            leaves=("model",),
            reads=(Read("wss-pretrain", what="model"),),
            column=False,
            files={"history": "wss/{variant}pretrain/history.csv"},
        )
        before = "wss-pretrain"
        for k in range(wss.rounds):
            yield Part(
                f"wss-iter{k}",
                f"wss/{{variant}}iter{k}",
                settings=(wss.crf, wss.selftrain),
                reads=(Read(before, what="model"),),
                final=k == wss.rounds - 1,
            )
            before = f"wss-iter{k}"

    def wanted(self, config: WssSettings) -> list[str]:
        return [part.name for part in self.parts(config) if part.name != AVERAGE]

    def post_settings(self, config: WssSettings, word: str) -> SuperpixelConfig:
        return config.wss.crf

    def figures(self, config: WssSettings, made: Iterable[str]) -> list[Figure]:
        if "wss-pretrain" not in made:
            return []
        return [Figure("Tags", f"tags-{config.train}.png", "tags", wildcards={"dataset": config.train})]
