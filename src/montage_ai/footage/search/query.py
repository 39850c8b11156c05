"""What is asked for: words that mean something in what was measured, words of names, and what is not wanted.

happy people                    both
people -night, people no night  the one, and not the other

A model that looks at pictures is asked for the same in the user's own words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from montage_ai.errors import UserError
from montage_ai.footage.search.vocabulary import Vocabulary

_TOKEN = re.compile(r"-?\w+(?:[-'’]\w+)*")
_NOT = frozenset({"no", "not", "without", "never"})
_ASKING = frozenset("find show me clip clips shot shots scene scenes video videos footage moment moments".split())  # noqa: SIM905
_LINKS = frozenset("all any from of some that the these this where which who with".split())  # noqa: SIM905
_EMPTY = _ASKING | frozenset(
    "a an the of on at in with and or to by from for my our some any all is are was were where who which that this"  # noqa: SIM905
    " these".split()
)
_LONGEST = 3  # words of a phrase


@dataclass(frozen=True)
class Query:
    """``wanted`` and ``unwanted`` are names of concepts; ``words`` may stand in names of files, folders, places and
    dates, and all words of one of ``unwanted_names`` must not.

    For a model, ``text`` and ``unwanted_texts`` say all of that but what is better measured, maybe nothing. ``terms``
    are all words of ``text`` that mean something (where it is empty, of what is measured): what texts and names may
    say. ``unwanted_terms`` are those of all that is not wanted.
    """

    wanted: tuple[str, ...]
    words: tuple[str, ...]
    unwanted: tuple[str, ...] = ()
    unwanted_names: tuple[tuple[str, ...], ...] = ()
    text: str = ""
    unwanted_texts: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    unwanted_terms: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class _Part:
    """A phrase that means a concept, or a mere word, which may mean nothing."""

    phrase: str
    concept: str | None
    wanted: bool

    @property
    def is_empty(self) -> bool:
        return self.concept is None and self.phrase in _EMPTY


def parse_query(text: str, vocabulary: Vocabulary, *, without: Iterable[str] = ()) -> Query:
    """Understand ``text``; all of ``without`` is not wanted. Raises ``UserError`` where nothing is asked for."""
    parts = list(_parts(text, vocabulary))
    wanted = [part for part in parts if part.wanted]
    others = [[part] for part in parts if not part.wanted] + [list(_parts(other, vocabulary)) for other in without]
    unwanted = [part for other in others for part in other]
    if all(part.is_empty for part in [*wanted, *unwanted]):
        raise UserError(f"{text!r} asks for nothing.", hint='Describe a moment, like "happy people".')
    shown, not_shown = _shown(wanted, vocabulary), [_shown(other, vocabulary) for other in others]
    return Query(
        _concepts(wanted),
        _words(wanted),
        _concepts(unwanted),
        tuple(_terms(other) for other in others if _words(other)),
        _text(shown),
        tuple(filter(None, map(_text, not_shown))),
        _terms(shown) or _terms(wanted),
        tuple(filter(None, map(_terms, others))),
    )


def _shown(parts: Iterable[_Part], vocabulary: Vocabulary) -> list[_Part]:
    """What a picture can show."""
    return [part for part in parts if not vocabulary.is_measured(part.concept)]


def _concepts(parts: Iterable[_Part]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.concept for part in parts if part.concept is not None))


def _words(parts: Iterable[_Part]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.phrase for part in parts if part.concept is None and not part.is_empty))


def _terms(parts: Iterable[_Part]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for part in parts if not part.is_empty for word in part.phrase.split()))


def _text(parts: list[_Part]) -> str:
    """In the user's words, less the request itself ("find clips with ..."); nothing where no more is left."""
    phrases = [part.phrase for part in parts]
    if all(part.is_empty for part in parts):
        return ""
    first = 0
    if phrases[0] in _ASKING:
        while phrases[first] in _ASKING | _LINKS:
            first += 1
    return " ".join(phrases[first:])


def _parts(text: str, vocabulary: Vocabulary) -> Iterator[_Part]:
    names = vocabulary.names
    tokens = _TOKEN.findall(unicodedata.normalize("NFC", text).lower().replace("’", "'"))
    index, is_wanted = 0, True
    while index < len(tokens):
        token = tokens[index].removeprefix("-")
        wanted = is_wanted and not tokens[index].startswith("-")
        if token in _NOT:
            index, is_wanted = index + 1, False
            continue
        length, part = 1, _Part(token, None, wanted)
        for many in range(min(_LONGEST, len(tokens) - index), 0, -1):
            phrase = " ".join([token, *tokens[index + 1 : index + many]])
            if phrase in names:
                length, part = many, _Part(phrase, names[phrase], wanted)
                break
        yield part
        if token not in _EMPTY:
            is_wanted = True
        index += length
