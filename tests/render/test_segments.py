from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from montage_ai.edit.grade import Grade
from montage_ai.edit.timeline import ClipSource, Item, Timeline, Transition
from montage_ai.media.probe import Colour, MediaInfo, VideoStream
from montage_ai.render.encoding import timescale
from montage_ai.render.layers import Canvas, Layer, filter_chain, input_arguments
from montage_ai.render.segments import Segment, cut_into_segments, inspect
from tests.conftest import FFmpeg

RATES = [Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(12)]


def info_of(width: int = 1280, height: int = 720, **fields: object) -> MediaInfo:
    video = VideoStream(
        codec="h264",
        coded_width=width,
        coded_height=height,
        sample_aspect=Fraction(1),
        rotation=0,
        width=width,
        height=height,
        fps=Fraction(25),
        time_base=Fraction(1, 12800),
        first_pts=0,
        offset=Fraction(0),
        frames=0,
        bit_depth=8,
        alpha=False,
        colour=Colour(),
    ).model_copy(update=fields)
    return MediaInfo(
        path=Path("/clips/a.mp4"), kind="video", container="mov,mp4", duration=60, bit_rate=0, video=video, audio=None
    )


def item(frames: int, start: Fraction = Fraction(1), **fields: object) -> Item:
    clip = ClipSource(path=Path("/clips/a.mp4"), sha256="a" * 64)
    return Item(clip=clip, start=start, frames=frames, **fields)  # type: ignore[arg-type]


def segments_of(timeline: Timeline, info: MediaInfo | None = None) -> list[Segment]:
    canvas = Canvas(timeline.width, timeline.height, timeline.fps)
    seen = info or info_of()
    return cut_into_segments(
        timeline, canvas, lambda _, shot, offset, frames: Layer(shot, shot.clip.path, seen, offset, frames)
    )


def film(items: list[Item], joins: list[Transition | None], **fields: object) -> Timeline:
    frame = {"fps": Fraction(25), "width": 640, "height": 360} | fields
    return Timeline(items=tuple(items), transitions=tuple(joins), **frame)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 30)), min_size=1, max_size=20))
def test_segments_fill_the_film_exactly(shots: list[tuple[int, int]]) -> None:
    items = [item(frames) for frames, _ in shots]
    joins: list[Transition | None] = []
    for (a, wanted), (b, _) in pairwise(shots):
        frames = min(wanted, a // 2, b // 2)
        joins.append(Transition(kind="dissolve", frames=frames) if frames >= 2 else None)
    timeline = film(items, joins)
    segments = segments_of(timeline)
    assert sum(segment.frames for segment in segments) == timeline.frames
    assert all(segment.frames > 0 for segment in segments)
    assert sum(segment.transition is not None for segment in segments) == sum(join is not None for join in joins)


@pytest.mark.parametrize("fps", RATES)
def test_every_frame_is_a_whole_number_of_ticks(fps: Fraction) -> None:
    assert (timescale(fps) / fps).denominator == 1
    assert timescale(fps) >= 10_000


def test_a_segments_key_depends_on_what_its_pixels_depend_on() -> None:
    base = segments_of(film([item(20)], []))[0].key
    others = {
        "start": film([item(20, start=Fraction(2))], []),
        "frames": film([item(21)], []),
        "focus": film([item(20, focus=(0.1, 0.5))], [], width=360),
        "size": film([item(20)], [], width=320, height=180),
        "quality": film([item(20)], [], quality="high"),
        "fade": film([item(20)], [], closing_fade=0.2),
        "speed": film([item(20, speed=Fraction(2))], []),
    }
    keys = {name: segments_of(timeline)[0].key for name, timeline in others.items()}
    assert len({base, *keys.values()}) == len(keys) + 1
    assert segments_of(film([item(20, section="climax")], []))[0].key == base
    assert segments_of(film([item(20, grade=Grade())], []))[0].key == base


def chain(info: MediaInfo, width: int, height: int, **fields: object) -> str:
    return filter_chain(Layer(item(10, **fields), Path("a.mp4"), info, 0, 10), Canvas(width, height, Fraction(25)), "a")


def test_wide_clips_are_cropped_around_the_focus_and_narrow_ones_shown_whole() -> None:
    upright = chain(info_of(1280, 720), 360, 640, focus=(0.9, 0.5))
    assert "crop=w=iw*0.316406:h=ih*1.000000:x=iw*0.683594" in upright
    assert "overlay" in chain(info_of(720, 1280), 640, 360)
    assert "crop" not in chain(info_of(1920, 1080), 640, 360)


def test_colour_tags_are_read_and_guessed_as_players_do() -> None:
    assert "in_color_matrix=bt601:in_range=tv" in chain(info_of(640, 480), 640, 360)
    assert "in_color_matrix=bt709:in_range=tv" in chain(info_of(1920, 1080), 640, 360)
    full = chain(info_of(640, 480, colour=Colour(matrix=1, full_range=True)), 640, 360)
    assert "in_color_matrix=bt709:in_range=pc" in full
    assert "tonemap" in chain(info_of(colour=Colour(matrix=9, primaries=9, transfer=16)), 640, 360)


def test_a_clip_is_read_from_before_its_start_counted_from_the_containers_own() -> None:
    layer = Layer(item(10, start=Fraction(10)), Path("a.mp4"), info_of(offset=Fraction(1, 2)), 0, 10)
    arguments = input_arguments(layer, Canvas(640, 360, Fraction(25)))
    assert arguments[:2] == ["-ss", "10.400000"]
    assert arguments[-1] == "file:/clips/a.mp4"


@pytest.mark.parametrize("wanted", [0, 1, 11, 12, 30, 49])
def test_a_segment_is_counted_and_one_of_its_pictures_taken(make: FFmpeg, wanted: int) -> None:
    """50 frames, frame n of brightness 20 + 4 n; a key frame every 12, and B-frames."""
    picture = "color=black:size=160x90:rate=25:duration=2,format=yuv420p,geq=lum=20+4*N:cb=128:cr=128"
    path = make("-f", "lavfi", "-i", picture, "-c:v", "libx264", "-g", "12", "-qp", "4", "counting.mp4")
    frames, jpeg = inspect(path, wanted)
    assert frames == 50
    assert jpeg is not None
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert 16 + shown.mean() * 219 / 255 == pytest.approx(20 + 4 * wanted, abs=2)  # JPEG has full range
