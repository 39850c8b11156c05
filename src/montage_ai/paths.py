"""Paths as JSON: names of files may hold any bytes, and JSON only text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pydantic import PlainSerializer, ValidatorFunctionWrapHandler, WrapValidator

_BYTES = "bytes:"


def _path_from(text: Any, otherwise: ValidatorFunctionWrapHandler) -> Any:
    """A path from JSON, see ``_path_to``."""
    if isinstance(text, str) and text.startswith(_BYTES):
        return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(_BYTES))))
    return otherwise(text)


def _path_to(path: Path) -> str:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return _BYTES + quote_from_bytes(os.fsencode(path))
    return str(path)


AnyPath = Annotated[Path, WrapValidator(_path_from), PlainSerializer(_path_to, when_used="json")]
"""A path whose name may hold any bytes."""
