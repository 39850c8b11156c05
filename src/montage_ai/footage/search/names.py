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
_ACCENT = re.compile("[\u0300-\u036f]")
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_. ]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")
_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]"
)  # scripts of East Asia


def names_of(clip: Clip) -> frozenset[str]:
    """The words of a clip's name, of the folders that it lies in, and of where and when it was taken."""
    folders = list(clip.info.path.parents)[:2]
    parts = [clip.info.path.stem, *(folder.name for folder in folders), *clip.facts.places]
    words = {piece for part in parts for piece in _pieces(part)}
    dates = [*_DATE.finditer(clip.info.path.stem), re.match(r"(\d{4})(-)(\d\d)", clip.info.taken or "")]
    for date in filter(None, dates):
        words |= {date[1], _MONTHS.get(int(date[3]), date[1]).lower()}
    return frozenset(words)


def stands_in(word: str, names: frozenset[str]) -> bool:
    """Whether a word of a query stands in ``names``, in whole or by its parts ("img_0123", "saint-denis")."""
    parts = _WORD.findall(_folded(word))
    return bool(parts) and all(part in names or _stands_within(part, names) for part in parts)


def _stands_within(part: str, names: frozenset[str]) -> bool:
    """Whether a word of a script that puts no spaces between words is a part of one of ``names``."""
    return _WITHOUT_SPACES.search(part) is not None and any(part in name for name in names)


def _folded(text: str) -> str:
    """Without accents and case: what people type for Zürich is zurich. Other scripts keep their marks."""
    return unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFD", text))).casefold()


def is_excluded(query: Query, names: frozenset[str]) -> bool:
    """Whether a clip with these ``names`` is called what is not wanted."""
    return any(all(stands_in(word, names) for word in words) for words in query.unwanted_names)


def named(query: Query, names: Iterable[frozenset[str]]) -> Query:
    """``query`` with those of its words alone that stand in any of ``names``: the others would fit nothing."""
    each = list(names)
    return replace(query, words=tuple(word for word in query.words if any(stands_in(word, one) for one in each)))


def _pieces(name: str) -> Iterator[str]:
    """Its words, and where letters and digits make up one ("dog1"), these too."""
    for word in _WORD.findall(_folded(_HUMP.sub(" ", unicodedata.normalize("NFC", name)))):
        yield word
        yield from _RUN.findall(word)
