"""Spectral labels as a system: masks of TokenCut, Selfment and FOUND, from what a frozen encoder sees."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from usod.models.config import NetworkConfig
from usod.models.registry import TIMM
from usod.settings.base import Settings
from usod.settings.faults import explain
from usod.settings.sections import Section
from usod.systems.description import Part, System
from usod.systems.spectral_settings import RECIPES, FoundConfig, SelfmentConfig, TokenCutConfig

ENCODER = "spectral: {network: {name: timm/vit_small_patch16_224.dino, weights: DEFAULT}}"


class SpectralConfig(Section):
    """Labels without any training, from what a frozen vision transformer sees in its patches."""

    network: dict[str, Any] | None = Field(
        None,
        description="The encoder, with the keys of a network; frozen: true need not be said (the papers: "
        "timm/vit_small_patch16_224.dino, FOUND vit_small_patch8_224.dino, weights DEFAULT); null: network, if frozen",
    )
    recipes: list[Literal["tokencut", "selfment", "found"]] = Field(
        ["selfment"], min_length=1, description="Which labels are made: spectral-selfment and so on"
    )
    tokencut: TokenCutConfig = TokenCutConfig()
    selfment: SelfmentConfig = SelfmentConfig()
    found: FoundConfig = FoundConfig()


class SpectralSettings(Settings):
    spectral: SpectralConfig = SpectralConfig()

    @property
    def patch_encoder(self) -> NetworkConfig | None:
        """The network whose frozen encoder sees the patches, if there is one."""
        if self.spectral.network is None:
            return self.network if self.network.frozen else None
        try:
            return NetworkConfig.model_validate({"frozen": True} | self.spectral.network)
        except ValidationError as error:
            raise ValueError(explain(error, prefix="spectral.network")) from error

    def patch_features(self, recipe: str) -> tuple[NetworkConfig, ...]:
        """What a recipe reads: of FOUND keys and attention, of the others keys or tokens."""
        section = getattr(self.spectral, recipe)
        kinds = ("keys", "attention") if recipe == "found" else (section.features,)
        encoder = self.patch_encoder
        return tuple(_seeing(encoder, what) for what in kinds) if encoder else ()

    @model_validator(mode="after")
    def _recipes_have_their_encoder(self) -> Self:
        read = {read.name for part in self.parts.values() for read in part.reads}
        asked = self.spectral.recipes if "spectral" in self.systems else []
        for recipe in [*asked, *(recipe for recipe in RECIPES if f"spectral-{recipe}" in read)]:
            encoder = self.patch_encoder
            if encoder is None or not encoder.frozen:
                raise ValueError(f"spectral.network: there is none that is frozen; write {ENCODER}")
            what = self.patch_features(recipe)[0].features.what
            if what != "tokens" and not encoder.name.startswith(TIMM):
                raise ValueError(
                    f"spectral.network: {recipe} takes {what} of a vision transformer, and {encoder.name} is none; "
                    f"write {ENCODER}"
                )
        return self


class Spectral(System):
    """Spectral: masks from a frozen encoder's patches, without training."""

    name = "spectral"
    settings = SpectralSettings
    rules = "workflow/rules/spectral.smk"

    def networks(self, config: SpectralSettings) -> Mapping[str, NetworkConfig]:
        key = "spectral.network" if config.spectral.network else "network"
        return {key: config.patch_encoder} if config.patch_encoder else {}

    def parts(self, config: SpectralSettings) -> Iterable[Part]:
        for recipe in RECIPES:
            encoders = config.patch_features(recipe)
            yield Part(
                f"spectral-{recipe}",
                f"spectral/{{variant}}{recipe}",
                leaves=("labels",),
                maps="made",
                settings=(*encoders, getattr(config.spectral, recipe)),
                encoders=encoders,
                final=True,
            )

    def wanted(self, config: SpectralSettings) -> list[str]:
        return [f"spectral-{recipe}" for recipe in config.spectral.recipes]


def _seeing(network: NetworkConfig, what: str) -> NetworkConfig:
    """The encoder, asked for other features of the same layers.

    Attention is kept as float16: int8 has no room for the patches that get the least of it, which FOUND asks for.
    """
    dtype = {"dtype": "float16"} if what == "attention" else {}
    features = network.features.model_copy(update={"what": what} | dtype)
    return network.encoder.model_copy(update={"features": features})
