"""A stage's settings: one frozen model per stage, and for every value where it came from.

A flag overrides the file, the file overrides the default. An origin is ``user (flag)``,
``user (layersim.toml)``, ``default``, or the paper that states the value (and the preset that took it over).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from layersim.errors import LayersimError, UsageError

FILE_NAME = "layersim.toml"
FLAG, FILE = "user (flag)", f"user ({FILE_NAME})"


def setting(default: Any, description: str, paper: str | None = None, **constraints: Any) -> Any:
    """Declare one field of a `StageConfig`: its default, what it means with its unit, and its source.

    ``paper`` names the publication that states this default; without it the default is layersim's own.
    """
    extra: dict[str, Any] | None = {"paper": paper} if paper else None
    return Field(default=default, description=description, json_schema_extra=extra, **constraints)


class StageConfig(BaseModel):
    """The settings of one stage: frozen, no unknown keys, one table of ``layersim.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    section: ClassVar[str]
    subtables: ClassVar[bool] = False  # whether its table has tables in it that are no settings of its own
    unstated: ClassVar[str] = "default"  # the origin of a default that no paper states

    @classmethod
    def section_of(cls, name: str) -> str:
        """Return the table in which a setting stands."""
        del name  # all in one, unless a subclass says otherwise
        return cls.section


ConfigT = TypeVar("ConfigT", bound=StageConfig)


@dataclass(frozen=True)
class Settings(Generic[ConfigT]):
    """A stage's settings and where each came from."""

    config: ConfigT
    origins: dict[str, str]  # field -> "user (flag)" | "user (layersim.toml)" | "paper: ..." | "default"

    def as_rows(self) -> list[dict[str, Any]]:
        """One row per setting: ``name, value, origin, meaning``; what run.json and the report show."""
        values = self.config.model_dump(mode="json")
        fields = type(self.config).model_fields
        return [
            {"name": name, "value": values[name], "origin": self.origins[name],
             "meaning": fields[name].description or ""}
            for name in fields
        ]  # fmt: skip


def resolve_settings(
    model: type[ConfigT],
    flags: Mapping[str, Any] | None = None,
    table: Mapping[str, Any] | None = None,
    where: str = FILE_NAME,
    preset: tuple[str, Mapping[str, Any]] | None = None,
) -> Settings[ConfigT]:
    """Merge flags over the file's table over the defaults, remembering each field's origin.

    Parameters
    ----------
    flags : mapping, optional
        What the caller set; entries that are None count as not given.
    table : mapping, optional
        The stage's table in ``layersim.toml``.
    where : str
        Named in errors.
    preset : (str, mapping), optional
        Values between the file and the defaults, and their origin.

    Raises
    ------
    LayersimError
        If a key of the file is unknown (the nearest known one is named) or its value is not allowed.
    UsageError
        If a flag's value is not allowed.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    filed = dict(table or {})
    if model.subtables:
        filed = {name: value for name, value in filed.items() if not isinstance(value, dict)}
    refuse_unknown(filed, model.model_fields, f"{where}, table [{model.section}]")
    unknown = set(given) - set(model.model_fields)
    if unknown:
        raise ValueError(f"{model.__name__} has no field {sorted(unknown)}")
    try:
        config = model.model_validate({**(preset[1] if preset else {}), **filed, **given})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else model.section
        said = f"setting {name!r}: {first['msg'].removeprefix('Value error, ')} (got {first['input']!r})."
        if name in given:
            raise UsageError(f"flag: {said}") from None
        raise LayersimError(f"{where}, table [{model.section}]: {said}") from None
    origins = {name: _origin(model, name, given, filed, preset) for name in model.model_fields}
    return Settings(config, origins)


def _origin(
    model: type[StageConfig],
    name: str,
    given: Iterable[str],
    filed: Iterable[str],
    preset: tuple[str, Mapping[str, Any]] | None,
) -> str:
    if name in given:
        return FLAG
    if name in filed:
        return FILE
    if preset and name in preset[1]:
        return preset[0]
    extra = model.model_fields[name].json_schema_extra
    if isinstance(extra, dict) and "paper" in extra:
        return f"paper: {extra['paper']}"
    return model.unstated


def refuse_unknown(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse a key that is not known, naming the nearest one that is.

    Raises
    ------
    LayersimError
    """
    names = sorted(known)
    for key in given:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1, cutoff=0.0)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise LayersimError(f"{where}: unknown key {key!r}. {hint}Known keys: {', '.join(names)}.")
