"""What pydantic finds wrong, in the words of the configuration's users."""

import json
import re
from typing import Any

from pydantic import ValidationError

from usod.settings.names import PATTERN, RULE, usable_name

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "keys and values",
    "model": "keys and values",
}
_BOUNDS = {
    "greater_than": "above",
    "greater_than_equal": "at least",
    "less_than": "below",
    "less_than_equal": "at most",
}
# What pydantic puts into the place of a fault to say which of several types it has tried.
_TRIED = re.compile(r"(float|int|str|bool|constrained-\w+|(list|literal|tuple|dict|function-[\w-]+|nullable)\[.*\])")
_OF_THE_USER = ("datasets", "methods", "rows")


def explain(error: ValidationError, prefix: str = "") -> str:
    """All faults of a ValidationError in one line: `key.sub: what is wrong; ...`."""
    found: dict[str, list[dict[str, Any]]] = {}
    for fault in error.errors():
        found.setdefault(_key(fault["loc"], prefix), []).append(dict(fault))
    faults: list[str] = []
    for key, of_key in found.items():
        if all(map(_is_of_another_type, of_key)) and any(other.startswith(f"{key}.") for other in found):
            continue  # a list, say, for which a number was tried too
        text = _text(of_key)
        # A name that is wrong in several places is one mistake.
        if of_key[0]["type"] != "string_pattern_mismatch" or not any(fault.endswith(text) for fault in faults):
            faults.append(f"{key}: {text}" if key else text)
    return "; ".join(dict.fromkeys(faults))


def _key(place: tuple[int | str, ...], prefix: str) -> str:
    parts = [prefix] if prefix else []
    for number, part in enumerate(place):
        below = place[number - 1] if number else ""
        if part != "[key]" and (below in _OF_THE_USER or not _TRIED.fullmatch(str(part))):
            parts.append(str(part))
    return ".".join(parts)


def _text(faults: list[dict[str, Any]]) -> str:
    """What is wrong with one key; where several types were tried, what the one says that the value is of."""
    of_value = [fault for fault in faults if not _is_of_another_type(fault)]
    first = (of_value or faults)[0]
    kind, given = first["type"], first["input"]
    if kind == "extra_forbidden":
        return "unknown key, remove it or correct its name"
    if kind == "value_error":
        return str(first["ctx"]["error"])
    if kind == "missing":
        return "is required and not there"
    if kind == "string_pattern_mismatch" and first["ctx"]["pattern"] == PATTERN:
        return f"{_shown(given)} is no name: {RULE}, e.g. {usable_name(given)}"
    if given is None:
        return "has nothing behind it; give a value or leave the key out"
    if kind == "too_short":
        return f"needs {first['ctx']['min_length']} or more, has {first['ctx']['actual_length']}"
    wanted = " or ".join(dict.fromkeys(_wanted(fault) for fault in (of_value[:1] or faults)))
    hint = ""
    if kind in ("list_type", "tuple_type") and not isinstance(given, dict) and len(faults) == 1:
        hint = f"; write [{given}]"
    elif kind == "string_type" and not isinstance(given, list | dict):
        hint = f"; write it in quotes: '{given}'"
    return f"must be {wanted}, not {_shown(given)}{hint}"


def _is_of_another_type(fault: dict[str, Any]) -> bool:
    return fault["type"].endswith(("_type", "_parsing")) or fault["type"] == "literal_error"


def _wanted(fault: dict[str, Any]) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "literal_error":
        return f"one of {context['expected'].replace(' or ', ', ')}".replace("'", "")
    if kind in _BOUNDS:
        return f"{_BOUNDS[kind]} {next(iter(context.values())):g}"
    what = kind.partition("_")[0]
    return _KINDS[what] if what in _KINDS else fault["msg"].lower().removeprefix("input should be ")


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return repr(text[:80]) if isinstance(value, str) else text[:80]
