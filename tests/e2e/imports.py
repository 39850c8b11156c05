"""What the program imports at one time or another, for ``starting.py``."""

from __future__ import annotations

import importlib
import pkgutil

import scipy.linalg
import transformers

import montage_ai.api
import montage_ai.cli
import montage_ai.music.analyze
import montage_ai.tasks.stabilize
import montage_ai.worker.__main__
from montage_ai import forkserver

for package in (montage_ai.api, montage_ai.cli):
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

PARTS = (scipy.linalg, transformers.CLIPModel, transformers.CLIPImageProcessor, transformers.AutoTokenizer)

forkserver.become_template()  # for the children of what is started, too
