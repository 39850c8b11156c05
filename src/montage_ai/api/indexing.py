"""Looking at footage once, so that it can be searched: what changes is measured, and models see and describe it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from montage_ai import config
from montage_ai.api.outputs import FilmFiles
from montage_ai.errors import UnsuitedError, UserError
from montage_ai.events import Emit, Notice, ignore
from montage_ai.footage.captioning import caption_clips, is_captioned
from montage_ai.footage.embedding import embed_clips, forget_broken_vectors, is_embedded
from montage_ai.footage.files import Skipped, find_files
from montage_ai.footage.found_model import CAPTIONER, FoundModel, default_name, find_model
from montage_ai.footage.library import Library
from montage_ai.footage.scan import read_footage
from montage_ai.models.library import EXTRA, is_installed
from montage_ai.offload.cache import in_use, prune
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.places import Mode, check_mode
from montage_ai.render.cache import RenderCache


@dataclass(frozen=True)
class Indexed:
    """What an index run found: ``files`` looked for, of which ``unchanged`` were known already; ``pictures`` that the
    ``model`` (None: there is none) has looked at now, and ``captions`` that were made now."""

    files: int
    unchanged: int
    decoded: int
    pictures: int
    captions: int
    model: str | None
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class _Models:
    """What looks at pictures, and what describes them, where there is such a model."""

    looks: FoundModel | None
    describes: FoundModel | None

    def know(self, digest: str, library: Library) -> bool:
        """Whether nothing is left for them to do with a clip."""
        return (self.looks is None or is_embedded(digest, self.looks.weights, library)) and (
            self.describes is None or is_captioned(digest, self.describes.weights, library)
        )


def index(
    footage: Sequence[Path | str],
    *,
    model: str | None = None,
    captions: bool | str = False,
    offload: Mode = None,
    emit: Emit = ignore,
) -> Indexed:
    """Look at all clips of ``footage`` that are new or have changed, and have a model look at their pictures.

    ``model`` is a local folder or a repository of the hub; by default the one that was used last, else SigLIP 2 (CLIP
    where memory is small). With ``captions`` a model of the family BLIP (or the one that is named) describes each shot.
    Without the extra ``semantic`` the clips are only measured. ``offload`` as for ``make_montage``. Raises
    ``MontageError``.
    """
    check_mode(offload)
    with in_use(config.cache_dir()), Library(config.data_dir()) as library:
        forget_broken_vectors(library)
        captioner = CAPTIONER if captions is True else captions or None
        models = _Models(
            _looks(model, library, emit), None if captioner is None else find_model(captioner, library, emit)
        )
        name = None if models.looks is None else models.looks.name
        if models.looks is not None:
            library.vectors.use(models.looks.weights.identity)
        places = [Path(place) for place in footage]
        named = {place.absolute() for place in places}
        files = [path for path in find_files(places).files if path in named or not _is_ours(path)]
        new = [path for path in files if not _is_known(path, models, library)]
        if files and not new:
            return Indexed(len(files), len(files), 0, 0, 0, name, ())
        found = read_footage(new or places, library, emit, needed=len(new) == len(files))
        known = sum(models.know(clip.facts.sha256, library) for clip in found.clips)
        unchanged = len(files) - len(new) + min(known, len(found.clips) - found.decoded)  # moved, or written just now
        pictures = described = 0
        with Offloader(offload, emit=emit) as offloader:
            packs = config.cache_dir() / "packs"
            if models.looks is not None:
                pictures = embed_clips(found.clips, models.looks, library, offloader, packs, emit)
            if models.describes is not None:
                described = caption_clips(found.clips, models.describes, library, offloader, packs, emit)
    prune(config.cache_dir(), RenderCache(config.cache_dir()).folders, config.cache_limit())
    return Indexed(len(files), unchanged, found.decoded, pictures, described, name, found.skipped)


def how_to_index() -> str:
    """What to type so that a model sees the footage."""
    return "montage-ai index FOOTAGE" if is_installed() else f"{EXTRA} && montage-ai index FOOTAGE"


def _looks(model: str | None, library: Library, emit: Emit) -> FoundModel | None:
    if model is None and not is_installed():
        emit(Notice("info", f"No model is installed: what pictures show is not looked at. {EXTRA}"))
        return None
    if model is not None:
        return find_model(model, library, emit)
    try:
        return find_model(default_name(library), library, emit)
    except (UnsuitedError, UserError) as error:  # nobody has named it, and the clips can be measured all the same
        emit(Notice("warning", f"{error} What pictures show is not looked at."))
        return None


def _is_known(path: Path, models: _Models, library: Library) -> bool:
    """Whether nothing is to be done for a file; nothing is read for it but its size and time."""
    try:
        if not library.knows(path):
            return False
        digest = library.digest(path)
    except (OSError, UnicodeEncodeError):  # a name that is no text is told of where it is read
        return False
    return library.has(digest) and models.know(digest, library)


def _is_ours(path: Path) -> bool:
    return FilmFiles(path).film_is_ours()
