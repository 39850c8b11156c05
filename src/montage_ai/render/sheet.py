"""A page of pictures that play: what a search has found."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from montage_ai.errors import printable
from montage_ai.events import counted


@dataclass(frozen=True)
class Card:
    """A moment: the file, the seconds from its start, how well it fits (0 to 1) and why, and a JPEG of it."""

    path: Path
    is_photo: bool
    start: float
    end: float
    score: float
    why: str
    picture: bytes | None


_MARK = '<meta name="generator" content="montage-ai search">'


def is_sheet(path: Path) -> bool:
    """Whether ``path`` is such a page."""
    with path.open("rb") as file:
        return _MARK.encode("ascii") in file.read(1000)


def sheet_html(query: str, cards: Sequence[Card]) -> str:
    """The page. Pictures are in it; what plays is read from the clips."""
    page = Template(resources.files("montage_ai.render").joinpath("sheet.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=escape(printable(query)),
        count=escape(counted(len(cards), "moment")),
        cards="".join(map(_card, cards)) or "<p>Nothing was found.</p>",
    )


def _card(card: Card) -> str:
    poster = f"data:image/jpeg;base64,{base64.b64encode(card.picture).decode('ascii')}" if card.picture else ""
    source = escape(card.path.absolute().as_uri(), quote=True)
    if card.is_photo:
        shown, span = f'<img src="{poster}" alt="">', "photo"
    else:
        span = f"{card.start:.1f}–{card.end:.1f} s"
        times = f'data-from="{card.start:.3f}" data-to="{card.end:.3f}"'
        shown = f'<video muted playsinline preload="none" poster="{poster}" src="{source}" {times}></video>'
    return (
        f'<figure tabindex="0">{shown}<figcaption><b>{100 * card.score:.0f} %</b> '
        f'<a href="{source}">{escape(printable(card.path.name))}</a>, {span}<br><i>{escape(card.why)}</i>'
        "</figcaption></figure>"
    )
