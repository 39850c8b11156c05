"""A timeline comes back from OpenTimelineIO as it went in, or as it was edited there."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import opentimelineio as otio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentimelineio.opentime import RationalTime, TimeRange

from montage_ai.edit.conform import read_otio
from montage_ai.edit.grade import Grade
from montage_ai.edit.interchange import write_otio
from montage_ai.edit.timeline import ClipSource, Item, Move, Source, Timeline, Transition
from montage_ai.errors import MediaError, UserError
from montage_ai.media.files import sha256

RATES = [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60000, 1001)]

rates = st.sampled_from(RATES)
times = st.fractions(min_value=0, max_value=3600, max_denominator=1001)

Edit = Callable[[otio.schema.Timeline], None]


def item(frames: int = 30, start: Fraction = Fraction(2), *, rate: Fraction = Fraction(30000, 1001)) -> Item:
    path = Path("/footage/a b's “clip” #1?.mp4")
    clip = ClipSource(path=path, sha256="ab" * 32, rate=rate, seconds=Fraction(3700))
    return Item(clip=clip, start=start, frames=frames)


def film(
    items: list[Item], fps: Fraction = Fraction(25), transitions: tuple[Transition | None, ...] | None = None
) -> Timeline:
    joins = (None,) * (len(items) - 1) if transitions is None else transitions
    music = Source(path=Path("/music/track.mp3"), sha256="cd" * 32)
    return Timeline(fps=fps, width=640, height=360, items=tuple(items), transitions=joins, music=music, style="test")


def edited(timeline: Timeline, folder: Path, edit: Edit) -> Timeline:
    """``timeline`` as it comes back from a program that has changed it."""
    path = folder / "film.otio"
    write_otio(timeline, path)
    document = otio.adapters.read_from_file(str(path))
    edit(document)
    otio.adapters.write_to_file(document, str(path))
    return read_otio(path)


@given(st.lists(st.integers(4, 90), min_size=1, max_size=8), rates, rates, times)
def test_an_equal_timeline_comes_back(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], fps: Fraction, rate: Fraction, start: Fraction
) -> None:
    transitions = [Transition(kind="whip", frames=2) if n % 2 else None for n in lengths[1:]]
    timeline = film([item(n, start + 1, rate=rate) for n in lengths], fps, tuple(transitions))
    path = tmp_path_factory.mktemp("otio") / "film.otio"
    write_otio(timeline, path)
    assert read_otio(path) == timeline


def test_grades_photos_and_moves_come_back(tmp_path: Path) -> None:
    photo = ClipSource(path=Path("/footage/p.jpg"), sha256="ef" * 32, kind="photo")
    graded = item().model_copy(update={"grade": Grade(exposure=0.2, lut=Path("/luts/x.cube")), "stabilize": "auto"})
    moving = Item(clip=photo, start=Fraction(0), frames=50, move=Move())
    timeline = film([graded, moving])
    assert edited(timeline, tmp_path, lambda _: None) == timeline


def test_other_programs_read_the_cuts_and_the_clips_own_frames(tmp_path: Path) -> None:
    path = tmp_path / "film.otio"
    write_otio(film([item(30, Fraction(1001, 1000)), item(12), item(48)]), path)
    document = otio.adapters.read_from_file(str(path))
    clips = list(document.video_tracks()[0])
    assert [round(clip.range_in_parent().start_time.to_seconds() * 25) for clip in clips] == [0, 30, 42]
    assert clips[0].source_range.start_time == RationalTime(30, 30000 / 1001)
    assert clips[0].available_range().duration.to_seconds() == pytest.approx(3700)
    assert clips[0].media_reference.target_url.startswith("file:///footage/a%20b")


@pytest.mark.parametrize("content", ["", "not json", "{}", '{"OTIO_SCHEMA": "Timeline.1", "name": "x"}'])
def test_a_file_that_is_no_timeline_of_ours_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.otio"
    path.write_text(content)
    with pytest.raises(UserError, match="is not a timeline of this program") as caught:
        read_otio(path)
    assert str(path) in str(caught.value)


class TestEdits:
    def test_a_trimmed_and_slipped_clip_is_shown_as_it_was_left(self, tmp_path: Path) -> None:
        def trim(document: otio.schema.Timeline) -> None:
            clip = document.video_tracks()[0][1]
            clip.source_range = TimeRange(RationalTime(45, 30000 / 1001), RationalTime(20, 25))

        back = edited(film([item(30), item(30), item(30)]), tmp_path, trim)
        assert [shot.frames for shot in back.items] == [30, 20, 30]
        assert back.items[1].start == 45 * Fraction(1001, 30000)
        assert back.items[0].start == back.items[2].start == 2

    def test_clips_may_change_places_and_go(self, tmp_path: Path) -> None:
        def reorder(document: otio.schema.Timeline) -> None:
            track = document.video_tracks()[0]
            moved = track.pop(0)
            del track[0]
            track.append(moved)

        back = edited(film([item(10), item(20), item(30)]), tmp_path, reorder)
        assert [shot.frames for shot in back.items] == [30, 10]
        assert back.transitions == (None,)

    def test_transitions_may_change_and_go(self, tmp_path: Path) -> None:
        def change(document: otio.schema.Timeline) -> None:
            first, second = (c for c in document.video_tracks()[0] if isinstance(c, otio.schema.Transition))
            first.in_offset = first.out_offset = RationalTime(3, 25)
            document.video_tracks()[0].remove(second)

        joins = (Transition(kind="whip", frames=10), Transition(kind="zoom", frames=4))
        back = edited(film([item(30), item(30), item(30)], transitions=joins), tmp_path, change)
        assert back.transitions == (Transition(kind="whip", frames=6), None)

    def test_a_clip_may_be_added(self, tmp_path: Path) -> None:
        added = tmp_path / "added clip.mp4"
        added.write_bytes(b"a clip")

        def add(document: otio.schema.Timeline) -> None:
            span = TimeRange(RationalTime(24, 24), RationalTime(12, 24))
            reference = otio.schema.ExternalReference(added.as_uri())
            document.video_tracks()[0].append(otio.schema.Clip("new", reference, span))

        new = edited(film([item(10)]), tmp_path, add).items[-1]
        assert (new.clip.path, new.clip.sha256, new.clip.kind) == (added, sha256(added), "video")
        assert (new.start, new.frames) == (Fraction(1), round(Fraction(1, 2) * 25))

    def test_a_medium_may_be_replaced(self, tmp_path: Path) -> None:
        graded = tmp_path / "graded.mp4"
        graded.write_bytes(b"another encode")

        def link(document: otio.schema.Timeline) -> None:
            document.video_tracks()[0][0].media_reference.target_url = graded.as_uri()
            document.audio_tracks()[0][0].media_reference.target_url = str(graded)

        back = edited(film([item(10)]), tmp_path, link)
        assert back.items[0].clip.path == graded
        assert back.items[0].clip.sha256 == sha256(graded)
        assert (back.items[0].start, back.items[0].frames) == (2, 10)
        assert back.music == Source(path=graded, sha256=sha256(graded))

    def test_a_medium_that_is_gone_is_named(self, tmp_path: Path) -> None:
        def link(document: otio.schema.Timeline) -> None:
            document.video_tracks()[0][0].media_reference.target_url = (tmp_path / "gone.mp4").as_uri()

        with pytest.raises(MediaError, match=r"gone\.mp4: is not there"):
            edited(film([item(10)]), tmp_path, link)

    @pytest.mark.parametrize(
        "edit",
        [
            "gap",
            "second track",
            "custom transition",
            "stream",
            "no frames",
            "off",
            "speed",
            "beyond",
            "before",
            "music",
        ],
    )
    def test_what_cannot_be_rendered_is_refused_and_said(self, tmp_path: Path, edit: str) -> None:
        def change(document: otio.schema.Timeline) -> None:
            track = document.video_tracks()[0]
            if edit == "gap":
                track.insert(1, otio.schema.Gap(duration=RationalTime(10, 25)))
            elif edit == "second track":
                document.tracks.insert(1, track.clone())
            elif edit == "custom transition":
                half = RationalTime(3, 25)
                track.insert(1, otio.schema.Transition("Star", "Custom_Transition", half, half))
            elif edit == "stream":
                track[0].media_reference.target_url = "https://example.com/a.mp4"
            elif edit == "no frames":
                track[0].source_range = TimeRange(RationalTime(0, 25), RationalTime(0, 25))
            elif edit == "off":
                track[0].enabled = False
            elif edit == "speed":
                track[0].effects.append(otio.schema.LinearTimeWarp(time_scalar=2.0))
            elif edit == "beyond":
                track[0].source_range = TimeRange(RationalTime(3699 * 25, 25), RationalTime(100, 25))
            elif edit == "before":
                track[0].source_range = TimeRange(RationalTime(-3, 25), RationalTime(100, 25))
            else:
                music = document.audio_tracks()[0][0]
                music.source_range = TimeRange(RationalTime(50, 25), music.source_range.duration)

        said = {
            "gap": "a gap at 1.20 s",
            "second track": "2 video tracks",
            "custom transition": "'Star' is not known",
            "stream": "is not a file",
            "no frames": "shorter than a frame",
            "off": "is switched off",
            "speed": "the speed of",
            "beyond": "from 3699.00 to 3703.00 s, and it is not as long",
            "before": "from -0.12 to 3.88 s",
            "music": "its sound was edited",
        }
        with pytest.raises(UserError, match="cannot be rendered") as caught:
            edited(film([item(30), item(30)]), tmp_path, change)
        assert said[edit] in str(caught.value)


HOSTILE: dict[str, Callable[[str], str]] = {
    "nested deep": lambda text: text.replace('"metadata":', f'"deep": {"[" * 20_000}{"]" * 20_000}, "metadata":', 1),
    "an infinite start": lambda text: text.replace('"value": 0.0', '"value": Infinity'),
    "a rate of 0": lambda text: text.replace('"rate": 25.0', '"rate": 0.0'),
    "a rate that is no number": lambda text: text.replace('"rate": 25.0', '"rate": NaN'),
    "a fade without an end": lambda text: text.replace('\\"closing_fade\\": 0.0', '\\"closing_fade\\": 1e308'),
    "an endless address": lambda text: re.sub(r'"target_url": "[^"]*"', f'"target_url": "{"x" * 5000}"', text),
    "no JSON": lambda text: text[: len(text) // 2],
    "a list": lambda text: f"[{text}]",
    "nothing": lambda text: "",
    "not text": lambda text: "\ud800",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_timeline_is_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "film.otio"
    write_otio(film([item(), item()]), path)
    text = path.read_text(encoding="utf-8")
    hostile = HOSTILE[kind](text)
    assert hostile != text
    path.write_bytes(hostile.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError):
        read_otio(path)


def test_relative_addresses_count_from_the_timeline_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "clip.mp4").write_bytes(b"a clip")
    path = tmp_path / "project" / "film.otio"
    write_otio(film([item()]), path)
    document = otio.adapters.read_from_file(str(path))
    document.video_tracks()[0][0].media_reference.target_url = "clip.mp4"
    otio.adapters.write_to_file(document, str(path))
    monkeypatch.chdir(tmp_path)
    assert read_otio(path).items[0].clip.path == tmp_path / "project" / "clip.mp4"
