"""Cuts, exact: films of coded frames are rendered, decoded and read, frame by frame, beside the timeline.

Films of 1, 30 and 1,000 cuts at 23.976, 25, 29.97, 30 and 59.94 frames a second, each from clips of all these rates,
one of variable rate, one with rotation metadata and one in a container without an index.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from benchmarks.coded_video import CodedClip, coded_clips, codes
from benchmarks.measuring import ffmpeg, run
from benchmarks.row import Row, at_most, none_of
from benchmarks.synth_sound import drums, write_wav
from montage_ai.edit.timeline import Item, Source, Timeline, frame_of, shown_source_frames
from montage_ai.events import ignore
from montage_ai.media.files import sha256
from montage_ai.render.film import render_film

RATES = tuple(Fraction(*rate) for rate in ((24000, 1001), (25, 1), (30000, 1001), (30, 1), (60000, 1001)))
SIZE = (96, 54)

BEAT = {1: 1.1, 30: 0.47, 1000: 0.21}
"""Seconds between cuts, on average."""

_SOUND_RATE = 48_000
_TAIL = Fraction(1, 4)


@dataclass(frozen=True)
class Outcome:
    """What is off in a film: counts of cuts and frames; the beats and the sound in frames."""

    cuts: int = 0
    pictures: int = 0
    times: int = 0
    beat: float = 0.0
    length: int = 0
    sound: float = 0.0

    def worse(self, other: Outcome) -> Outcome:
        """Counts added, distances the larger of the two."""
        mine, theirs = vars(self), vars(other)
        joined = {name: mine[name] + theirs[name] for name in ("cuts", "pictures", "times", "length")}
        rest = {f.name: max(mine[f.name], theirs[f.name]) for f in fields(self) if f.name not in joined}
        return Outcome(**joined, **rest)


def rows(quick: bool = False) -> list[Row]:
    """Six rows for each number of cuts, over all rates."""
    counts = (1, 30) if quick else (1, 30, 1000)
    with tempfile.TemporaryDirectory() as folder:
        clips = coded_clips(Path(folder))
        return [row for count in counts for row in _rows(count, clips, RATES[1::2] if quick else RATES, Path(folder))]


def _rows(count: int, clips: Sequence[CodedClip], rates: Sequence[Fraction], folder: Path) -> list[Row]:
    total, notes, cuts, frames = Outcome(), [], 0, 0
    for fps in rates:
        beats = human_beats(count, BEAT[count])
        timeline = film_of_cuts(beats, fps, clips, folder)
        output = folder / f"film{count}.mp4"
        render_film(timeline, output, ignore)
        outcome = inspect(timeline, beats, clips, output)
        total = total.worse(outcome)
        cuts, frames = cuts + count, frames + timeline.frames
        if outcome.cuts or outcome.pictures:
            notes.append(f"{outcome.cuts} cuts, {outcome.pictures} pictures at {float(fps):.3f} fps")
    name, note = f"{count:,} cut{'s' * (count > 1)}", "; ".join(notes)
    shown = f"{len(clips)} sources into " + ", ".join(f"{float(fps):.3f}".rstrip("0").rstrip(".") for fps in rates)
    return [
        none_of(f"{name}: cuts not at their planned frame", total.cuts, reference=f"of {cuts}", note=shown),
        none_of(f"{name}: other source frames than planned", total.pictures, reference=f"of {frames}", note=note),
        none_of(f"{name}: frames not shown at their time", total.times, reference=f"of {frames}"),
        at_most(f"{name}: a planned cut from its beat, at most", total.beat, 0.5, unit="frames"),
        none_of(f"{name}: frames more or fewer than planned", total.length, reference=f"of {frames}"),
        at_most(f"{name}: end of the sound from that of the picture", total.sound, 1, unit="frames"),
    ]


def inspect(timeline: Timeline, beats: Sequence[float], clips: Sequence[CodedClip], film: Path) -> Outcome:
    """Compare every frame of the decoded ``film`` with what ``timeline`` says."""
    planned = planned_frames(timeline, clips)
    shown = list(codes(film))
    together = min(len(shown), len(planned))
    starts = timeline.starts[1:]
    off = [abs(Fraction(beat) * timeline.fps - start) for beat, start in zip(beats, starts, strict=False)]
    return Outcome(
        cuts=sum(not _cut_there(shown, planned, start) for start in starts),
        pictures=sum(a != b for a, b in zip(shown[:together], planned[:together], strict=True)),
        times=off_time(film, timeline.fps),
        beat=float(max(off)),
        length=abs(len(shown) - timeline.frames),
        sound=float(abs(_sound_seconds(film) - timeline.duration) * timeline.fps),
    )


def _cut_there(shown: Sequence[tuple[int, int] | None], planned: Sequence[tuple[int, int]], start: int) -> bool:
    """Whether the last frame before a cut is of the leaving clip and the first one after it of the coming clip."""
    if start >= len(shown):
        return False
    before, after = shown[start - 1], shown[start]
    return (
        before is not None and after is not None and (before[0], after[0]) == (planned[start - 1][0], planned[start][0])
    )


def off_time(film: Path, fps: Fraction) -> int:
    """Frames whose time in the file is not exactly that of their number."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        times = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
        return sum(at * stream.time_base != number / fps for number, at in enumerate(times))


def planned_frames(timeline: Timeline, clips: Sequence[CodedClip]) -> list[tuple[int, int]]:
    """The clip and the frame that each frame of the film must show."""
    by_path = {clip.source.path: clip for clip in clips}
    planned = []
    for item in timeline.items:
        clip = by_path[item.clip.path]
        frames = shown_source_frames(item, timeline.fps, clip.ticks, clip.time_base)
        planned += [(clip.number, int(frame)) for frame in frames]
    return planned


def human_beats(count: int, gap: float) -> list[float]:
    """Times of ``count`` cuts and of the end, ``gap`` seconds apart on average: not on any grid."""
    chance = random.Random(count)
    gaps = [gap * chance.uniform(0.75, 1.25) for _ in range(count + 1)]
    return [float(time) for time in np.cumsum(gaps)]


def film_of_cuts(beats: Sequence[float], fps: Fraction, clips: Sequence[CodedClip], folder: Path) -> Timeline:
    """A film with a hard cut on every beat but the last, which ends it."""
    chance = random.Random(f"{len(beats)} {fps}")
    bounds = [0, *(frame_of(beat, fps) for beat in beats)]
    items: list[Item] = []
    for low, high in pairwise(bounds):
        before = items[-1].clip if items else None
        items.append(_item(chance.choice([clip for clip in clips if clip.source != before]), high - low, fps, chance))
    music = write_wav(folder / f"music{len(beats)}.wav", drums(beats[-1] + 1))
    return Timeline(
        fps=fps,
        width=SIZE[0],
        height=SIZE[1],
        items=tuple(items),
        transitions=(None,) * (len(items) - 1),
        music=Source(path=music, sha256=sha256(music)),
    )


def _item(clip: CodedClip, frames: int, fps: Fraction, chance: random.Random) -> Item:
    """A stretch of the clip that begins, as the planner's do, with one of its frames."""
    whole = clip.time_of(len(clip.ticks) - 1)
    last = int(np.searchsorted(clip.ticks, float((whole - frames / fps - _TAIL) / clip.time_base)))
    start = clip.time_of(chance.randrange(last))
    return Item(clip=clip.source, start=start, frames=frames)


def _sound_seconds(film: Path) -> Fraction:
    """Length of the film's sound, decoded as players do: what the file says is padding is left out."""
    with tempfile.NamedTemporaryFile(suffix=".raw") as raw:
        run(ffmpeg("-i", film, "-map", "0:a:0", "-ac", "1", "-ar", str(_SOUND_RATE), "-f", "s16le", raw.name))
        return Fraction(Path(raw.name).stat().st_size // 2, _SOUND_RATE)
