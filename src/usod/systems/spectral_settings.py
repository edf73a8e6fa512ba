"""What the steps of `spectral` can be told; apart from its description, so that other settings rerun none of them."""

from typing import Literal

from pydantic import Field

from usod.settings.sections import CrfConfig, Section


class MaskConfig(Section):
    """What all masks of patches go through on their way to maps."""

    crf: CrfConfig | None = Field(
        None, description="Dense CRF of the maps at working size; null: none (FOUND and Selfment have none)"
    )


class TokenCutConfig(MaskConfig):
    """TokenCut (Wang et al., CVPR 2022): a normalised cut of the patches."""

    features: Literal["keys", "tokens"] = Field(
        "keys", description="What is compared: keys of the last block (TokenCut), or its tokens (Selfment)"
    )
    tau: float = Field(0.2, ge=-1, lt=1, description="Patches whose cosine is greater are linked")
    epsilon: float = Field(1e-5, gt=0, lt=1, description="Weight of all other links")
    connected: bool = Field(
        True, description="Only the part of the foreground that is connected with its seed, the surest patch"
    )


class SelfmentConfig(TokenCutConfig):
    """Selfment (arXiv 2602.23759): the normalised cut, then iterative patch optimisation."""

    features: Literal["keys", "tokens"] = Field(
        "tokens", description="What is compared: tokens of the last block (Selfment), or its keys (TokenCut)"
    )
    iterations: int = Field(20, ge=0, le=1000, description="Of the optimisation, at most")
    smallest: int = Field(10, ge=1, description="Patches that foreground and background must keep, else it stops")


class FoundConfig(MaskConfig):
    """FOUND (Siméoni et al., CVPR 2023): everything that is unlike the patch that gets the least attention."""

    similarity: float = Field(0.3, ge=-1, lt=1, description="Patches with a greater cosine to the seed are background")


RECIPES: dict[str, type[MaskConfig]] = {"tokencut": TokenCutConfig, "selfment": SelfmentConfig, "found": FoundConfig}
