"""PyTorch and Transformers: imported when they are needed, kept quiet, and missed politely."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from types import ModuleType

from montage_ai.errors import MissingExtraError

PACKAGES = frozenset({"torch", "transformers", "pillow"})
"""What a machine must have to run a model."""

EXTRA = "pip install 'montage-ai[semantic]'"


def is_installed() -> bool:
    """Whether models can be run here; imports nothing."""
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "transformers", "PIL"))


def torch() -> ModuleType:
    """PyTorch. Raises ``MissingExtraError``."""
    return _imported("torch")


def transformers() -> ModuleType:
    """Transformers, which writes nothing of its own to the terminal. Raises ``MissingExtraError``."""
    hub()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    found = _imported("transformers")
    found.utils.logging.set_verbosity_error()
    found.utils.logging.disable_progress_bar()
    return found


def safetensors() -> ModuleType:
    """What reads weights. Raises ``MissingExtraError``."""
    return _imported("safetensors")


def hub() -> ModuleType:
    """The client of the Hugging Face hub, which tells it nothing but what is fetched. Raises ``MissingExtraError``."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    _imported("huggingface_hub.errors")
    found = _imported("huggingface_hub")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    return found


def progress_bar() -> type:
    """The class of the bars that the hub's client shows. Raises ``MissingExtraError``."""
    found: type = _imported("tqdm").tqdm
    return found


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"A model needs the package {name}, which cannot be used ({error}).", hint=EXTRA
        ) from error
