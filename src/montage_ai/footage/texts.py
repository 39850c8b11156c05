"""What is said of footage in words, and in it: captions of shots, and transcripts. Found by SQLite's full-text search.

``texts_index`` holds the words of ``texts`` by their stems (M. Porter, 1980); each row's number is the same in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from montage_ai.media.database import Database

SCHEMA = """
CREATE TABLE texts (
    id INTEGER PRIMARY KEY, sha256 TEXT, kind TEXT, maker TEXT, start REAL, end REAL, text TEXT NOT NULL
);
CREATE INDEX texts_of ON texts (sha256, kind);
CREATE VIRTUAL TABLE texts_index USING fts5 (
    text, content = 'texts', content_rowid = 'id', tokenize = 'porter unicode61 remove_diacritics 2'
);
"""


@dataclass(frozen=True)
class Text:
    """What is said of (or in) the seconds ``start`` to ``end`` of a clip; 0 and 0 for a photo."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Hit:
    """A text of the clip with content ``sha256`` that holds ``terms``, a ``share`` of those that were asked for."""

    sha256: str
    said: Text
    terms: tuple[str, ...]
    share: float


class Texts:
    """The texts that are kept in ``database``, of each kind (like "caption") one maker's for each clip."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, digest: str, kind: str, maker: str, texts: Iterable[Text]) -> None:
        """Keep ``texts`` of a clip by ``maker``, beside those that it has made of other stretches. Those of others of
        the same kind are forgotten."""
        with self._db.transaction() as db:
            query = "SELECT id, text FROM texts WHERE sha256 = ? AND kind = ? AND maker != ?"
            for number, text in db.execute(query, (digest, kind, maker)).fetchall():
                db.execute("INSERT INTO texts_index (texts_index, rowid, text) VALUES ('delete', ?, ?)", (number, text))
                db.execute("DELETE FROM texts WHERE id = ?", (number,))
            query = "SELECT start FROM texts WHERE sha256 = ? AND kind = ? AND maker = ?"
            known = {start for (start,) in db.execute(query, (digest, kind, maker))}
            for one in texts:
                if one.start not in known:
                    row = (digest, kind, maker, one.start, one.end, one.text)
                    query = "INSERT INTO texts (sha256, kind, maker, start, end, text) VALUES (?, ?, ?, ?, ?, ?)"
                    number = db.execute(query, row).lastrowid
                    db.execute("INSERT INTO texts_index (rowid, text) VALUES (?, ?)", (number, one.text))

    def of(self, digest: str, kind: str, maker: str) -> list[Text]:
        """The texts of a clip by ``maker``, in order."""
        query = "SELECT start, end, text FROM texts WHERE sha256 = ? AND kind = ? AND maker = ? ORDER BY start"
        return [Text(*row) for row in self._db.all(query, digest, kind, maker)]

    def find(self, terms: Sequence[str]) -> list[Hit]:
        """The texts that hold any of ``terms`` (words): the best first, by the share of them that is there, then by
        Okapi BM25 (S. Robertson et al., TREC-3, 1994)."""
        query = (
            "SELECT id, sha256, start, end, texts.text, bm25(texts_index)"
            " FROM texts_index JOIN texts ON id = texts_index.rowid WHERE texts_index MATCH ?"
        )
        asked = [term for term in dict.fromkeys(terms) if any(sign.isalnum() for sign in term)]
        found: dict[int, tuple[str, Text]] = {}
        scores: dict[int, dict[str, float]] = {}
        for term in asked:
            for number, digest, start, end, text, score in self._db.all(query, _quoted(term)):
                found[number] = digest, Text(start, end, text)
                scores.setdefault(number, {})[term] = -score
        order = sorted(found, key=lambda number: (-len(scores[number]), -sum(scores[number].values()), number))
        return [Hit(*found[number], tuple(scores[number]), len(scores[number]) / len(asked)) for number in order]


def _quoted(term: str) -> str:
    """As a string of FTS5's query language, in which nothing is an operator."""
    return '"' + term.replace('"', '""').replace("\0", "") + '"'
