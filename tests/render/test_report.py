"""The report's page: everything that it is to show is on it, and what comes from outside is only text."""

from __future__ import annotations

import re
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from montage_ai.edit.timeline import ClipSource, Item, Timeline, Transition
from montage_ai.events import StageDone
from montage_ai.music.beat_grid import BeatGrid, Section
from montage_ai.render.report import LeftOutRow, Report, report_html, waveform

HOSTILE = "</td><script>alert(1)</script>&\"'.mp4"


def item(name: str, start: int, frames: int) -> Item:
    clip = ClipSource(path=Path("/footage") / name.replace("/", "\u2215"), sha256="a" * 64)
    return Item(clip=clip, start=Fraction(start), frames=frames, section="build")


@pytest.fixture
def report() -> Report:
    items = (item("a.mp4", 1, 50), item("b.mp4", 2, 25), item(HOSTILE, 3, 25))
    joins = (None, Transition(kind="dissolve", frames=6))
    timeline = Timeline(fps=Fraction(25), width=640, height=360, items=items, transitions=joins, style="travel")
    grid = BeatGrid(
        duration=4.0,
        tempo=120.0,
        beats=tuple(n / 2 for n in range(8)),
        downbeats=(0.0, 2.0),
        sections=(Section(start=0, end=4, energy=0.5, label="build"),),
        confidence=1.0,
        source="beats",
        reason="The music has a pulse of 120.0 beats a minute.",
    )
    return Report(
        title="film.mp4",
        timeline=timeline,
        length_reason="the length of the music",
        grid=grid,
        peaks=[0.5] * 80,
        pictures=[b"jpeg 1", None, b"jpeg 3"],
        steadied={2},
        left_out=[LeftOutRow("c.mp4", "0.0–1.0 s", "black or empty", b"left"), LeftOutRow(HOSTILE, "", HOSTILE)],
        stages=[StageDone("Rendering", 3.21, "3 segments")],
        seconds=4.5,
        mark="<!-- mark -->",
    )


class _Page(HTMLParser):
    """Counts tags and keeps the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} is closed out of turn"

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_film_its_shots_what_was_left_out_and_the_times_are_told(report: Report) -> None:
    text = _Page(report_html(report)).text
    for told in ("4.00 s (the length of the music)", "3 shots", "640×360", "style travel", "120.0 beats a minute"):
        assert told in text
    for told in ("2.00–3.00 s", "a.mp4, 1.00–3.00 s", "build, steadied, dissolve", "c.mp4", "black or empty"):
        assert told in text
    for told in ("Rendering", "3.2 s", "3 segments", "Everything", "4.5 s"):
        assert told in text


def test_cuts_and_beats_stand_at_their_times(report: Report) -> None:
    page = report_html(report)
    width = float(re.search(r'<svg width="(\d+)"', page)[1])  # type: ignore[index]
    cuts = [float(x) * 4 / width for x in re.findall(r'class="cut" x1="([\d.]+)"', page)]
    beats = [float(x) * 4 / width for x in re.findall(r'class="(?:down)?beat" x1="([\d.]+)"', page)]
    assert cuts == pytest.approx([2.0, 3.0], abs=0.01)
    assert beats == pytest.approx([n / 2 for n in range(8)], abs=0.01)
    assert page.count('class="downbeat"') == 2


def test_every_picture_is_in_the_page_itself(report: Report) -> None:
    page = report_html(report)
    assert page.count("data:image/jpeg;base64,anBlZyAx") == 2  # in the strip and among the shots
    assert page.count("data:image/jpeg;base64,bGVmdA") == 1
    assert page.count('<div class="blank">') == 1
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)


def test_names_are_text_and_nothing_else(report: Report) -> None:
    page = _Page(report_html(report))
    assert "script" not in page.tags
    assert "alert(1)" in page.text
    assert page.open == []


def test_a_timeline_that_was_rendered_as_it_stands_has_a_report_too(report: Report) -> None:
    import dataclasses

    text = _Page(report_html(dataclasses.replace(report, left_out=None, grid=None, peaks=[]))).text
    assert "as it stands" in text
    assert "no music" in text


def test_the_waveform_is_the_largest_magnitude_of_each_twentieth_of_a_second() -> None:
    samples = np.zeros(8000, np.float32)
    samples[1000], samples[7999] = -0.5, 0.25
    peaks = waveform(samples, 8000)
    assert len(peaks) == 20
    assert (peaks[2], peaks[19], sum(peaks)) == (1.0, 0.5, 1.5)
