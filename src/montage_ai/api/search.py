"""Finding moments in the footage by describing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from montage_ai import config
from montage_ai.api.montage import analyze
from montage_ai.errors import UserError
from montage_ai.events import Emit, ignore
from montage_ai.footage.clip import Clip
from montage_ai.footage.library import Library
from montage_ai.footage.search import Found, Moment, Tagged, find_moments, load_vocabulary, parse_query, tag_shots
from montage_ai.media.files import write_atomically
from montage_ai.render.sheet import Card, sheet_html


def search(
    query: str,
    footage: Sequence[Path | str] = (),
    *,
    without: Iterable[str] = (),
    emit: Emit = ignore,
) -> Found:
    """The moments of ``footage`` that ``query`` describes, the best first; of all that is known where none is given.

    Nothing of ``without`` is to be seen in them. What is new in ``footage`` is looked at first. Raises ``UserError``.
    """
    vocabulary = load_vocabulary()
    asked = parse_query(query, vocabulary, without=without)
    return find_moments(_clips(footage, emit), asked, vocabulary)


def tags(footage: Sequence[Path | str] = (), *, emit: Emit = ignore) -> list[Tagged]:
    """The tags of every shot of ``footage``, or of all that is known. Raises ``UserError``."""
    vocabulary = load_vocabulary()
    return [tagged for clip in _clips(footage, emit) for tagged in tag_shots(clip, vocabulary)]


def write_sheet(query: str, moments: Sequence[Moment], output: Path) -> None:
    """A page with a picture of each moment, which plays under the pointer."""
    with Library(config.data_dir()) as library:
        cards = [_card(moment, library) for moment in moments]
    write_atomically(output, sheet_html(query, cards))


def _card(moment: Moment, library: Library) -> Card:
    clip = moment.clip
    picture = library.thumbnail(clip.facts.sha256, moment.start, max(moment.end, moment.start + 1))
    why = ", ".join(f"{name} {100 * share:.0f} %" for name, share in moment.why.items())
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
