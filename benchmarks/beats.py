"""Beats: how right and how fast the beat grid is, beside librosa on the same music.

    python -m benchmarks.beats [--json]

The songs of the third group come from the bank of instruments and the seeds that nothing was tuned on. F is the
F-measure of beats, each matched once, within 70 ms, no beat left out at the start. A tempo is right within 4 %, and
half or double is wrong. librosa runs as its users run it, but with ``trim=False`` where that is better for it.
"""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.row import Row, at_most, told
from benchmarks.synth_music import RATE, Track, click_tracks, song, songs
from montage_ai.media.audio import read_mono
from montage_ai.music.analyze import analyze_samples
from montage_ai.music.beat_tracker import EllisTracker

Times = NDArray[np.float64]
Samples = NDArray[np.float32]
Estimate = tuple[Times, float]

TOLERANCE = 0.07
HELD_OUT_SEEDS = range(9200, 9208)
MUSIC = Path(__file__).resolve().parents[2] / "shared" / "footage" / "music"


@dataclass(frozen=True)
class Score:
    """Means over a set of tracks."""

    f: float
    tempo_right: float


def rows() -> list[Row]:
    """All figures of this benchmark, measured now."""
    return [
        *_accuracy("72 click tracks", list(click_tracks()), 0.98),
        *_accuracy("held-out songs", list(songs("held_out", HELD_OUT_SEEDS)), 0.95),
        *_accuracy("annotated tracks", annotated_tracks(), 0.95),
        *_downbeat_rows(list(songs("held_out", HELD_OUT_SEEDS))),
        *_cost_rows(),
    ]


def annotated_tracks() -> list[Track]:
    """The two real tracks with known grids; none where the shared footage is missing."""
    return [_annotated(path) for path in sorted(MUSIC.glob("*.beats"))]


def _annotated(path: Path) -> Track:
    table = np.loadtxt(path)
    beats = table[:, 0]
    samples = read_mono(path.with_suffix(".mp3"), RATE)
    return Track(path.stem, samples, beats, beats[table[:, 1] == 1], 60 / float(np.median(np.diff(beats))))


def f_measure(truth: Times, found: Times, tolerance: float = TOLERANCE) -> float:
    """The F-measure of ``found`` against ``truth``, both increasing, in seconds; each beat is matched once at most."""
    hits = i = j = 0
    while i < len(truth) and j < len(found):
        if abs(truth[i] - found[j]) <= tolerance:
            hits, i, j = hits + 1, i + 1, j + 1
        elif found[j] < truth[i]:
            j += 1
        else:
            i += 1
    return 2 * hits / max(1, len(truth) + len(found))


def ours(samples: Samples) -> Estimate:
    """Our beats and tempo."""
    beats = EllisTracker().track(samples, RATE)
    return beats.times, beats.tempo or 0.0


def librosas(samples: Samples, *, trim: bool = True) -> Estimate:
    """librosa's beats and tempo."""
    import librosa

    tempo, beats = librosa.beat.beat_track(y=samples, sr=RATE, units="time", trim=trim)
    return np.asarray(beats, dtype=np.float64), float(np.atleast_1d(tempo)[0])


def score(tracks: Iterable[Track], tracker: Callable[[Samples], Estimate], *, report: bool = False) -> Score:
    """Mean F-measure and the share of right tempi; with ``report``, what went wrong is printed to stderr."""
    results = []
    for track in tracks:
        times, tempo = tracker(track.samples)
        f, right = _best_f(track, times), abs(tempo / track.tempo - 1) <= 0.04
        results.append((f, right))
        if report and (f < 0.9 or not right):
            print(f"  {track.name}: F {f:.3f}, tempo {tempo:.1f} for {track.tempo:.1f}", file=sys.stderr)
    mean_f, mean_right = np.mean(results, axis=0)
    return Score(float(mean_f), float(mean_right))


def _best_f(track: Track, times: Times) -> float:
    """Groovin's grid does not say whether beats or off-beats are the beats: there, both are allowed, to all."""
    shifts = (0.0, 30 / track.tempo) if track.name.startswith("Groovin") else (0.0,)
    return max(f_measure(track.beats + shift, times) for shift in shifts)


def _accuracy(name: str, tracks: list[Track], target: float) -> list[Row]:
    if not tracks:
        return []
    mine = score(tracks, ours, report=True)
    theirs = [score(tracks, lambda s, trim=trim: librosas(s, trim=trim)) for trim in (True, False)]  # type: ignore[misc]
    their_f, their_tempo = max(s.f for s in theirs), theirs[0].tempo_right
    enough = max(target, their_f)
    return [
        Row(f"{name}: mean F", mine.f, f">= {target:g} and librosa's", f"librosa {their_f:.3f}", mine.f >= enough),
        Row(
            f"{name}: tempo right",
            mine.tempo_right,
            "all",
            f"librosa {their_tempo:.3f}",
            mine.tempo_right == 1.0,
            note="half or double counts as wrong",
        ),
    ]


def _downbeat_rows(tracks: list[Track]) -> list[Row]:
    results = []
    for track in tracks:
        found = np.array(analyze_samples(track.samples, RATE).downbeats)
        results.append((f_measure(track.downbeats, found), found.size > 0))
    given = [f for f, any_found in results if any_found]
    return [
        told("held-out songs: downbeats, mean F", float(np.mean([f for f, _ in results]))),
        told("held-out songs: downbeats where given, mean F", float(np.mean(given or [0.0]))),
    ]


def _cost_rows() -> list[Row]:
    """Seconds for three minutes of music, both warm, and what our tracker allocates at most (less the samples)."""
    minutes = np.tile(song("backbeat", "held_out", 1).samples, 6)
    mine, theirs = _seconds(lambda: ours(minutes)), _seconds(lambda: librosas(minutes))
    tracemalloc.start()
    ours(minutes)
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return [
        told("3 minutes: time", mine, reference=f"librosa {theirs:.2f} s", unit="s"),
        told("3 minutes: time, times librosa's", mine / theirs),
        at_most("3 minutes: peak memory beside the samples", megabytes, 100, unit="MB"),
    ]


def _seconds(work: Callable[[], object]) -> float:
    """The best of three, after one that warms up."""
    work()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print the figures, as a table or as JSON."""
    found = rows()
    if "--json" in sys.argv[1:]:
        print(json.dumps([asdict(row) for row in found], indent=1))
        return
    for row in found:
        print(f"{row.name:48}{row.shown:>10}  {row.target:22}{row.reference:16}{row.verdict}")


if __name__ == "__main__":
    main()
