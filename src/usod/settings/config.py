"""The typed configuration of the workflow.

Every key has a default, and every default cites where it comes from; unknown keys are refused. It is put together of
what all systems share (`usod.settings.base`) and of what each system adds (`usod.systems.descriptions`, `plugins`). The
JSON schema in workflow/schemas is generated from these classes (`usod config schema`).
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, create_model, model_validator

from usod.errors import UsageError
from usod.folders import dataset_of_folder, images_folder
from usod.settings.base import Settings, deep_merge
from usod.settings.faults import explain
from usod.systems.description import System
from usod.systems.descriptions import SYSTEMS
from usod.systems.registry import Registry, read_plugin


class _Whole(Settings):
    """config.yaml: what to compute. How to run it (cores, memory, cluster) belongs to the command line or a profile."""

    registry: ClassVar[Registry]

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        self.registry.check(self)
        return self


def config_class(registry: Registry) -> type[Any]:
    """The configuration of the systems of a registry: each adds its section, its checks and what it derives."""
    bases: Any = (_Whole, *(registry[name].settings for name in reversed(list(registry))))
    systems = Settings.model_fields["systems"]
    names = list[Literal[tuple(registry)]]  # type: ignore[misc,valid-type]
    field = Field(systems.default, min_length=1, description=systems.description)
    fields: dict[str, Any] = {"systems": (names, field)}
    made = create_model("Config", __base__=bases, __doc__=_Whole.__doc__, **fields)
    whole: Any = made
    whole.registry = registry
    return whole


Config = config_class(SYSTEMS)


@cache
def _with(plugins: tuple[str, ...]) -> type[Any]:
    systems: list[System] = [*SYSTEMS.values(), *map(read_plugin, plugins)]
    for number, system in enumerate(systems):
        if system.name in [other.name for other in systems[:number]]:
            raise UsageError(f"plugins: {system.file}: there is a system {system.name!r} already, call it otherwise")
    return config_class(Registry(systems))


def _class_for(values: Mapping[str, Any]) -> type[Any]:
    """The class of a configuration, with the systems of the `plugins` that it names."""
    plugins = values.get("plugins") or ()
    if not isinstance(plugins, list) or not all(isinstance(plugin, str) for plugin in plugins):
        return Config  # which says what is wrong
    return _with(tuple(plugins)) if plugins else Config


def parse_config(values: dict[str, Any], source: str = "config") -> Any:
    """A checked Config.

    Raises
    ------
    UsageError
        One line that names every wrong key and what is wrong with it.
    """
    try:
        return _class_for(values).model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{source}: {explain(error)}") from error


def own_images(folder: object, preset: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """A configuration for a folder of unlabelled images: `preset`, the user's own keys, the folder as the data.

    The data set is called after its folder (`usod.settings.names.usable_name`). A relative path stays one, from the
    working folder: so results and photographs can be moved together.

    Parameters
    ----------
    folder : of the images, as the user gave it: `--config images=FOLDER`; or a list of such folders, whose images are
        trained on together
    preset : values of the preset (workflow/presets/own_images.yaml)
    own : the user's own keys; `datasets` of theirs are kept, so that the network can be scored on them. One that has
        this folder for its root is the data set itself

    Raises
    ------
    UsageError
        If there is no such folder.
    """
    rest = {key: value for key, value in own.items() if key != "images"}
    values = {key: value for key, value in preset.items() if key not in ("datasets", "train", "test")}
    theirs = {str(name): section for name, section in (rest.get("datasets") or {}).items()}
    several = isinstance(folder, list) and len(folder) > 1
    found: dict[str, Any] = {}
    for given in folder if isinstance(folder, list) and several else [folder]:
        name, section = dataset_of_folder(images_folder(given), theirs | found)
        if name in found:
            raise UsageError(f"images=: {given} comes twice, or there is another {name!r}; rename one folder")
        found[name] = section
    train = list(found) if several else next(iter(found))
    return deep_merge(deep_merge(values, rest), {"datasets": found, "train": train})


def schema() -> dict[str, Any]:
    """JSON schema of config.yaml, for editors and for `snakemake.utils.validate`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
