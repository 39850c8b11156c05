"""The executors that the user has configured, from one TOML file.

    objective = "time"                  # or "spare-this-machine"
    [executors.big-box]
    kind = "ssh"
    host = "big-box.local"

Secrets never stand in it: where one is needed, the file names the environment variable or the file that holds it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from montage_ai import config
from montage_ai.errors import ConfigError, UserError
from montage_ai.offload.kinds import KINDS, AnyPlace, ExecutorSettings, Settings
from montage_ai.offload.options import LOCAL

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
_RESERVED = (LOCAL, "never", "auto")
NAMES = f"Use letters, digits, - and _, and none of {', '.join(_RESERVED)}."


class OffloadSettings(Settings):
    """All of the file."""

    objective: Literal["time", "spare-this-machine"] = "time"
    spare_factor: float = Field(3.0, ge=0, le=100)
    """What a second of this machine's processors costs in seconds of waiting, for ``spare-this-machine``."""
    executors: dict[str, ExecutorSettings] = Field(default_factory=dict)

    @property
    def spare(self) -> float:
        return self.spare_factor if self.objective == "spare-this-machine" else 0.0

    def executor(self, name: str) -> AnyPlace:
        """The executor called ``name``. Raises ``UserError`` where there is none."""
        if name not in self.executors:
            known = ", ".join(self.executors) or "none yet"
            raise UserError(
                f"There is no executor {name!r} (there are: {known}).",
                hint=f"Describe it in {settings_file()}, or with `montage-ai offload add`.",
            )
        return self.executors[name]


def can_be_a_name(name: str) -> bool:
    """Whether an executor can be called so."""
    return bool(_NAME.fullmatch(name)) and name not in _RESERVED


def settings_file() -> Path:
    """Where the file is, or would be."""
    return config.settings_dir() / "executors.toml"


def load_settings(path: Path | None = None) -> OffloadSettings:
    """What the file says; nothing where there is none.

    Raises ``ConfigError`` that names the line, what is wrong with it, and what may stand there.
    """
    path = path or settings_file()
    if not path.exists():
        return OffloadSettings()
    try:
        return parsed(path.read_text("utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read ({error}).", file=path) from error


def parsed(text: str, path: Path) -> OffloadSettings:
    """What ``text`` says, which stands in ``path``, or would. Raises ``ConfigError``."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not valid TOML: {error}.", file=path, hint="Repair that line.") from error
    for name in content.get("executors", {}) if isinstance(content.get("executors"), dict) else {}:
        if not can_be_a_name(name):
            where = _line(text, ("executors", name))
            raise ConfigError(f"line {where}: {name!r} cannot be an executor's name.", file=path, hint=NAMES)
    try:
        return OffloadSettings.model_validate(content)
    except ValidationError as error:
        raise _explained(path, text, content, error) from error


def told(fault: ErrorDetails, allowed: Sequence[str]) -> tuple[str, str]:
    """A fault in words, and what to do; ``allowed`` is what may stand there."""
    name = str(fault["loc"][-1]) if fault["loc"] else ""
    if fault["type"] == "extra_forbidden":
        return f"there is no setting {name!r}.", f"Allowed are: {', '.join(allowed)}."
    if fault["type"] == "missing":
        return f"{name!r} is missing.", f"Allowed are: {', '.join(allowed)}."
    if fault["type"].startswith("union_tag"):
        return f"{'.'.join(map(str, fault['loc']))} has no valid kind.", f"Set kind to one of: {', '.join(KINDS)}."
    if fault["type"] == "string_pattern_mismatch":
        return f"{name} cannot be {fault['input']!r}.", "docs/offloading.md says what it looks like."
    if fault["type"] == "value_error":
        return f"{fault['msg'].removeprefix('Value error, ')}.", "Change it."
    return f"{name} is {fault['input']!r}: {fault['msg'].lower()}.", "Change it."


def _explained(path: Path, text: str, content: dict[str, Any], error: ValidationError) -> ConfigError:
    """The first fault, with its line."""
    fault = error.errors()[0]
    place = tuple(str(part) for part in fault["loc"] if part not in KINDS or fault["loc"][-1] == part)
    what, hint = told(fault, _allowed(content, place))
    return ConfigError(f"line {_line(text, place)}: {what}", file=path, hint=hint)


def _allowed(content: dict[str, Any], place: tuple[str, ...]) -> list[str]:
    if place[0] == "executors" and len(place) > 1:
        entry = content["executors"].get(place[1])
        kind = entry.get("kind") if isinstance(entry, dict) else None
        return list(KINDS.get(str(kind), KINDS["ssh"]).model_fields)
    return list(OffloadSettings.model_fields)


def _line(text: str, place: tuple[str, ...]) -> int:
    """The line of a setting, or of its table where it is not there."""
    table, inside, found = ".".join(place[:2]) if place[0] == "executors" else "", place[0] != "executors", 1
    for number, line in enumerate(text.splitlines(), 1):
        header = re.fullmatch(r"\s*\[([^\]]*)\]\s*(#.*)?", line)
        if header:
            inside = header[1].replace('"', "").replace(" ", "") == table
            found = number if inside else found
        elif inside and re.match(rf"\s*\"?{re.escape(place[-1])}\"?\s*=", line):
            return number
    return found
