"""What bad files, damaged caches, hostile data and impatient hands do to the program: counts of what must not be."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from benchmarks.measuring import environment, ffmpeg, montage_ai
from benchmarks.mutants import mutants, write_seeds
from benchmarks.row import Row, at_most, none_of, told
from benchmarks.synth_sound import drums, write_wav
from montage_ai.media.files import sha256
from montage_ai.media.filters import to_bt709, to_sdr
from montage_ai.media.probe import Colour, VideoStream

SEED = 20261128
_BATCH = 50  # damaged files beside one good clip
_LIMIT = 60.0  # seconds without a word that are a hang
_GOOD = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=3", "-c:v", "libx264", "-pix_fmt", "yuv420p")


@dataclass(frozen=True)
class Outcome:
    """How a run of the program went; ``memory`` is the largest of its processes, in MB."""

    code: int | None
    said: str
    seconds: float
    memory: float

    @property
    def has_traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.said or (self.code or 0) < 0


def rows(quick: bool = False) -> Iterator[Row]:
    """All rows; ``quick`` tries less of everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        music = write_wav(folder / "music.wav", drums(6))
        subprocess.run(ffmpeg(*_GOOD, folder / "good.mp4"), check=True)
        yield from _mutated(folder, music, 60 if quick else 1000)
        yield from _damaged_cache(folder, music)
        yield from _hostile_data(folder, 40 if quick else 200)
        yield from _colour_tags(quick)
        yield from _stopped(folder, music, 20 if quick else 500)


def _mutated(folder: Path, music: Path, count: int) -> Iterator[Row]:
    """Damaged media through the commands that read footage."""
    found, homes = list[Outcome](), folder / "homes"
    films = tries = 0
    seeds = write_seeds(folder / "seeds")
    for number, batch in enumerate(_batches(seeds, count)):
        footage, home = folder / f"batch{number}", homes / str(number)
        footage.mkdir()
        for name, content in batch:
            (footage / name).write_bytes(content)
        shutil.copy(folder / "good.mp4", footage / "good.mp4")
        film = footage / "film" / "film.mp4"
        wishes = ("--quality", "preview", "--duration", "6", "--stabilize", "auto", "--sound", "mix")
        made = _observed(montage_ai("make", footage, "--music", music, "--output", film, *wishes), home)
        tries += 1
        films += made.code == 0 and film.is_file()
        others = [("analyze", footage), ("index", footage), ("stabilize", footage, "--output", footage / "steady")]
        found += [made, *(_observed(montage_ai(*other), home) for other in others)]
        shutil.rmtree(footage)
        shutil.rmtree(home, ignore_errors=True)
    note = f"seed {SEED}, by make, analyze, index and stabilize"
    yield told("mutated media files", count, note=note)
    yield none_of("mutated media: tracebacks and crashes", sum(one.has_traceback for one in found))
    yield none_of("mutated media: runs without an end", sum(one.code is None for one in found))
    yield at_most("mutated media: largest process", max(one.memory for one in found), 1000, unit="MB")
    yield none_of("mutated media: films not made though a good clip was there", tries - films, reference=f"of {tries}")


def _batches(seeds: Sequence[Path], count: int) -> Iterator[list[tuple[str, bytes]]]:
    left = mutants(seeds, count, SEED)
    while batch := list(itertools.islice(left, _BATCH)):
        yield batch


def _damaged_cache(folder: Path, music: Path) -> Iterator[Row]:
    """Every file of the cache, damaged in turn in each of five ways."""
    home, film = folder / "cache_home", folder / "cached.mp4"
    command = montage_ai("make", folder / "good.mp4", "--music", music, "--output", film, "--stabilize", "always")
    first = _observed([*command, "--quality", "preview"], home)
    whole, tries, wrong = sha256(film), 0, 0
    files = sorted(path for path in (home / "cache").rglob("*") if path.is_file())
    for number, path in enumerate(files):
        for way in range(5) if number % 4 == 0 else (number % 5,):
            if not path.exists():
                continue
            _damage(path, way)
            tries += 1
            outcome = _observed([*command, "--quality", "preview"], home)
            wrong += outcome.code != 0 or sha256(film) != whole
    yield none_of("cache damaged: wrong films", wrong, reference=f"of {tries}, {len(files)} files; first {first.code}")


def _damage(path: Path, way: int) -> None:
    content, rng = path.read_bytes(), random.Random(f"{path.name} {way}")
    middle = len(content) // 2
    if way == 0 or not content:
        path.unlink()
    else:
        changed = bytearray(content)
        changed[middle] ^= 1 << rng.randrange(8)
        path.write_bytes((bytes(changed), content[:middle], rng.randbytes(len(content)), content + content)[way - 1])


def _hostile_data(folder: Path, count: int) -> Iterator[Row]:
    """Timelines, styles, lookup tables and databases that were tampered with."""
    music = write_wav(folder / "short.wav", drums(3))
    home, film = folder / "hostile_home", folder / "hostile.mp4"
    make: list[str | Path] = [*montage_ai("make", folder / "good.mp4", "--music", music)]
    make += ["--quality", "preview", "--stabilize", "never"]
    _observed([*make, "--output", film], home)
    timeline, library = film.with_suffix(".otio").read_text(encoding="utf-8"), home / "data" / "library.sqlite"
    known, outcomes = library.read_bytes(), dict[str, Outcome]()
    for number in range(count):
        rng, path = random.Random(f"{SEED} {number}"), folder / f"hostile{number}"
        kind = ("timeline", "style", "lookup table", "database")[number % 4]
        if kind == "timeline":
            path = path.with_suffix(".otio")
            path.write_text(_tampered_json(timeline, rng), encoding="utf-8")
            command: list[str | Path] = [*montage_ai("render", path, "--output", folder / "again.mp4", "--force")]
        elif kind == "style":
            path = path.with_suffix(".toml")
            path.write_text(
                f"summary = 'x'\n[pacing]\nslow = {rng.choice(_VALUES)}\n[look]\nexposure = {rng.choice(_VALUES)}\n"
            )
            command = [*make, "--output", folder / "styled.mp4", "--style", str(path), "--plan"]
        elif kind == "lookup table":
            path = path.with_suffix(".cube")
            size = rng.choice((0, 1, 2, -1, 3, 10**6))
            rows = "\n".join(" ".join(rng.choices(("0", "1", "nan", "inf", "x", "0.5"), k=3)) for _ in range(8))
            path.write_text(f"LUT_3D_SIZE {size}\n{rows}\n")
            command = [*make, "--output", folder / "graded.mp4", "--lut", str(path), "--plan"]
        else:
            content = bytearray(known)
            for _ in range(rng.choice((1, 20, 500))):
                content[rng.randrange(rng.choice((100, len(content))))] = rng.randrange(256)
            library.write_bytes(bytes(content))
            command = [*make, "--output", folder / "found.mp4", "--plan"]
        outcomes[f"{kind} {number}"] = _observed(command, home)
        if kind == "database":
            for rest in library.parent.glob("library.sqlite*"):
                rest.unlink()
            library.write_bytes(known)
    bad = [name for name, one in outcomes.items() if one.has_traceback or one.code not in (0, 1, 2)]
    kinds = "timelines, styles, lookup tables, databases"
    yield none_of(f"hostile {kinds}: tracebacks", len(bad), reference=f"of {count}", note=", ".join(bad[:5]))


_VALUES = ("0", "-1", "1e308", "inf", "nan", "'x'", "[]", "{}", "true", "10000000000000000000000")


def _tampered_json(text: str, rng: random.Random) -> str:
    """A timeline in which some values are others."""
    document = json.loads(text)
    for _ in range(rng.choice((1, 3))):
        place: Any = document
        while isinstance(place, dict | list) and place:
            key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or rng.random() < 0.1:
                deep = json.loads("[" * 50 + "]" * 50)
                values: tuple[Any, ...] = (
                    0,
                    -1,
                    1e308,
                    float("inf"),
                    float("nan"),
                    "x" * 5000,
                    None,
                    [],
                    {},
                    deep,
                    True,
                )
                place[key] = rng.choice(values)
                break
            place = inner
    return json.dumps(document)


def _colour_tags(quick: bool) -> Iterator[Row]:
    """Every combination of colour tags through the filters that make BT.709 of it."""
    matrices, primaries, transfers = (
        (1, 2, 5, 6, 7, 8, 9, 10, 12, 13, 14),
        (1, 2, 5, 9, 11, 12, 22),
        (1, 2, 6, 8, 13, 16, 18),
    )
    combinations = list(itertools.product(matrices, primaries, transfers))[:: 20 if quick else 1]
    with ThreadPoolExecutor(2) as pool:
        failed = sum(pool.map(_conversion_fails, combinations))
    yield none_of("combinations of colour tags that give no picture", failed, reference=f"of {len(combinations)}")


def _conversion_fails(tags: tuple[int, int, int]) -> bool:
    matrix, primaries, transfer = tags
    picture = VideoStream(
        codec="hevc",
        coded_width=64,
        coded_height=36,
        sample_aspect=Fraction(1),
        rotation=0,
        width=64,
        height=36,
        fps=Fraction(25),
        time_base=Fraction(1, 25),
        first_pts=0,
        offset=Fraction(0),
        frames=2,
        bit_depth=10,
        alpha=False,
        colour=Colour(matrix=matrix, primaries=primaries, transfer=transfer),
    )
    said = f"setparams=colorspace={matrix}:color_primaries={primaries}:color_trc={transfer}:range=tv"
    source = f"testsrc2=s=64x36:r=25:d=0.08,format=yuv420p10le,{said}"
    chain = ",".join([*to_sdr(picture), f"scale=32:18:{to_bt709(picture)}", "format=yuv420p"])
    done = subprocess.run(ffmpeg("-f", "lavfi", "-i", source, "-vf", chain, "-f", "null", "-"), capture_output=True)
    return done.returncode != 0


def _stopped(folder: Path, music: Path, count: int) -> Iterator[Row]:
    """Ctrl-C and SIGTERM at random moments, with another program that keeps the processors busy."""
    late = left = wrong = traces = 0
    longest = 0.0
    burn = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    command = [
        *montage_ai("make", folder / "good.mp4", "--music", music, "--quality", "preview", "--stabilize", "always")
    ]
    try:
        for number in range(count):
            rng, home = random.Random(f"{SEED} {number}"), folder / f"stopped{number}"
            film = folder / f"stopped{number}.mp4"
            process = subprocess.Popen(
                [*command, "--output", str(film)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment(home),
                start_new_session=True,
            )
            time.sleep(rng.uniform(0.05, 6.0))
            family = _family(process.pid)
            told_at = time.monotonic()
            process.send_signal(rng.choice((signal.SIGINT, signal.SIGTERM)))
            try:
                said = process.communicate(timeout=30)[1].decode("utf-8", "replace")
            except subprocess.TimeoutExpired:
                process.kill()
                said = process.communicate()[1].decode("utf-8", "replace")
            took = time.monotonic() - told_at
            longest = max(longest, took)
            late += took > 2.0
            traces += "Traceback" in said or "Exception ignored" in said
            time.sleep(0.3)
            left += any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family)
            left += any(path.name.startswith(".") and ".part" in path.name for path in folder.iterdir())
            if number % 10 == 0:
                again = _observed([*command, "--output", str(film)], home)
                wrong += again.code != 0
            shutil.rmtree(home, ignore_errors=True)
    finally:
        for one in burn:
            one.kill()
            one.wait()
    yield told("stopped at random moments under load", count, note="two endless loops beside it on two cores")
    yield none_of("stopped: not ended after 2 s", late, note=f"longest {longest:.1f} s")
    yield none_of("stopped: processes or drafts left", left)
    yield none_of("stopped: tracebacks", traces)
    yield none_of("stopped: the next run failed", wrong)


def _observed(command: Sequence[str | Path], home: Path) -> Outcome:
    """Run the program and watch its processes' memory."""
    started, memory = time.monotonic(), 0.0
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(home),
        )
        heard, last = 0, time.monotonic()
        while process.poll() is None:
            for one in _family(process.pid):
                with contextlib.suppress(psutil.Error):
                    memory = max(memory, one.memory_info().rss / 1e6)
            size = os.fstat(output.fileno()).st_size
            if size != heard:
                heard, last = size, time.monotonic()
            if time.monotonic() - last > 2 * _LIMIT:
                process.kill()
                process.wait()
                return Outcome(None, "", time.monotonic() - started, memory)
            time.sleep(0.05)
        output.seek(0)
        said = output.read().decode("utf-8", "replace")
    return Outcome(process.returncode, said, time.monotonic() - started, memory)


def _family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []
