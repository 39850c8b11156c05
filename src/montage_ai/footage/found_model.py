"""Models as they are named: a local folder, or a repository of the Hugging Face hub."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from montage_ai.errors import MissingExtraError, TaskError, UserError
from montage_ai.events import Emit, StageDone, StageProgress, StageStarted, ignore
from montage_ai.footage.library import Library
from montage_ai.footage.vectors import KnownModel
from montage_ai.models.image_text import effort
from montage_ai.models.library import EXTRA, is_installed
from montage_ai.parallel import memory
from montage_ai.tasks.task import InputFile
from montage_ai.tasks.weights import WeightFile, Weights, fetched, kept, loaded_names, model_config, there

DEFAULT, SMALL = "google/siglip2-base-patch16-256", "openai/clip-vit-base-patch32"
CAPTIONER = "Salesforce/blip-image-captioning-base"
_ENOUGH = 6.0  # gigabytes of memory for the default


@dataclass(frozen=True)
class FoundModel:
    """A model. ``name`` is what its user calls it, ``folder`` where it lies on this machine."""

    name: str
    weights: Weights
    folder: Path

    @property
    def effort(self) -> float:
        """See the tasks ``Embed`` and ``Caption``."""
        return effort(model_config(self.folder))


def default_name(library: Library) -> str:
    """The model that was used last, else one that fits into this machine's memory."""
    used = library.vectors.models()
    return used[0].name if used else DEFAULT if memory() >= _ENOUGH else SMALL


def find_model(name: str, library: Library, emit: Emit = ignore) -> FoundModel:
    """The model called ``name``: a folder, or ``OWNER/NAME`` or ``OWNER/NAME@REVISION`` on the hub, fetched once.

    Raises ``UserError``, ``MissingExtraError``, and ``UnsuitedError`` where it cannot be fetched.
    """
    if not is_installed():
        raise MissingExtraError("Models need PyTorch and Transformers, which are not installed.", hint=EXTRA)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return FoundModel(str(folder.absolute()), Weights(files=_files(folder, library)), folder)
    if name.count("/") != 1 or folder.exists():
        hint = f"Name a folder, or a model of the Hugging Face hub like {DEFAULT}."
        raise UserError("is no model.", file=name, hint=hint)
    repository, _, revision = name.partition("@")
    place = kept(repository, revision or "main") or _fetched(repository, revision or "main", emit)
    return FoundModel(name, Weights(repository=repository, revision=place.name), place)


def _fetched(repository: str, revision: str, emit: Emit) -> Path:
    stage, started = f"Fetching {repository}", time.monotonic()

    def tell(done: float, total: float) -> None:
        if not done:
            emit(StageStarted(stage, total / 1e6, "MB"))
        emit(StageProgress(stage, done / 1e6))

    place = fetched(repository, revision, tell)
    emit(StageDone(stage, time.monotonic() - started))
    return place


def known_folder(known: KnownModel, library: Library) -> Path:
    """Where a model lies that has seen something. Raises ``UserError`` where it is not there as it was."""
    weights = Weights.model_validate_json(known.weights)
    folder = weights.files[0].file.path.parent if weights.files else there(weights.repository, weights.revision)
    hint = "Put it back, or index with another one: montage-ai index FOOTAGE --model ..."
    if folder is None or not all(one.file.path.is_file() for one in weights.files):
        raise UserError("The model that has seen the footage is not there any more.", file=known.name, hint=hint)
    if any(library.digest(one.file.path) != one.file.sha256 for one in weights.files):
        raise UserError("The model that has seen the footage has changed since.", file=known.name, hint=hint)
    return folder


def _files(folder: Path, library: Library) -> tuple[WeightFile, ...]:
    names = loaded_names([path.name for path in folder.iterdir() if path.is_file()])
    if "config.json" not in names:
        raise UserError("holds no model.", file=folder, hint="Name a folder as `save_pretrained` writes it.")
    try:
        return tuple(
            WeightFile(name=one, file=InputFile(path=folder.absolute() / one, sha256=library.digest(folder / one)))
            for one in names
        )
    except OSError as error:
        raise TaskError(f"cannot be read ({error.strerror}).", file=folder) from error
