"""What is asked for: words that mean something in what was measured, words of names, and what is not wanted.

happy people                    both
people -night, people no night  the one, and not the other
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from montage_ai.errors import UserError
from montage_ai.footage.search.vocabulary import Vocabulary

_TOKEN = re.compile(r"-?\w+(?:[-'’]\w+)*")
_NOT = frozenset({"no", "not", "without", "never"})
_EMPTY = frozenset(
    "a an the of on at in with and or to by from for my our some any all is are was were where who which that this"  # noqa: SIM905
    " these find show me clip clips shot shots scene scenes video videos footage moment moments".split()
)
_LONGEST = 3  # words of a phrase


@dataclass(frozen=True)
class Query:
    """``wanted`` and ``unwanted`` are names of concepts; ``words`` and ``unwanted_words`` may stand in names of files,
    folders and dates."""

    wanted: tuple[str, ...]
    words: tuple[str, ...]
    unwanted: tuple[str, ...] = ()
    unwanted_words: tuple[str, ...] = ()


def parse_query(text: str, vocabulary: Vocabulary, *, without: Iterable[str] = ()) -> Query:
    """Understand ``text``; all of ``without`` is not wanted. Raises ``UserError`` where nothing is asked for."""
    wanted, words, unwanted, unwanted_words = dict[str, None](), dict[str, None](), dict[str, None](), dict[str, None]()
    for found, is_name, is_wanted in _parts(text, vocabulary):
        target = (words if is_wanted else unwanted_words) if is_name else (wanted if is_wanted else unwanted)
        target[found] = None
    for other in without:
        for found, is_name, _ in _parts(other, vocabulary):
            (unwanted_words if is_name else unwanted)[found] = None
    if not (wanted or words or unwanted or unwanted_words):
        raise UserError(f"{text!r} asks for nothing.", hint='Describe a moment, like "happy people".')
    return Query(tuple(wanted), tuple(words), tuple(unwanted), tuple(unwanted_words))


def _parts(text: str, vocabulary: Vocabulary) -> Iterable[tuple[str, bool, bool]]:
    """Each part: a concept's name or a word, whether it is a mere word, and whether it is wanted."""
    names = vocabulary.names
    tokens = _TOKEN.findall(text.lower().replace("’", "'"))
    index, is_wanted = 0, True
    while index < len(tokens):
        token = tokens[index].removeprefix("-")
        wanted = is_wanted and not tokens[index].startswith("-")
        if token in _NOT:
            index, is_wanted = index + 1, False
            continue
        for length in range(min(_LONGEST, len(tokens) - index), 0, -1):
            phrase = " ".join([token, *tokens[index + 1 : index + length]])
            if phrase in names:
                yield names[phrase], False, wanted
                break
        else:
            length = 1
            if token not in _EMPTY:
                yield token, True, wanted
        if token not in _EMPTY:
            is_wanted = True
        index += length
