"""What rendering costs without effects, beside one hand-written FFmpeg process that makes the same cut list.

24 cuts from three real 720p clips (synthetic ones where these are missing), no sound, x264 at the same preset and rate
factor. The runs alternate, and the ratios are medians of pairs. CPU seconds are of whole process trees.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from benchmarks.measuring import FOOTAGE, Usage, alternately, at_home, ffmpeg, job, median_ratio, run
from benchmarks.row import Row, at_most, told
from montage_ai.edit.timeline import ClipSource, Item, Timeline, frame_of
from montage_ai.media.files import sha256
from montage_ai.media.probe import probe
from montage_ai.render.encoding import ENCODINGS
from montage_ai.render.segments import inspect

CLIPS = ("juggle_noaudio.mp4", "dog_and_owner.mp4", "webcam_two_faces_noaudio.webm")
FPS = Fraction(30)
CUTS = 24
MOST_CPU, MOST_WALL = 1.05, 0.95

_LENGTHS = (0.47, 0.93, 1.4, 0.47, 1.87, 0.93)  # seconds, over and over: beats of a song at 129 a minute
_CLIP_SECONDS = 9.0


def rows(quick: bool = False) -> list[Row]:
    """Ratios of CPU seconds and of wall time, without and with the start of Python."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timeline = _timeline(_clips(folder), 6 if quick else CUTS)
        ours, theirs = _runs(timeline, folder)
        theirs()  # the files come from memory from now on
        pairs = alternately(ours, theirs, 2 if quick else 5)
        _check(timeline, folder)
    return _rows(pairs, f"{len(timeline.items) - 1} cuts, {timeline.frames} frames, {len(pairs)} pairs")


def _runs(timeline: Timeline, folder: Path) -> tuple[Callable[[], Usage], Callable[[], Usage]]:
    (folder / "film.json").write_text(timeline.model_dump_json(), encoding="utf-8")
    ours = job("render", folder / "film.json", folder / "ours.mp4")
    theirs = by_hand(timeline, folder / "theirs.mp4")
    return lambda: at_home(ours), lambda: run(theirs)


def by_hand(timeline: Timeline, output: Path) -> list[str]:
    """The film as one FFmpeg command: an input for each shot, brought to one rate and size, and joined."""
    inputs: list[str | Path] = []
    chains, joined = [], ""
    size = f"{timeline.width}:{timeline.height}"
    for k, item in enumerate(timeline.items):
        seconds = float(item.frames / timeline.fps)
        inputs += ["-ss", f"{float(item.start):.6f}", "-t", f"{seconds:.6f}", "-i", item.clip.path]
        chains.append(f"[{k}:v:0]fps={timeline.fps},scale={size},setsar=1,format=yuv420p[v{k}]")
        joined += f"[v{k}]"
    graph = ";".join([*chains, f"{joined}concat=n={len(timeline.items)}:v=1:a=0[film]"])
    encoding = ENCODINGS[timeline.quality]
    coder = ["-c:v", "libx264", "-preset", encoding.preset, "-crf", str(encoding.crf), "-pix_fmt", "yuv420p"]
    return ffmpeg(*inputs, "-filter_complex", graph, "-map", "[film]", *coder, output)


def _rows(pairs: Sequence[tuple[Usage, Usage]], note: str) -> list[Row]:
    told_by = [json.loads(mine.output) for mine, _ in pairs]
    cpu = [(work["cpu"], theirs.cpu) for work, (_, theirs) in zip(told_by, pairs, strict=True)]
    wall = [(work["wall"], theirs.wall) for work, (_, theirs) in zip(told_by, pairs, strict=True)]
    start = statistics.median(mine.cpu - work["cpu"] for work, (mine, _) in zip(told_by, pairs, strict=True))
    whole_cpu, whole_wall = [(m.cpu, t.cpu) for m, t in pairs], [(m.wall, t.wall) for m, t in pairs]
    return [
        at_most("rendering: CPU, times one FFmpeg's", median_ratio(cpu), MOST_CPU, reference=_seconds(cpu), note=note),
        at_most("rendering: wall, times one FFmpeg's", median_ratio(wall), MOST_WALL, reference=_seconds(wall)),
        told("rendering and starting Python: CPU, times", median_ratio(whole_cpu), reference=_seconds(whole_cpu)),
        told("rendering and starting Python: wall, times", median_ratio(whole_wall), reference=_seconds(whole_wall)),
        told("starting Python and importing: CPU", start, unit="s"),
    ]


def _seconds(pairs: Sequence[tuple[float, float]]) -> str:
    mine, theirs = (statistics.median(values) for values in zip(*pairs, strict=True))
    return f"{mine:.2f} s for {theirs:.2f} s"


def _check(timeline: Timeline, folder: Path) -> None:
    """Both films must be as long, or the comparison means nothing; the other way rounds each shot by itself."""
    ours, theirs = inspect(folder / "ours.mp4")[0], inspect(folder / "theirs.mp4")[0]
    if ours != timeline.frames or abs(theirs - ours) > len(timeline.items):
        raise RuntimeError(f"The films have {ours} and {theirs} frames instead of {timeline.frames}.")


def _clips(folder: Path) -> list[ClipSource]:
    paths = [FOOTAGE / "video" / name for name in CLIPS]
    if not all(path.is_file() for path in paths):
        paths = [_synthetic(folder / f"clip{k}.mp4", k) for k in range(len(CLIPS))]
    return [ClipSource(path=path, sha256=sha256(path)) for path in paths]


def _synthetic(path: Path, number: int) -> Path:
    picture = f"testsrc2=size=1280x720:rate={(24, 25, 30)[number]}:duration=10,noise=alls=12:allf=t"
    run(ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", path))
    return path


def _timeline(clips: Sequence[ClipSource], cuts: int) -> Timeline:
    """Shots from the clips in turn, each beginning with a frame of its clip, cut on whole frames."""
    rates = {clip.path: probe(clip.path).picture.fps for clip in clips}
    ends = [sum(_LENGTHS[i % len(_LENGTHS)] for i in range(k)) for k in range(cuts + 2)]
    items = []
    for k, (low, high) in enumerate(pairwise(frame_of(end, FPS) for end in ends)):
        clip = clips[k % len(clips)]
        start = Fraction(round((k * 1.7) % (_CLIP_SECONDS - 2.0) * rates[clip.path])) / rates[clip.path]
        items.append(Item(clip=clip, start=start, frames=high - low))
    return Timeline(fps=FPS, width=1280, height=720, items=tuple(items), transitions=(None,) * (len(items) - 1))
