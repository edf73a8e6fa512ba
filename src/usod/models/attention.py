"""What the attention of a vision transformer of timm sees: the keys of its tokens, and where its class token looks."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from usod.errors import UsageError

PARTS = ("num_heads", "head_dim", "k_norm", "attn_drop", "fused_attn")


def require_attention(model: Any, name: str, what: str) -> None:
    """Raise UsageError where the blocks have no `keys`, or no `attention` of a class token, that can be seen."""
    attention = getattr(getattr(model, "blocks", [None])[-1], "attn", None)
    if not all(hasattr(attention, part) for part in PARTS):
        raise UsageError(f"network.features.what: only vision transformers have {what}, and {name} is none; use tokens")
    if what == "attention" and getattr(model, "cls_token", None) is None:
        raise UsageError(
            f"network.features.what: {name} has no class token, whose attention is asked for; use another encoder "
            "(timm/vit_small_patch16_224.dino)"
        )


def attention_channels(model: Any, layers: Sequence[int], what: str) -> list[int]:
    """Channels of what `watched_attention` gives: of keys all heads side by side, of attention one for each head."""
    blocks = [model.blocks[layer].attn for layer in layers]
    return [block.num_heads * (block.head_dim if what == "keys" else 1) for block in blocks]


@contextlib.contextmanager
def watched_attention(model: Any, layers: Sequence[int], what: str) -> Iterator[dict[int, Tensor]]:
    """While the model runs: layer -> what its attention sees, of the patches alone.

    `keys` are (B, heads * channels, patches), before any rotary embedding and without the bias of their projection:
    what is added to every key changes no attention, so nothing held the bias in training, and in DINOv2 it is longer
    than the keys are without it. `attention` is that of the class token, (B, heads, patches); over all tokens, itself
    among them, it adds up to 1.
    """
    seen: dict[int, Tensor] = {}
    prefix = model.num_prefix_tokens

    def keep(layer: int, output: Tensor) -> None:
        if what == "keys":  # (B, heads, tokens, channels)
            seen[layer] = (output[:, :, prefix:] - _bias_of_keys(model.blocks[layer].attn)).mT.flatten(1, 2)
        else:  # (B, heads, tokens, tokens)
            seen[layer] = output[:, :, 0, prefix:]

    with contextlib.ExitStack() as stack:
        for layer in layers:
            attention = model.blocks[layer].attn
            # Fused, the attention is never there to be seen.
            attention.fused_attn = attention.fused_attn and what == "keys"
            part = attention.k_norm if what == "keys" else attention.attn_drop
            hook = part.register_forward_hook(lambda _part, _given, output, layer=layer: keep(layer, output))
            stack.callback(hook.remove)
        yield seen


def _bias_of_keys(attention: Any) -> Tensor | float:
    """What the projection adds to each key, (heads, 1, channels); a norm that follows would give it a meaning."""
    bias = getattr(getattr(attention, "qkv", None), "bias", None)
    if bias is None or not isinstance(attention.k_norm, nn.Identity):
        return 0.0
    keys: Tensor = bias.unflatten(0, (3, attention.num_heads, 1, attention.head_dim))[1]
    return keys
