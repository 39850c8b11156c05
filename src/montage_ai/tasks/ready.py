"""A model that is ready to be asked: laid out, proven on this machine's device, kept while its worker stays warm."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from montage_ai import config
from montage_ai.models.device import Device, best_device
from montage_ai.models.library import torch
from montage_ai.parallel import share
from montage_ai.tasks.weights import Weights

T = TypeVar("T")

_loaded: dict[str, Any] = {}
"""The model of the job before."""


def ready(
    task: str,
    weights: Weights,
    files: Mapping[str, Path],
    folder: Path,
    *,
    load: Callable[[Path, Device], T],
    check: Callable[[Path, Device], object],
) -> T:
    """The model with these ``weights``, which a payload's ``files`` may hold, ``load`` ed on the best device.

    Before anything is believed that it says, ``check`` has passed once with it, for this ``task``, machine and device.
    """
    torch().set_num_threads(share())
    key = f"{task} {weights.identity}"
    if key not in _loaded:
        place, device = weights.lay_out(files, folder), best_device()
        surroundings = f"{key} {device.name} {torch().__version__}"
        mark = config.cache_dir() / "checked" / hashlib.sha256(surroundings.encode()).hexdigest()
        if not mark.exists():
            check(place, device)
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        _loaded.clear()
        _loaded[key] = load(place, device)
    model: T = _loaded[key]
    return model
