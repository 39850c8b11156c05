"""What the program imports at one time or another, for ``starting.py``."""

from __future__ import annotations

import importlib
import pkgutil

import transformers

import montage_ai.api
import montage_ai.cli
import montage_ai.music.analyze

for package in (montage_ai.api, montage_ai.cli):
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

PARTS = (transformers.CLIPModel, transformers.CLIPImageProcessor, transformers.AutoTokenizer)
