"""Loudness of films: -14 LUFS and at most -1 dBTP, measured by FFmpeg's ebur128 on the finished files."""

from __future__ import annotations

import re
import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path

from benchmarks.measuring import ffmpeg, run
from benchmarks.row import Row, at_most, told
from benchmarks.synth_sound import KINDS, write_wav
from montage_ai.edit.timeline import ClipSource, Item, Source, Timeline
from montage_ai.events import ignore
from montage_ai.media.ffmpeg import ffmpeg_path
from montage_ai.media.files import sha256
from montage_ai.render.film import render_film

LOUDNESS, TOLERANCE, MOST_PEAK = -14.0, 0.5, -1.0
FPS = Fraction(25)


def rows(quick: bool = False) -> list[Row]:
    """Two rows for each kind of music; silence must only come through."""
    seconds = 8 if quick else 30
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        picture = f"testsrc=size=192x108:rate={FPS}:duration={seconds + 1}"
        run(ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", "-pix_fmt", "yuv420p", clip))
        return [row for kind in KINDS for row in _rows(kind, clip, seconds, folder)]


def _rows(kind: str, clip: Path, seconds: int, folder: Path) -> list[Row]:
    music = write_wav(folder / f"{kind}.wav", KINDS[kind](seconds + 1))
    before = loudness(music)
    film = folder / f"{kind}.mp4"
    render_film(_timeline(clip, music, seconds), film, ignore)
    integrated, peak = loudness(film)
    if kind == "silent":
        return [told("silent music: the film's loudness", integrated, unit="LUFS")]
    away, reference = abs(integrated - LOUDNESS), f"{integrated:.1f} LUFS; the music {before[0]:.1f}"
    top = f"the music {before[1]:.1f}"
    return [
        at_most(f"{kind} music: loudness away from {LOUDNESS:g} LUFS", away, TOLERANCE, reference=reference, unit="LU"),
        at_most(f"{kind} music: true peak", peak, MOST_PEAK, reference=top, unit="dBTP"),
    ]


def loudness(path: Path) -> tuple[float, float]:
    """Integrated loudness (LUFS) and true peak (dBTP) of a file's sound; minus infinity for the peak of silence."""
    command = [ffmpeg_path(), "-hide_banner", "-nostdin", "-i", str(path), "-map", "0:a:0"]
    command += ["-af", "ebur128=peak=true:framelog=quiet", "-f", "null", "-"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr.rpartition("Summary:")[2]
    integrated, peak = re.search(r"I:\s+(\S+) LUFS", said), re.search(r"Peak:\s+(\S+) dBFS", said)
    if integrated is None or peak is None:
        raise RuntimeError(f"FFmpeg said nothing of the loudness of {path.name}: {said[-300:]}")
    return float(integrated[1]), float(peak[1])


def _timeline(clip: Path, music: Path, seconds: int) -> Timeline:
    source = ClipSource(path=clip, sha256=sha256(clip))
    item = Item(clip=source, start=Fraction(0), frames=round(seconds * FPS))
    track = Source(path=music, sha256=sha256(music))
    return Timeline(fps=FPS, width=192, height=108, items=(item,), music=track, quality="standard")
