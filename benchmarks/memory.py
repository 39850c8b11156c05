"""How much memory making a film takes: 200 clips in 1080p, with one and with four minutes of music.

The proportional set size (PSS) of the whole process tree is added up every 50 ms; the largest sum counts.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.measuring import environment, ffmpeg, fresh_home, montage_ai, run
from benchmarks.row import Row, at_most, skipped, told
from benchmarks.synth_sound import drums, write_wav

CLIPS, DISTINCT, SIZE, SECONDS = 200, 8, (1920, 1080), 2
MINUTES = (1.0, 4.0)
MOST_MB, MOST_GROWTH = 1000.0, 1.15

_EVERY = 0.05
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def rows(quick: bool = False) -> list[Row]:
    """The peak for each length of the music, and how much it grows with it."""
    if not Path("/proc/self/smaps_rollup").exists():
        return [skipped("making a film: peak memory", "only Linux says how much memory a process has of its own")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count, minutes = (12, (0.1, 0.4)) if quick else (CLIPS, MINUTES)
        footage = make_clips(folder / "footage", count, distinct=DISTINCT, size=SIZE, seconds=SECONDS)
        peaks = [_peak(footage, length, folder) for length in minutes]
    names = [f"{count} clips in 1080p, {length:g} min of music: peak memory" for length in minutes]
    return [
        *(at_most(name, peak, MOST_MB, unit="MB") for name, (peak, _) in zip(names, peaks, strict=True)),
        at_most("peak memory: of the longer film, times", peaks[1][0] / peaks[0][0], MOST_GROWTH),
        *(told(f"{name}, of Python alone", own, unit="MB") for name, (_, own) in zip(names, peaks, strict=True)),
    ]


def make_clips(folder: Path, count: int, *, distinct: int, size: tuple[int, int], seconds: float) -> Path:
    """A folder of ``count`` clips of ``distinct`` moving pictures; each file has its title: no two are the same."""
    folder.mkdir()
    for k in range(count):
        source = folder.parent / f"{folder.name}{k % distinct}.mp4"
        if not source.exists():
            run(_moving_picture(source, k, size, seconds))
        run(ffmpeg("-i", source, "-c", "copy", "-metadata", f"title=clip {k}", folder / f"clip{k:03}.mp4"))
    return folder


def _moving_picture(path: Path, number: int, size: tuple[int, int], seconds: float) -> list[str]:
    """A fractal whose section and colours differ from one clip to the next, panned over."""
    width, height = size
    large = f"mandelbrot=size={width // 2}x{height // 2}:rate=1:start_x={-0.74 + 0.11 * number}:start_y=-0.13"
    still = f"{large},trim=end_frame=1,hue=h={47 * number},scale={width * 5 // 4}:{height * 5 // 4},loop=-1:1:0,fps=25"
    pan = f"crop={width}:{height}:x='(iw-ow)*n/{25 * seconds}':y='(ih-oh)*n/{40 * seconds}'"
    coder = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "23", "-pix_fmt", "yuv420p"]
    return ffmpeg("-f", "lavfi", "-i", f"{still},setpts=N/25/TB,{pan}", "-t", str(seconds), *coder, path)


def _peak(footage: Path, minutes: float, folder: Path) -> tuple[float, float]:
    """The largest sum over the process tree while a film is made, and the largest of its first process, in MB."""
    music = write_wav(folder / "music.wav", drums(60 * minutes))
    command = montage_ai("make", footage, "--music", music, "--output", folder / "film.mp4", "--force")
    with fresh_home() as home, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment(home))
        peak = own = 0.0
        while process.poll() is None:
            sizes = _sizes(process.pid)
            peak, own = max(peak, sum(sizes)), max(own, sizes[0] if sizes else 0.0)
            time.sleep(_EVERY)
        if process.returncode:
            said.seek(0, os.SEEK_END)
            said.seek(max(0, said.tell() - 1500))
            raise RuntimeError(said.read().decode("utf-8", "replace"))
    return peak, own


def _sizes(pid: int) -> list[float]:
    """Megabytes of a process and of each of its descendants that still lives."""
    sizes = []
    with contextlib.suppress(psutil.Error):
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            sizes.append(_size(process.pid))
    return sizes


def _size(pid: int) -> float:
    try:
        found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"))
    except OSError:
        return 0.0
    return int(found[1]) * 1024 / 1e6 if found else 0.0
