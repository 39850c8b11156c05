"""Films of what models know about the footage: wishes, moods, and what shows the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from montage_ai.edit.brief import Brief, Pin
from montage_ai.edit.film import Plan, plan_film
from montage_ai.edit.styles import load_style
from montage_ai.footage.clip import Clip
from montage_ai.footage.search import ClipInsight, Insight
from montage_ai.music.beat_grid import BeatGrid
from tests.edit.conftest import MakeClip, build_clip, build_grid
from tests.edit.test_film import MUSIC


def known(clip: Clip, **values: float | np.ndarray) -> ClipInsight:
    """Nothing but ``values`` is known of a clip."""
    frames = len(clip.ticks)
    nothing = ClipInsight(*(np.zeros(frames) for _ in range(4)), np.full(frames, -1))
    return replace(nothing, **{name: np.broadcast_to(value, frames) for name, value in values.items()})  # type: ignore[arg-type]


def plan(clips: Sequence[Clip], grid: BeatGrid, insight: Insight, **wishes: object) -> Plan:
    return plan_film(clips, grid, MUSIC, Brief(style=load_style("dynamic"), **wishes), insight)  # type: ignore[arg-type]


def names(made: Plan) -> list[str]:
    return [item.clip.path.name for item in made.timeline.items]


def insight_of(clips: Sequence[Clip], each: Sequence[ClipInsight], vectors: np.ndarray | None = None) -> Insight:
    pictures = np.zeros((0, 0), np.float16) if vectors is None else vectors.astype(np.float16)
    return Insight({clip.facts.sha256: one for clip, one in zip(clips, each, strict=True)}, pictures)


def test_intense_moods_stand_where_the_music_is_intense(make_clip: MakeClip, grid: BeatGrid) -> None:
    clips = [make_clip(f"{n}.mp4", 20, look=9.0 * n) for n in range(12)]
    intensity = {clip.name: (0.1, 0.9)[n % 2] for n, clip in enumerate(clips)}
    moody = insight_of(clips, [known(clip, mood=1.0, intensity=intensity[clip.name]) for clip in clips])

    def agreement(insight: Insight) -> float:
        made = plan(clips, grid, insight)
        levels = [slot.level for slot in made.slots]
        return float(spearmanr(levels, [intensity[name] for name in names(made)]).statistic)

    assert agreement(moody) > 0.5 > agreement(Insight())


def test_what_shows_the_same_in_other_clips_is_not_shown_in_a_row(make_clip: MakeClip, grid: BeatGrid) -> None:
    """Nine clips of three things: by colour and layout they are all different."""
    clips = [make_clip(f"{n}.mp4", 20, look=9.0 * n) for n in range(9)]
    vectors = np.eye(3)[np.arange(9) % 3]
    alike = insight_of(clips, [known(clip, picture=np.int64(n)) for n, clip in enumerate(clips)], vectors)

    def repeats(insight: Insight) -> float:
        things = [int(name.removesuffix(".mp4")) % 3 for name in names(plan(clips, grid, insight))]
        return float(np.mean([one == other for one, other in pairwise(things)]))

    assert repeats(alike) == 0 < repeats(Insight())


def test_a_wish_is_shown_as_long_as_there_is_any_of_it(make_clip: MakeClip, grid: BeatGrid) -> None:
    clips = [make_clip(f"{n}.mp4", 20, look=9.0 * n) for n in range(6)]
    half = np.arange(len(clips[4].ticks)) < 250  # its first ten seconds
    each = [known(clip, wanted=half if clip.name == "4.mp4" else 0.0) for clip in clips]
    made = plan(clips, grid, insight_of(clips, each), wants=("a dog",), duration=8)
    shown = [item for item in made.timeline.items if item.clip.path.name == "4.mp4"]
    assert len(shown) >= len(made.timeline.items) / 2
    assert all(item.start < 10 for item in shown)
    wanted = [sure for sure, item in zip(made.wanted, made.timeline.items, strict=True) if item in shown]
    assert min(wanted) > 0.5
    assert plan(clips, grid, insight_of(clips, each)).wanted == ()


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=5))
def test_what_is_to_be_avoided_is_never_shown_but_where_it_is_pinned(spans: list[tuple[int, int]]) -> None:
    clips = [build_clip(f"{n}.mp4", 12, look=9.0 * n) for n in range(5)]
    each = list[ClipInsight]()
    for clip, (start, length) in zip(clips, [*spans, *[(99, 1)] * 5], strict=False):
        each.append(known(clip, unwanted=(clip.times >= start) & (clip.times < start + length)))
    insight = insight_of(clips, each)
    made = plan(clips, build_grid(12.0), insight, avoids=("rain",))
    for item in made.timeline.items:
        against = insight.clips[item.clip.sha256].unwanted
        clip = next(clip for clip in clips if clip.facts.sha256 == item.clip.sha256)
        low, high = float(item.start), float(item.end(made.timeline.fps))
        assert against[(clip.times > low + 0.2) & (clip.times < high - 0.2)].max(initial=0) == 0
    assert any(one.reason == "shows what is to be avoided" for one in made.left_out)
    pinned = plan(clips, build_grid(12.0), insight, avoids=("rain",), pins=(Pin(clip="0.mp4", at=spans[0][0] + 0.5),))
    assert "0.mp4" in names(pinned)
