"""Finding moments in the footage by describing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from montage_ai import config
from montage_ai.api.montage import analyze
from montage_ai.api.outputs import check_writable
from montage_ai.errors import OutputExistsError, UserError
from montage_ai.events import Emit, ignore
from montage_ai.footage.clip import Clip
from montage_ai.footage.features import PACK_LONGER, PACK_SHORTER
from montage_ai.footage.library import Library
from montage_ai.footage.search import (
    Found,
    Looks,
    Moment,
    Query,
    TaggedClip,
    Tagger,
    ask,
    find_moments,
    find_texts,
    last_seen,
    load_labels,
    load_vocabulary,
    parse_query,
)
from montage_ai.media.decode import frame_at
from montage_ai.media.files import write_atomically
from montage_ai.media.photos import read_photo
from montage_ai.media.probe import MediaInfo
from montage_ai.media.rebuild import probe_readable
from montage_ai.models.image_text import Picture
from montage_ai.render.sheet import Card, is_sheet, sheet_html


def search(
    query: str,
    footage: Sequence[Path | str] = (),
    *,
    without: Iterable[str] = (),
    like: Path | str | None = None,
    emit: Emit = ignore,
) -> Found:
    """The moments of ``footage`` that ``query`` describes, the best first; of all that is known where none is given.

    Nothing of ``without`` is to be seen in them. ``like`` is a picture, or a video and a second (``clip.mp4@12.5``):
    what looks like that. What is new in ``footage`` is looked at first, but not by a model: that is ``index``. Raises
    ``UserError``.
    """
    vocabulary = load_vocabulary()
    others = list(without)
    is_said = query or others or like is None
    asked = parse_query(query, vocabulary, without=others) if is_said else Query((), ())
    clips = _clips(footage, emit)
    with Library(config.data_dir()) as library:
        looks, hits = _ask(asked, like, clips, library, emit), find_texts(asked, library.texts, clips)
    return find_moments(clips, asked, vocabulary, looks, hits)


def _ask(query: Query, like: Path | str | None, clips: Sequence[Clip], library: Library, emit: Emit) -> Looks | None:
    """What the model says that has seen most lately; None where it has seen none of ``clips``."""
    seen = last_seen(library, clips, emit)
    if seen is None:
        if like is not None:
            raise UserError("No model has seen any of this footage.", hint="Run `montage-ai index FOOTAGE` first.")
        return None
    return ask(query, None if like is None else seen.reader.picture(_picture(like)), seen)


def _picture(place: Path | str) -> Picture:
    """A photo, or the frame of a video at a second, RGB."""
    path, _, second = str(place).rpartition("@")
    if Path(place).exists() or not path:
        path, second = str(place), "0"
    try:
        time = Fraction(second)
    except (ValueError, ZeroDivisionError):
        raise UserError(f"has no second {second!r}.", file=path, hint="Write it like clip.mp4@12.5.") from None
    info = probe_readable(Path(path))
    picture = read_photo(info.path) if info.kind == "photo" else _frame(info, time)
    return np.ascontiguousarray(picture[:, :, ::-1])


def _frame(info: MediaInfo, time: Fraction) -> Picture:
    frame = frame_at(info, time) if time >= 0 else None
    if frame is None:
        raise UserError(f"has no picture at {float(time):g} s.", file=info.path, hint="Name an earlier second.")
    return frame.bgr(PACK_SHORTER, PACK_LONGER)


def tags(footage: Sequence[Path | str] = (), *, emit: Emit = ignore) -> list[TaggedClip]:
    """The tags and moods of ``footage``, or of all that is known: of every clip and each of its shots.

    Of what a model has seen (``index``) by the vocabularies of labels, else by what was measured. Raises ``UserError``.
    """
    clips = _clips(footage, emit)
    with Library(config.data_dir()) as library:
        tagger = Tagger(load_vocabulary(), list(load_labels().values()), last_seen(library, clips, emit))
        return [tagger.tag(clip) for clip in clips]


def check_sheet(path: Path, *, force: bool = False) -> None:
    """Make sure that a sheet can be written to ``path``, where nothing is or a sheet. Raises ``UserError``."""
    if path.suffix.lower() != ".html":
        raise UserError("is not .html.", file=path, hint="Give the page such a name.")
    check_writable(path)
    if path.exists() and not force and not is_sheet(path):
        hint = "Choose another name, or use --force to replace it."
        raise OutputExistsError("exists and was not made by this program.", file=path, hint=hint)


def write_sheet(query: str, moments: Sequence[Moment], output: Path) -> None:
    """A page with a picture of each moment, which plays under the pointer."""
    with Library(config.data_dir()) as library:
        cards = [_card(moment, library) for moment in moments]
    write_atomically(output, sheet_html(query, cards))


def _card(moment: Moment, library: Library) -> Card:
    clip = moment.clip
    picture = library.thumbnail(clip.facts.sha256, moment.start, max(moment.end, moment.start + 1))
    why = ", ".join(f"{name} {100 * share:.0f} %" for name, share in moment.why.items())
    why += f' "{moment.said}"' if moment.said else ""
    return Card(clip.info.path, clip.is_photo, moment.start, moment.end, moment.score, why, picture)


def _clips(footage: Sequence[Path | str], emit: Emit) -> Sequence[Clip]:
    if footage:
        return analyze(footage, emit=emit).clips
    with Library(config.data_dir()) as library:
        found = list(library.clips())
    if not found:
        hint = "Name a folder, like --in FOOTAGE."
        raise UserError("Nothing has been looked at yet.", hint=hint)
    return found
