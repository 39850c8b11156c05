"""New entries of the configuration, written for the user."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from montage_ai.errors import UserError
from montage_ai.media.files import write_atomically
from montage_ai.offload.kinds import KINDS
from montage_ai.offload.settings import NAMES, can_be_a_name, load_settings, parsed, told

COLAB = "colab"


def add_entry(path: Path, name: str, kind: str, given: Mapping[str, object]) -> str:
    """Append an executor to the file. Returns the lines that were written.

    ``colab`` by ``ssh`` without a host is Google's own client. Raises ``UserError`` for what cannot be, and
    ``ConfigError`` where nothing can be appended to the file; it is then as it was.
    """
    if not can_be_a_name(name):
        raise UserError(f"{name!r} cannot be an executor's name.", hint=NAMES)
    if "kind" in given:
        raise UserError("The kind is not a setting here.", hint=f"Say --via {given['kind']}.")
    if kind not in KINDS:
        raise UserError(f"There is no kind {kind!r}.", hint=f"Use one of: {', '.join(KINDS)}.")
    if name in load_settings(path).executors:
        raise UserError(
            f"There is an executor {name!r} already.", file=path, hint="Change it there, or use another name."
        )
    if (name, kind) == (COLAB, "ssh") and "host" not in given:
        given = {**_googles_client(), **given}
    try:
        settings = KINDS[kind].model_validate({"kind": kind, **given})
    except ValidationError as error:
        what, hint = told(error.errors()[0], [name for name in KINDS[kind].model_fields if name != "kind"])
        raise UserError(f"{name}: {what}", hint=hint) from error
    values = settings.model_dump(mode="json")
    lines = f"[executors.{name}]\n" + "".join(f"{key} = {_toml(values[key])}\n" for key in ("kind", *given))
    before = path.read_text("utf-8").rstrip("\n") + "\n\n" if path.exists() else ""
    parsed(before + lines, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, before + lines)
    return lines


def _googles_client() -> dict[str, object]:
    """Colab through Google's ``colab ssh``: it finds a machine, and speaks to the SSH server there."""
    program = shutil.which("colab")
    if program is None:
        hint = "`pip install google-colab-cli`, then log in with `colab`. Or use `cgpu`: --via cgpu."
        raise UserError("Google's client `colab` is not installed.", hint=hint)
    return {
        "host": COLAB,
        "user": "root",
        "work_dir": "/content/montage-ai",
        "connect_timeout": 300,  # seconds in which a machine is found
        "proxy_command": [program, "ssh", "--proxy-mode", "-s", "montage-ai"],
        "check_host_key": False,
    }


def _toml(value: object) -> str:
    """JSON's strings, numbers, booleans and lists are TOML's, but for one letter."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
