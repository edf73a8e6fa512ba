"""Weights that timm knows by name: which there are, and their files in the cache of the Hugging Face hub."""

import difflib
import urllib.error
import urllib.request
from pathlib import Path

import timm
import torch
from timm.models import PretrainedCfg, get_pretrained_cfg, is_model, split_model_name_tag

from usod.errors import UsageError, UsodError
from usod.models.sources import TIMM
from usod.models.weight_files import download, first_line

REACH = 10.0  # seconds for the hub to answer at all


def pretrained_file(name: str, weights: str) -> Path:
    """The file of timm's weights in the cache of the Hugging Face hub, downloaded if it is not there yet.

    Parameters
    ----------
    name : `timm/NAME` or `timm/NAME.TAG`
    weights : DEFAULT or a tag

    Raises
    ------
    UsageError
        If timm has no such model or tag.
    UsodError
        If there is no internet, or HF_HUB_OFFLINE is set, and the cache lacks it.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    tagged = tagged_name(name, weights)
    settings = _settings(tagged)
    assert settings is not None
    hub = settings.hf_hub_id
    if not hub:
        return _from_url(tagged, str(settings.url))
    files = [settings.hf_hub_filename] if settings.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    for file in files:
        cached = try_to_load_from_cache(hub, file)
        if isinstance(cached, str):
            return Path(cached)
    unreachable = _why_unreachable()
    for file in files if not unreachable else ():
        try:
            return Path(hf_hub_download(hub, file))
        except EntryNotFoundError:
            unreachable = f"{hub} has no {file}"
        except (OSError, ValueError, RuntimeError) as error:  # the hub's own errors, and the network's
            unreachable = first_line(error)
            break
    raise UsodError(
        f"weights: {tagged} of timm is not in the cache and cannot be downloaded ({unreachable}); with internet: usod "
        f"weights fetch {TIMM}{tagged} --out DIR, then give DIR/{tagged}.safetensors as `weights`; it is "
        f"https://huggingface.co/{hub}/resolve/main/{files[0]}"
    )


def tagged_name(name: str, weights: str) -> str:
    """`NAME.TAG` of timm for a backbone and its `weights`, DEFAULT or a tag. Raises UsageError where there is none."""
    model, own = model_and_tag(name)
    tag = own if weights == "DEFAULT" else weights
    settings = _settings(f"{model}.{tag}" if tag else model)
    if settings is None or not (settings.hf_hub_id or settings.url):
        known = [other.partition(".")[2] for other in timm.list_pretrained(f"{model}.*")]
        there = f"there are {', '.join(known)}" if known else "timm has none of it"
        raise UsageError(f"network.weights: timm/{model} has no weights of the name {tag or weights!r}; {there}")
    return f"{model}.{settings.tag}" if settings.tag else model


def model_and_tag(name: str) -> tuple[str, str]:
    """NAME and TAG of `timm/NAME.TAG`; the tag may be empty. Raises UsageError where timm has no such model."""
    model, tag = split_model_name_tag(name.removeprefix(TIMM))
    if not is_model(model):
        close = difflib.get_close_matches(model, timm.list_models())
        hint = f"; near it are {', '.join(close)}" if close else "; timm.list_models() has all"
        raise UsageError(f"network.name: timm {timm.__version__} has no model {model!r}{hint}")
    return model, tag


def licence_of(tagged: str) -> str:
    """The licence that timm has noted for weights, or "unknown"."""
    settings = _settings(tagged)
    return (settings.license if settings is not None else None) or "unknown"


def _settings(tagged: str) -> PretrainedCfg | None:
    try:
        return get_pretrained_cfg(tagged, allow_unregistered=True)
    except RuntimeError:  # no such tag
        return None


def _why_unreachable() -> str:
    """Why nothing can be fetched from the hub; empty if it answers. Its own client would try for half a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        with urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=REACH):
            return ""
    except urllib.error.HTTPError:
        return ""  # it answers
    except (OSError, ValueError) as error:
        return f"{constants.ENDPOINT}: {first_line(getattr(error, 'reason', error))}"


def _from_url(tagged: str, url: str) -> Path:
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not file.exists():
        try:
            download(url, file)
        except UsodError as error:
            raise UsodError(f"weights: {tagged} of timm: {error}; put that file at {file}") from error
    return file
