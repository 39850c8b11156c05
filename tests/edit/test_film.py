from __future__ import annotations

import dataclasses
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from montage_ai.edit.brief import Brief, Exclusion, Pin, names_clip
from montage_ai.edit.film import Plan, plan_film
from montage_ai.edit.formats import film_rate
from montage_ai.edit.free import TINY
from montage_ai.edit.styles import load_style, style_names
from montage_ai.edit.timeline import Item, Source, half_after, half_before
from montage_ai.errors import UserError
from montage_ai.footage.clip import Clip
from montage_ai.footage.features import Face
from montage_ai.music.beat_grid import BeatGrid
from tests.edit.conftest import build_clip, build_grid

from .conftest import MakeClip

MUSIC = Source(path=Path("/music.mp3"), sha256="0" * 64)


def plan(clips: list[Clip], grid: BeatGrid, style: str = "dynamic", **wishes: object) -> Plan:
    return plan_film(clips, grid, MUSIC, Brief(style=load_style(style), **wishes))  # type: ignore[arg-type]


def spans(plan: Plan) -> list[tuple[Path, Fraction, Fraction]]:
    """What is shown of each clip, transitions included."""
    timeline, shown = plan.timeline, []
    for k, item in enumerate(timeline.items):
        before = half_before(timeline.transitions[k - 1]) if k else 0
        after = half_after(timeline.transitions[k]) if k < len(timeline.items) - 1 else 0
        low = item.source_time(-before, timeline.fps)
        shown.append((item.clip.path, low, item.source_time(item.frames + after, timeline.fps)))
    return shown


@pytest.mark.parametrize("style", style_names())
def test_no_stretch_is_used_twice_and_none_crosses_a_cut(style: str, make_clip: MakeClip, grid: BeatGrid) -> None:
    clips = [make_clip(f"{n}.mp4", 20, cuts=(140, 333), look=9.0 * n) for n in range(6)]
    made = plan(clips, grid, style)
    for (clip_a, low_a, high_a), (clip_b, low_b, high_b) in combinations(spans(made), 2):
        assert clip_a != clip_b or high_a <= low_b or high_b <= low_a
    for _, low, high in spans(made):
        for cut in (Fraction(140, 25), Fraction(333, 25)):
            assert not low < cut < high
        assert low >= 0
        assert high <= 20


@pytest.mark.parametrize("style", ["wedding", "documentary", "trailer", "travel"])
def test_slots_that_are_split_for_short_clips_keep_their_joins_within_them(
    style: str, make_clip: MakeClip, grid: BeatGrid
) -> None:
    clips = [make_clip(f"{n}.mp4", 1.5 + 0.3 * (n % 3), look=7.0 * n) for n in range(24)]
    made = plan(clips, grid, style)
    assert len(made.timeline.items) > 8
    assert max(item.frames for item in made.timeline.items) <= 2.1 * made.timeline.fps


def test_items_begin_on_frames_of_their_clip(make_clip: MakeClip, grid: BeatGrid) -> None:
    fps = Fraction(30000, 1001)
    made = plan([make_clip(f"{n}.mp4", 12, fps=fps) for n in range(4)], grid)
    assert all((item.start * fps).denominator == 1 for item in made.timeline.items)


def test_the_film_is_as_long_as_the_music_or_as_asked(make_clip: MakeClip, grid: BeatGrid) -> None:
    clips = [make_clip(f"{n}.mp4", 30) for n in range(4)]
    whole, asked = plan(clips, grid), plan(clips, grid, duration=7.4)
    assert (whole.timeline.frames, whole.length_reason) == (750, "the length of the music")
    assert (asked.timeline.frames, asked.length_reason) == (185, "the length that was asked for")


@pytest.mark.parametrize("style", style_names())
@pytest.mark.parametrize("lengths", [(6, 5), (9.6,), (9, 10.2, 9.3), (2.6,) * 9], ids=str)
def test_scarce_footage_is_used_up_and_the_film_says_so(
    make_clip: MakeClip, grid: BeatGrid, lengths: tuple[float, ...], style: str
) -> None:
    clips = [make_clip(f"{n}.mp4", seconds, look=20.0 * n) for n, seconds in enumerate(lengths)]
    made = plan(clips, grid, style)
    assert 0.85 * sum(lengths) < made.timeline.duration <= sum(lengths) + 0.01
    assert "footage can fill" in made.length_reason
    for cut in made.timeline.starts[1:]:
        half_beats = (float(cut / made.timeline.fps) - 0.1) * 4
        assert abs(half_beats - round(half_beats)) / 4 * made.timeline.fps <= 0.51


def test_the_shortest_of_clips_still_make_a_film(make_clip: MakeClip, grid: BeatGrid) -> None:
    made = plan([make_clip(f"{n}.mp4", 0.4, look=5.0 * n) for n in range(50)], grid)
    assert made.timeline.duration > 9  # of 20 s, in which no beat of 0.5 s fits
    assert len(made.timeline.items) > 35


@given(
    st.lists(st.tuples(st.floats(0.3, 12), st.sampled_from([1, 2, 12, 25, 60]), st.booleans()), min_size=1, max_size=7),
    st.sampled_from(style_names()),
    st.sampled_from([Fraction(25), Fraction(30000, 1001), Fraction(60)]),
    st.integers(0, 3),
)
@settings(max_examples=60)
def test_no_picture_is_ever_shown_twice_whatever_the_footage(
    footage: list[tuple[float, int, bool]], style: str, fps: Fraction, seed: int
) -> None:
    clips = []
    for n, (seconds, rate, gap) in enumerate(footage):
        clip = build_clip(f"{n}.mp4", max(seconds, 1.5 / rate), fps=Fraction(rate), look=10.0 * n)
        if gap and len(clip.ticks) > 4:  # a screen recording in which nothing happens for three seconds
            late = np.where(np.arange(len(clip.ticks)) > len(clip.ticks) // 2, 300 * rate, 0)
            clip = dataclasses.replace(clip, ticks=clip.ticks + late)
        clips.append(clip)
    try:
        made = plan(clips, build_grid(20), style, fps=fps, seed=seed)
    except UserError:
        return
    for (clip_a, low_a, high_a), (clip_b, low_b, high_b) in combinations(spans(made), 2):
        assert clip_a != clip_b or high_a <= low_b + TINY or high_b <= low_a + TINY
    for path, low, high in spans(made):
        clip = next(clip for clip in clips if clip.info.path == path)
        assert low >= 0
        assert high <= clip.time_of(len(clip.ticks)) + TINY


def test_hours_of_footage_are_planned_in_little_memory(make_clip: MakeClip, grid: BeatGrid) -> None:
    import tracemalloc

    clip = make_clip("long.mp4", 3600, fps=Fraction(5))
    tracemalloc.start()
    plan([clip], grid)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def test_same_seed_same_film_other_seed_another(make_clip: MakeClip, grid: BeatGrid) -> None:
    clips = [make_clip(f"{n}.mp4", 15, motion=0.001 * n) for n in range(5)]
    assert plan(clips, grid, seed=3) == plan(clips, grid, seed=3)
    assert plan(clips, grid, seed=3).timeline != plan(clips, grid, seed=4).timeline


def test_poor_footage_loses(make_clip: MakeClip, grid: BeatGrid) -> None:
    good = [make_clip(f"good{n}.mp4", 20) for n in range(3)]
    poor = [
        make_clip("dark.mp4", 20, luma=18),
        make_clip("soft.mp4", 20, sharp=0.004),
        make_clip("wild.mp4", 20, shake=0.02),
    ]
    made = plan(good + poor, grid)
    assert {item.clip.path.stem[:4] for item in made.timeline.items} == {"good"}
    assert "dark.mp4" in {piece.clip.name for piece in made.left_out}


def test_faces_are_preferred_by_a_wedding(make_clip: MakeClip, grid: BeatGrid) -> None:
    faces = tuple(Face(float(t), 0.4, 0.3, 0.2, 0.35, smile=True) for t in range(40))
    clips = [make_clip("empty.mp4", 40), make_clip("people.mp4", 40, faces=faces, look=60)]
    made = plan(clips, grid, "wedding", duration=15)
    people = sum(item.frames for item in made.timeline.items if item.clip.path.stem == "people")
    assert people > 0.5 * made.timeline.frames
    assert all(item.focus == (0.5, 0.475) for item in made.timeline.items if item.clip.path.stem == "people")


def test_of_two_people_far_apart_one_is_kept_in_a_narrow_film(make_clip: MakeClip, grid: BeatGrid) -> None:
    faces = tuple(
        Face(float(t), x, 0.3, 0.1, size, smile=False) for t in range(40) for x, size in ((0.1, 0.2), (0.8, 0.25))
    )
    made = plan([make_clip("pair.mp4", 40, faces=faces)], grid, aspect="9:16", duration=10)
    assert {item.focus[0] for item in made.timeline.items} == {0.85}


def test_chronological_styles_keep_the_order(make_clip: MakeClip, grid: BeatGrid) -> None:
    made = plan([make_clip(f"{n}.mp4", 12, look=20.0 * n) for n in range(5)], grid, "documentary")
    order = [int(item.clip.path.stem) for item in made.timeline.items]
    assert spearmanr(order, range(len(order))).statistic > 0.6


def test_pins_are_shown_and_exclusions_are_not(make_clip: MakeClip, grid: BeatGrid) -> None:
    clips = [make_clip(f"{n}.mp4", 20) for n in range(4)]
    pins = (Pin.parse("3.mp4@7.5"), Pin.parse("0"))
    exclusions = (Exclusion.parse("1.mp4"), Exclusion.parse("2.mp4@5-20"))
    shown = spans(plan(clips, grid, pins=pins, exclusions=exclusions))
    assert any(path.stem == "3" and low <= 7.5 < high for path, low, high in shown)
    assert any(path.stem == "0" for path, _, _ in shown)
    assert not any(path.stem == "1" for path, _, _ in shown)
    assert all(high <= 5 for path, _, high in shown if path.stem == "2")


class TestPins:
    @given(st.floats(0, 19.99), st.sampled_from(["dynamic", "documentary", "wedding", "mtv", "minimalist"]))
    @settings(max_examples=60)
    def test_the_moment_itself_is_on_screen(self, at: float, style: str) -> None:
        clips = [build_clip(f"{n}.mp4", 20, look=30.0 * n) for n in range(4)]
        made = plan(clips, build_grid(30), style, pins=(Pin(clip="2.mp4", at=at),))
        items = [item for item in made.timeline.items if item.clip.path.stem == "2"]
        assert any(item.start <= at < item.end(made.timeline.fps) for item in items)

    @pytest.mark.parametrize("style", ["documentary", "minimalist", "dynamic"])
    @pytest.mark.parametrize("clip", ["short.mp4", "photo.jpg"])
    def test_a_clip_shorter_than_the_styles_shots_is_shown_as_long_as_it_is(
        self, make_clip: MakeClip, grid: BeatGrid, style: str, clip: str
    ) -> None:
        clips = [make_clip(f"{n}.mp4", 30, look=30.0 * n) for n in range(3)]
        clips += [make_clip("short.mp4", 2), make_clip("photo.jpg", photo=True)]
        made = plan(clips, grid, style, pins=(Pin(clip=clip),))
        shown = [item for item in made.timeline.items if item.clip.path.name == clip]
        assert len(shown) == 1
        assert made.timeline.duration == 30

    def test_one_shot_may_show_two_pins_and_a_pin_may_be_given_twice(self, make_clip: MakeClip, grid: BeatGrid) -> None:
        clips = [make_clip(f"{n}.mp4", 20, look=30.0 * n) for n in range(3)]
        pins = tuple(map(Pin.parse, ("2.mp4@5", "2.mp4@5.1", "2.mp4@5", "2.mp4")))
        items = plan(clips, grid, pins=pins).timeline.items
        assert any(item.start <= 5 and item.end(Fraction(25)) > 5.1 for item in items if item.clip.path.stem == "2")

    def test_many_pins_of_one_clip_leave_each_other_room(self, make_clip: MakeClip, grid: BeatGrid) -> None:
        clips = [make_clip("0.mp4", 20), make_clip("1.mp4", 30, look=40)]
        pins = tuple(Pin(clip="0.mp4", at=float(at)) for at in range(1, 19))
        made = plan(clips, grid, pins=pins)
        shown = [
            (item.start, item.end(made.timeline.fps)) for item in made.timeline.items if item.clip.path.stem == "0"
        ]
        assert all(any(low <= pin.at < high for low, high in shown) for pin in pins if pin.at is not None)

    def test_a_pinned_photo_is_shown_once(self, make_clip: MakeClip, grid: BeatGrid) -> None:
        clips = [make_clip("0.mp4", 40), make_clip("p.jpg", photo=True)]
        items = plan(clips, grid, pins=(Pin(clip="p.jpg"), Pin(clip="p.jpg"))).timeline.items
        assert sum(item.clip.kind == "photo" for item in items) == 1

    def test_even_a_dark_clip_is_shown_where_it_is_asked_for(self, make_clip: MakeClip, grid: BeatGrid) -> None:
        clips = [make_clip("0.mp4", 40), make_clip("night.mp4", 10, luma=10)]
        items = plan(clips, grid, pins=(Pin(clip="night.mp4", at=4.0),)).timeline.items
        assert sum(item.clip.path.stem == "night" for item in items) == 1

    @pytest.mark.parametrize(
        ("pin", "said"),
        [
            (Pin(clip="0.mp4", at=99), "behind the clip's end"),
            (Pin(clip="0.mp4", at=3), "what is excluded"),
            (Pin(clip="same.mp4"), "2 clips are called 'same.mp4'"),
        ],
    )
    def test_a_pin_that_cannot_be_honoured_says_why(
        self, make_clip: MakeClip, grid: BeatGrid, pin: Pin, said: str
    ) -> None:
        clips = [make_clip("0.mp4", 20), make_clip("a/same.mp4"), make_clip("b/same.mp4", look=9)]
        with pytest.raises(UserError) as caught:
            plan(clips, grid, pins=(pin,), exclusions=(Exclusion(clip="0.mp4", low=2, high=5),))
        assert said in str(caught.value)
        plan(clips, grid, pins=(Pin(clip="a/same.mp4"),))  # and by its path it is clear

    def test_the_footage_may_run_out_before_a_pin(self, make_clip: MakeClip, grid: BeatGrid) -> None:
        clips = [make_clip(f"{n}.mp4", 0.5) for n in range(3)]
        pins = tuple(Pin(clip=f"{n}.mp4", at=0.1) for n in range(3))
        shown = {item.clip.path.stem for item in plan(clips, grid, pins=pins).timeline.items}
        assert shown == {"0", "1", "2"}


def test_photos_zoom_in_and_out_in_turn(make_clip: MakeClip) -> None:
    clips = [make_clip(f"{n}.jpg", photo=True, look=15.0 * n) for n in range(8)]
    moves = [item.move for item in plan(clips, build_grid(16), density="bar").timeline.items]
    inward = [move.zoom[0] < move.zoom[1] for move in moves if move]
    assert inward == [k % 2 == 0 for k in range(len(inward))]


def test_left_out_stretches_are_told_apart(make_clip: MakeClip, grid: BeatGrid) -> None:
    clip = make_clip("a.mp4", 60)
    for low, high in ((25, 50), (1400, 1425)):
        clip.arrays["luma"][low:high], clip.arrays["contrast"][low:high] = 5, 0
    left = [(piece.low, piece.high) for piece in plan([clip], grid).left_out]
    assert left == [pytest.approx((1, 2), abs=0.21), pytest.approx((56, 57), abs=0.21)]


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([Fraction(7974, 277)], Fraction(30000, 1001)),  # a phone's variable rate
        ([Fraction(298 + n, 10) for n in range(10)] + [Fraction(25)], Fraction(30000, 1001)),
        ([Fraction(500)], Fraction(60)),
        ([Fraction(25, 2)], Fraction(25)),
        ([Fraction(24000, 1001)], Fraction(24000, 1001)),
    ],
)
def test_films_have_a_standard_rate(make_clip: MakeClip, rates: list[Fraction], expected: Fraction) -> None:
    assert film_rate([make_clip(f"{n}.mp4", 5, fps=rate) for n, rate in enumerate(rates)], None) in (
        expected,
        Fraction(30) if expected > 29 and expected < 31 else expected,
    )


def test_a_pin_that_names_no_clip_is_refused_with_the_names_there_are(make_clip: MakeClip, grid: BeatGrid) -> None:
    with pytest.raises(UserError, match=r"'nosuch.mp4'.*a\.mp4"):
        plan([make_clip("a.mp4")], grid, pins=(Pin(clip="nosuch.mp4"),))


def test_excluding_everything_is_refused(make_clip: MakeClip, grid: BeatGrid) -> None:
    with pytest.raises(UserError, match="excluded"):
        plan([make_clip("a.mp4")], grid, exclusions=(Exclusion(clip="a.mp4"),))


def test_only_what_shakes_is_steadied_unless_told_otherwise(make_clip: MakeClip, grid: BeatGrid) -> None:
    clips = [make_clip("still.mp4", 20), make_clip("shaky.mp4", 20, shake=0.008, look=50)]

    def steadied(items: tuple[Item, ...]) -> set[str]:
        return {item.clip.path.stem for item in items if item.stabilize != "never"}

    auto = plan(clips, grid, "minimalist", pins=(Pin(clip="shaky"),)).timeline.items
    assert steadied(auto) == {"shaky"}
    assert steadied(plan(clips, grid, stabilize="never").timeline.items) == set()
    assert "still" in steadied(plan(clips, grid, stabilize="always").timeline.items)


@pytest.mark.parametrize("style", style_names())
@pytest.mark.parametrize(("count", "seconds"), [(10, 40.0), (10, 20.0), (30, 60.0)])
def test_photos_are_shown_for_as_long_as_the_film_is_to_be(
    count: int, seconds: float, style: str, make_clip: MakeClip
) -> None:
    clips = [make_clip(f"{n}.jpg", photo=True, look=5.0 * n) for n in range(count)]
    timeline = plan(clips, build_grid(90.0), style, duration=seconds).timeline
    assert timeline.duration >= 0.9 * seconds
    assert len({item.clip.path for item in timeline.items}) == len(timeline.items)


@pytest.mark.parametrize("density", ["auto", "bar", "beat"])
def test_a_film_of_clips_and_a_photo_ends_with_its_outro_where_the_footage_runs_out(
    density: str, make_clip: MakeClip
) -> None:
    clips = [make_clip("p.jpg", photo=True)] + [make_clip(f"{n}.mp4", 3, look=9.0 * n) for n in range(10)]
    made = plan(clips, build_grid(90.0), duration=40.0, density=density)
    assert made.slots[-1].end == made.timeline.frames
    assert made.slots[-1].part == "outro"


def test_photos_are_shown_once_each_with_a_move(make_clip: MakeClip) -> None:
    clips = [make_clip(f"{n}.jpg", photo=True, look=15.0 * n) for n in range(5)]
    made = plan(clips, build_grid(8.0))
    paths = [item.clip.path for item in made.timeline.items]
    assert len(paths) == len(set(paths))
    assert all(item.move is not None for item in made.timeline.items)


def test_the_frame_follows_the_footage_and_the_wish(make_clip: MakeClip, grid: BeatGrid) -> None:
    clips = [make_clip(f"{n}.mp4", 20, fps=Fraction(30000, 1001), size=(1920, 1080)) for n in range(3)]
    standard = plan(clips, grid).timeline
    upright = plan(clips, grid, aspect="9:16", quality="preview", fps=Fraction(25)).timeline
    assert (standard.width, standard.height, standard.fps) == (1920, 1080, Fraction(30000, 1001))
    assert (upright.width, upright.height, upright.fps) == (360, 640, 25)


def test_neighbours_are_brought_together_in_brightness(make_clip: MakeClip, grid: BeatGrid) -> None:
    clips = [make_clip("dim.mp4", 30, luma=70), make_clip("bright.mp4", 30, luma=170, look=50)]
    items = plan(clips, grid).timeline.items
    joined = [item for item, before in zip(items[1:], items, strict=False) if before.clip != item.clip]
    assert all(item.grade.exposure > 0 for item in joined if item.clip.path.stem == "dim")
    assert all(item.grade.exposure < 0 for item in joined if item.clip.path.stem == "bright")


@pytest.mark.parametrize("asked", ["Caf\u00e9.mp4", "Cafe\u0301.mp4", "Caf\u00e9", "trip/Cafe\u0301.mp4"])
@pytest.mark.parametrize("called", ["Caf\u00e9.mp4", "Cafe\u0301.mp4"])
def test_a_clip_is_named_however_its_accents_are_written(asked: str, called: str) -> None:
    assert names_clip(asked, Path("/footage/trip") / called)
    assert not names_clip("Cafe.mp4", Path("/footage/trip") / called)
