"""Stabilising a hand-held clip, beside plain two-pass vid.stab: how steady, how soon, and without borders.

Of the published measures see ``montage_ai.media.stabilization_metrics``. Borders are looked for in a copy of the clip
that is nowhere dark, so that every black pixel is one, and in plain frames, alternately dark and bright, moved by the
same corrections: vid.stab may fill borders with the frame before, which these frames give away.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.measuring import FOOTAGE, Usage, alternately, at_home, ffmpeg, job, median_ratio, run
from benchmarks.row import Row, at_least, at_most, none_of, skipped, told
from montage_ai.edit.timeline import ClipSource, Item, Timeline
from montage_ai.media.camera_path import correct
from montage_ai.media.files import sha256
from montage_ai.media.probe import probe
from montage_ai.media.stabilization_metrics import measure
from montage_ai.media.vidstab import CORRECTIONS_FILE, corrections_text, transform_filter
from montage_ai.tasks.stabilize import Stabilize, detect_motions
from montage_ai.tasks.task import InputFile

CLIP = FOOTAGE / "video" / "rooftop_shaky_handheld.mp4"
SHOT_SECONDS = 4
MOST_WALL = 1 / 3

_LIFTED = 64
_FILTERS = f"format=yuv420p,{transform_filter()},format=gray"


def rows(quick: bool = False) -> list[Row]:
    """How steady, how soon, and how many pixels of border."""
    if not CLIP.is_file():
        return [skipped("stabilising", f"{CLIP.name} is not here")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [*_steadiness(folder), *_time(folder, 1 if quick else 5), *_borders(folder)]


def two_pass(clip: Path, output: Path, folder: Path) -> Usage:
    """Plain vid.stab on a whole clip, as its manual has it."""
    motions = folder / "plain.trf"
    detect = f"vidstabdetect=accuracy=9:shakiness=5:stepsize=32:result={motions}"
    transform = ["-vf", f"vidstabtransform=input={motions},format=yuv420p", "-an"]
    first = run(ffmpeg("-i", clip, "-an", "-vf", detect, "-f", "null", "-"))
    second = run(ffmpeg("-i", clip, *transform, "-c:v", "libx264", "-preset", "veryfast", output))
    return Usage(first.cpu + second.cpu, first.wall + second.wall, "")


def _steadiness(folder: Path) -> list[Row]:
    theirs, ours = folder / "theirs.mp4", folder / "ours.mp4"
    two_pass(CLIP, theirs, folder)
    at_home(job("steady", CLIP, ours))
    plain, steady, raw = (measure(CLIP, path) for path in (theirs, ours, CLIP))
    reference = f"vid.stab {plain.stability:.3f}, as shot {raw.stability:.3f}"
    return [
        at_least("stabilising: stability score", steady.stability, plain.stability, reference=reference),
        told("stabilising: cropping ratio", steady.cropping_ratio, reference=f"vid.stab {plain.cropping_ratio:.3f}"),
        told("stabilising: distortion value", steady.distortion, reference=f"vid.stab {plain.distortion:.3f}"),
        told("stabilising: ITF", steady.itf, reference=f"vid.stab {plain.itf:.2f} dB", unit="dB"),
    ]


def _time(folder: Path, rounds: int) -> list[Row]:
    """One steadied shot of a film, rendered with an empty cache, beside vid.stab on the clip that it is from."""
    shot = job("render", _film(CLIP, folder), folder / "film.mp4")
    pairs = alternately(lambda: at_home(shot), lambda: two_pass(CLIP, folder / "theirs.mp4", folder), rounds)
    walls = [(float(json.loads(mine.output)["wall"]), theirs.wall) for mine, theirs in pairs]
    whole = [(mine.wall, theirs.wall) for mine, theirs in pairs]
    name = f"{SHOT_SECONDS} s shot, steadied and rendered: wall, times two-pass on its clip"
    return [
        at_most(name, median_ratio(walls), MOST_WALL, reference=_seconds(walls), note=f"{rounds} pairs"),
        told("the same and starting Python: wall, times", median_ratio(whole), reference=_seconds(whole)),
    ]


def _borders(folder: Path) -> list[Row]:
    lifted, clip, film = folder / "lifted.mp4", folder / "lifted_steady.mp4", folder / "lifted_film.mp4"
    lift = f"lutyuv=y='max(val,{_LIFTED})'"
    run(ffmpeg("-i", CLIP, "-an", "-vf", lift, "-c:v", "libx264", "-preset", "veryfast", "-crf", "16", lifted))
    at_home(job("steady", lifted, clip))
    at_home(job("render", _film(lifted, folder), film))
    frames, strange = _strange(folder)
    return [
        none_of("stabilised clip: black border pixels", _black(clip), reference="of a copy without dark pixels"),
        none_of("film of one steadied shot: black border pixels", _black(film), reference="of the same copy"),
        none_of("stabilised clip: border pixels of any kind", strange, reference=f"of {frames} plain frames"),
    ]


def _black(path: Path) -> int:
    """Pixels that are nearer to black than to the darkest of the lifted clip."""
    with av.open(str(path)) as container:
        return sum(int((frame.to_ndarray(format="gray") < _LIFTED // 2).sum()) for frame in container.decode(video=0))


def _strange(folder: Path) -> tuple[int, int]:
    """Plain frames, and the pixels that are not their own frame's after the corrections of the clip moved them."""
    info = probe(CLIP)
    task = Stabilize(source=InputFile(path=CLIP, sha256=sha256(CLIP)), deliver="clip")
    corrections = correct(detect_motions(task, info, folder, lambda _: None), smoothing=task.smoothing)
    (folder / CORRECTIONS_FILE).write_text(corrections_text(corrections), encoding="ascii")
    size, count = (corrections.height, corrections.width), len(corrections.turn)
    pixels = _moved(b"".join(np.full(size, _plain(k), np.uint8).tobytes() for k in range(count)), size, folder)
    moved = np.frombuffer(pixels, np.uint8).reshape(-1, *size)
    return len(moved), sum(int((np.abs(picture.astype(int) - _plain(k)) > 20).sum()) for k, picture in enumerate(moved))


def _plain(frame: int) -> int:
    return 200 if frame % 2 else 60


def _moved(pictures: bytes, size: tuple[int, int], folder: Path) -> bytes:
    """Raw grey ``pictures``, through the transform that the stabilised clip goes through."""
    raw = ["-f", "rawvideo", "-pix_fmt", "gray"]
    command = ffmpeg(*raw, "-video_size", f"{size[1]}x{size[0]}", "-i", "-", "-vf", _FILTERS, *raw, "-")
    return subprocess.run(command, input=pictures, cwd=folder, check=True, capture_output=True).stdout


def _film(clip: Path, folder: Path) -> Path:
    """A timeline of one steadied shot, from the middle of the clip."""
    info, fps = probe(clip), Fraction(30)
    start = Fraction(round(6 * info.picture.fps)) / info.picture.fps
    source = ClipSource(path=clip, sha256=sha256(clip))
    item = Item(clip=source, start=start, frames=round(SHOT_SECONDS * fps), stabilize="always")
    width, height = info.picture.width, info.picture.height
    path = folder / f"{clip.stem}.json"
    path.write_text(Timeline(fps=fps, width=width, height=height, items=(item,)).model_dump_json(), encoding="utf-8")
    return path


def _seconds(walls: Sequence[tuple[float, float]]) -> str:
    mine, theirs = (statistics.median(side) for side in zip(*walls, strict=True))
    return f"{mine:.2f} s for {theirs:.2f} s"
