"""Looking at footage once, so that it can be searched: what changes is measured, and a model sees the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from montage_ai import config
from montage_ai.api.outputs import FilmFiles
from montage_ai.errors import UnsuitedError
from montage_ai.events import Emit, Notice, ignore
from montage_ai.footage.embedding import embed_clips, is_embedded
from montage_ai.footage.library import Library
from montage_ai.footage.scan import Skipped, find_files, read_footage
from montage_ai.footage.sight import Sight, default_name, find_sight
from montage_ai.models.library import EXTRA, is_installed
from montage_ai.offload.cache import in_use, prune
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.places import Mode, check_mode
from montage_ai.render.pieces import Pieces


@dataclass(frozen=True)
class Indexed:
    """What an index run found: ``files`` looked for, of which ``unchanged`` were known already; ``pictures`` that the
    ``model`` (None: there is none) has looked at now."""

    files: int
    unchanged: int
    decoded: int
    pictures: int
    model: str | None
    skipped: tuple[Skipped, ...]


def index(
    footage: Sequence[Path | str], *, model: str | None = None, offload: Mode = None, emit: Emit = ignore
) -> Indexed:
    """Look at all clips of ``footage`` that are new or have changed, and have a model look at their pictures.

    ``model`` is a local folder or a repository of the hub; by default the one that was used last, else SigLIP 2 (CLIP
    where memory is small). Without the extra ``semantic`` the clips are only measured. ``offload`` as for
    ``make_montage``. Raises ``MontageError``.
    """
    check_mode(offload)
    with in_use(config.cache_dir()), Library(config.data_dir()) as library:
        sight = _sight(model, library, emit)
        name = None if sight is None else sight.name
        places = [Path(place) for place in footage]
        named = {place.absolute() for place in places}
        files = [path for path in find_files(places) if path in named or not _is_ours(path)]
        new = [path for path in files if not _is_known(path, sight, library)]
        if files and not new:
            return Indexed(len(files), len(files), 0, 0, name, ())
        found = read_footage(new or places, library, emit, needed=len(new) == len(files))
        pictures = 0
        if sight is not None:
            with Offloader(offload, emit=emit) as offloader:
                pictures = embed_clips(found.clips, sight, library, offloader, config.cache_dir() / "packs", emit)
    prune(config.cache_dir(), Pieces(config.cache_dir()).folders, config.cache_limit())
    return Indexed(len(files), len(files) - len(new), found.decoded, pictures, name, found.skipped)


def _sight(model: str | None, library: Library, emit: Emit) -> Sight | None:
    if model is None and not is_installed():
        emit(Notice("info", f"No model is installed: what pictures show is not looked at. {EXTRA}"))
        return None
    if model is not None:
        return find_sight(model, library, emit)
    try:
        return find_sight(default_name(library), library, emit)
    except UnsuitedError as error:  # the clips can be measured all the same
        emit(Notice("warning", f"{error} What pictures show is not looked at."))
        return None


def _is_known(path: Path, sight: Sight | None, library: Library) -> bool:
    """Whether nothing is to be done for a file; nothing is read for it but its size and time."""
    try:
        if not library.knows(path):
            return False
        digest = library.digest(path)
    except OSError:
        return False
    return library.has(digest) and (sight is None or is_embedded(digest, sight.weights, library))


def _is_ours(path: Path) -> bool:
    return FilmFiles(path).film_is_ours()
