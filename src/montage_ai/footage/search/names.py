"""The words of clips' names, and which words of a query stand in them."""

from __future__ import annotations

import calendar
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace

from montage_ai.footage.clip import Clip
from montage_ai.footage.search.query import Query

_MONTHS = dict(enumerate(calendar.month_name))
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_RUN = re.compile(r"\d+|\D+")


def names_of(clip: Clip) -> frozenset[str]:
    """The words of a clip's name, of the folders that it lies in, and of where and when it was taken."""
    folders = list(clip.info.path.parents)[:2]
    parts = [clip.info.path.stem, *(folder.name for folder in folders), *clip.facts.places]
    words = {piece for part in parts for piece in _pieces(part)}
    if clip.info.taken and (date := re.match(r"(\d{4})-(\d\d)", clip.info.taken)):
        words |= {date[1], _MONTHS.get(int(date[2]), date[1]).lower()}
    return frozenset(words)


def stands_in(word: str, names: frozenset[str]) -> bool:
    """Whether a word of a query stands in ``names``, in whole or by its parts ("img_0123", "saint-denis")."""
    parts = _WORD.findall(unicodedata.normalize("NFC", word).lower())
    return bool(parts) and names.issuperset(parts)


def is_excluded(query: Query, names: frozenset[str]) -> bool:
    """Whether a clip with these ``names`` is called what is not wanted."""
    return any(all(stands_in(word, names) for word in words) for words in query.unwanted_names)


def named(query: Query, names: Iterable[frozenset[str]]) -> Query:
    """``query`` with those of its words alone that stand in any of ``names``: the others would fit nothing."""
    each = list(names)
    return replace(query, words=tuple(word for word in query.words if any(stands_in(word, one) for one in each)))


def _pieces(name: str) -> Iterator[str]:
    """Its words, and where letters and digits make up one ("dog1"), these too."""
    for word in _WORD.findall(_HUMP.sub(" ", unicodedata.normalize("NFC", name)).lower()):
        yield word
        yield from _RUN.findall(word)
