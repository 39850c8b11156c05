"""The weights of a model as a task names them: a commit of a repository of the Hugging Face hub, or files of here.

Every machine fetches a repository for itself; files travel, each once, known by their content.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from montage_ai import config
from montage_ai.errors import TaskError, UnsuitedError
from montage_ai.media.files import write_atomically
from montage_ai.models import library
from montage_ai.tasks.task import InputFile

_PREFIX = "model."
_WANTED = (".json", ".txt", ".model", ".jinja")
_WEIGHTS, _OLD_WEIGHTS = ".safetensors", ".bin"


class WeightFile(BaseModel):
    """A file of a model, by the name that it is loaded by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    file: InputFile


class Weights(BaseModel):
    """Either ``repository`` and ``revision``, or ``files``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str = ""
    revision: str = ""
    files: tuple[WeightFile, ...] = ()

    @property
    def identity(self) -> str:
        """What tells one model from another: the same on every machine, whatever folder the files lie in."""
        if self.repository:
            return f"{self.repository}@{self.revision}"
        named = [(one.name, one.file.sha256) for one in self.files]
        return f"files@{hashlib.sha256(json.dumps(sorted(named)).encode()).hexdigest()[:32]}"

    @property
    def size(self) -> int:
        """Bytes that travel."""
        return sum(one.file.path.stat().st_size for one in self.files)

    def payload(self) -> dict[str, Path]:
        """The files as a payload names them."""
        return {_PREFIX + one.name: one.file.path for one in self.files}

    def lay_out(self, files: Mapping[str, Path], folder: Path) -> Path:
        """The folder that the model is loaded from, made in ``folder`` of a payload's ``files``, or fetched.

        Raises ``UnsuitedError`` where this machine cannot fetch it.
        """
        if self.repository:
            return fetched(self.repository, self.revision)
        place = folder / "model"
        place.mkdir()
        for one in self.files:
            _link(files[_PREFIX + one.name].absolute(), place / one.name)
        return place


OnBytes = Callable[[float, float], None]
"""Is told how many bytes are there, of how many."""


def kept(repository: str, revision: str) -> Path | None:
    """The folder of a commit (or branch) of a repository of the hub that was fetched before, all of it; or None."""
    try:
        note = _Note.model_validate_json(_note_of(repository, revision).read_bytes())
    except (OSError, ValidationError):
        return None
    return note.folder if all((note.folder / name).is_file() for name in note.files) else None


def there(repository: str, revision: str) -> Path | None:
    """The same, also where nobody knows whether it is all: another program may have fetched it, and been ended."""
    found = kept(repository, revision)
    if found is None and isinstance(
        config_file := library.hub().try_to_load_from_cache(repository, "config.json", revision=revision), str
    ):
        found = Path(config_file).parent
    return found


def fetched(repository: str, revision: str, on_bytes: OnBytes = lambda done, total: None) -> Path:
    """The same, fetched where it was not. Raises ``UnsuitedError`` where that cannot be done."""
    if (before := kept(repository, revision)) is not None:
        return before
    hub = library.hub()
    refused = hub.errors.HfHubHTTPError.__bases__  # of the HTTP client that it uses, and of the system
    try:
        told = hub.HfApi().model_info(repository, revision=revision, files_metadata=True)
        sizes = {one.rfilename: one.size or 0 for one in told.siblings or () if "/" not in one.rfilename}
        names = loaded_names(list(sizes))
        bar = _bar(on_bytes, float(sum(sizes[name] for name in names)))
        place = Path(hub.snapshot_download(repository, revision=revision, allow_patterns=names, tqdm_class=bar))
    except (*refused, hub.errors.HFValidationError) as error:
        if (before := there(repository, revision)) is not None:
            return before
        first = str(error).strip().partition("\n")[0]
        hint = "Check the network and the name, or name a local folder."
        raise UnsuitedError(f"The model {repository} cannot be fetched ({first}).", hint=hint) from error
    for known_as in {revision, place.name}:
        note = _note_of(repository, known_as)
        note.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(note, _Note(folder=place, files=tuple(names)).model_dump_json())
    return place


class _Note(BaseModel):
    """Which files of a commit were fetched, and to where."""

    folder: Path
    files: tuple[str, ...]


def _note_of(repository: str, revision: str) -> Path:
    name = hashlib.sha256(f"{repository}@{revision}".encode()).hexdigest()
    return config.cache_dir() / "fetched" / f"{name}.json"


def _bar(on_bytes: OnBytes, total: float) -> type:
    """A progress bar, as the hub's client takes one, that is not shown but told to ``on_bytes``.

    The client makes several, of what arrives and of what is written: the one that is furthest counts.
    """
    furthest = 0.0

    class Bar(library.progress_bar()):  # type: ignore[misc]
        def __init__(self, *others: Any, unit: str = "it", **settings: Any) -> None:
            super().__init__(*others, **settings | {"disable": True})
            self._is_of_bytes, self._done = unit == "B", 0.0

        def update(self, more: float | None = 1) -> None:
            nonlocal furthest
            self._done += more or 0.0
            if self._is_of_bytes and self._done > furthest:
                furthest = self._done
                on_bytes(min(furthest, total), total)

    on_bytes(0.0, total)
    return Bar


def loaded_names(names: list[str]) -> list[str]:
    """Those of the files of a model that it is loaded from; weights as pickles only where there are no others."""
    weights = [name for name in names if name.endswith(_WEIGHTS)]
    weights = weights or [name for name in names if name.startswith("pytorch_model") and name.endswith(_OLD_WEIGHTS)]
    return sorted([name for name in names if name.endswith(_WANTED)] + weights)


def model_config(folder: Path) -> dict[str, object]:
    """A model's ``config.json``. Raises ``TaskError``."""
    try:
        found = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        hint = "Name a folder as `save_pretrained` writes it."
        raise TaskError(f"holds no config.json that can be read ({error}).", file=folder, hint=hint) from error
    if not isinstance(found, dict):
        raise TaskError("holds a config.json that describes no model.", file=folder)
    return found


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source)
    except OSError:  # Windows allows it only to some
        shutil.copyfile(source, target)
