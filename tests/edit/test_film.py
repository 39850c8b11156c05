from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from pathlib import Path

import pytest
from scipy.stats import spearmanr

from montage_ai.edit.brief import Brief, Exclusion, Pin
from montage_ai.edit.film import Plan, plan_film
from montage_ai.edit.styles import load_style, style_names
from montage_ai.edit.timeline import Item, Source, half_after, half_before
from montage_ai.errors import UserError
from montage_ai.footage.clip import Clip
from montage_ai.footage.features import Face
from montage_ai.music.beat_grid import BeatGrid
from tests.edit.conftest import build_grid

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


def test_scarce_footage_makes_a_shorter_film_and_says_so(make_clip: MakeClip, grid: BeatGrid) -> None:
    made = plan([make_clip("a.mp4", 6), make_clip("b.mp4", 5)], grid)
    assert 4 < made.timeline.duration <= 11
    assert "footage can fill" in made.length_reason


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
