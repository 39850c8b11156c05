"""What a film's shots may be chosen by beyond what was measured, as far as models have looked at the footage."""

from __future__ import annotations

from collections.abc import Sequence

from montage_ai.api.indexing import how_to_index
from montage_ai.edit.brief import Brief
from montage_ai.errors import MissingExtraError, UserError, WorkError
from montage_ai.events import Emit, Notice, counted
from montage_ai.footage.clip import Clip
from montage_ai.footage.library import Library
from montage_ai.footage.search import (
    Insight,
    Seen,
    ZeroShot,
    gain_insight,
    last_seen,
    load_labels,
    load_vocabulary,
    parse_query,
)


def look_into(clips: Sequence[Clip], brief: Brief, library: Library, emit: Emit) -> Insight:
    """What is known of ``clips`` and the wishes of ``brief``. Raises ``UserError``."""
    vocabulary = load_vocabulary()
    wants, avoids = ({wish: parse_query(wish, vocabulary) for wish in each} for each in (brief.wants, brief.avoids))
    try:
        seen = last_seen(library, clips, emit)
        if wants or avoids:
            _tell_of_unseen(sum(seen is None or not seen.has_seen_all_of(clip) for clip in clips), emit)
        return gain_insight(clips, wants, avoids, vocabulary, _moods(seen), seen, library.texts)
    except (MissingExtraError, UserError, WorkError) as error:
        if wants or avoids:
            raise
        emit(Notice("info", f"What a model has seen of the footage is not used: {error}"))
        return gain_insight(clips, {}, {}, vocabulary, [], None, library.texts)


def _moods(seen: Seen | None) -> list[ZeroShot]:
    """What tells how intense pictures are."""
    return [] if seen is None else [ZeroShot(labels, seen) for labels in load_labels().values() if labels.intensity]


def _tell_of_unseen(count: int, emit: Emit) -> None:
    if count:
        text = f"{counted(count, 'clip')} no model has seen: there, wishes go by what is measured and by names. For all"
        emit(Notice("info", f"{text} that is to be seen: {how_to_index()}"))
