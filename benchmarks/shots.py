"""How well shot boundaries are found: on real clips, and on films assembled from them with known truth.

Run as ``python benchmarks/shots.py [--json] [--seeds 20] [--first-seed 1000]``. PySceneDetect's two stock detectors
see the same files at their default settings. The films' seeds start at 1000; thresholds were chosen on 0 to 31.
``--sweep`` shows instead what becomes of the real clips and of the films when each threshold is moved by a quarter.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import imageio_ffmpeg
import numpy as np
import scenedetect
from numpy.typing import NDArray

from montage_ai.footage.shots import Boundary, ShotDetector, cuts, gradual, view
from montage_ai.media.decode import Frame, decode_pass
from montage_ai.media.probe import probe

FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "footage"
WIDTH, HEIGHT = 640, 360
FIRST_SEED, SEEDS = 1000, 20
TUNED_ON = "0 to 31"

Kind = Literal["cut", "dissolve", "black", "white"]
Pictures = NDArray[np.uint8]
Row = dict[str, Any]

PARTS: dict[str, tuple[tuple[float, float], ...]] = {
    "dog_and_owner.mp4": ((0, 9.6),),
    "gopro_walk.mp4": ((0, 10.4),),
    "juggle_noaudio.mp4": ((0, 10.2),),
    "london_street_portrait_vfr_hevc.mp4": ((0, 4.9),),
    "parking_lot_static.mp4": ((0, 30),),
    "person_signing_walk.mkv": ((0, 2.9),),
    "rooftop_shaky_handheld.mp4": ((0, 17),),
    "talking_bbaf2n.mpg": ((0, 2.9),),
    "talking_lbax4n.mpg": ((0, 2.9),),
    "tears_of_steel_multicut.webm": ((0, 1.75), (1.9, 12.2), (12.35, 16.6)),
    "webcam_two_faces_noaudio.webm": ((0, 37),),
}
"""Seconds of every source without a cut of its own. Neighbours in a film are never from the same source: two shots of
one still clip can be the same picture, and then there is no boundary to be seen."""

REAL: dict[str, tuple[int, ...]] = {
    "derived/multicut_hard_9shots.mp4": (75, 125, 191, 281, 361, 406, 466, 521),
    "video/tears_of_steel_multicut.webm": (44, 295),
    "video/rooftop_shaky_handheld.mp4": (),
    "video/parking_lot_static.mp4": (),
    "video/webcam_two_faces_noaudio.webm": (),
}
OTHER_UNCUT = (
    "video/dog_and_owner.mp4",
    "video/gopro_walk.mp4",
    "video/juggle_noaudio.mp4",
    "video/london_street_portrait_vfr_hevc.mp4",
    "video/person_signing_walk.mkv",
    "video/phone_rot90_vfr_short.mp4",
    "video/talking_bbaf2n.mpg",
    "video/talking_lbax4n.mpg",
)


@dataclass(frozen=True)
class Truth:
    """A boundary as it was made. ``start`` to ``end`` as in ``Boundary``."""

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True)
class Film:
    path: Path
    truth: tuple[Truth, ...]


@dataclass
class Score:
    """Boundaries that were right, invented and missed."""

    right: int = 0
    invented: int = 0
    missed: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(self.right + other.right, self.invented + other.invented, self.missed + other.missed)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.right + self.missed)

    @property
    def f1(self) -> float:
        return 2 * self.right / max(1, 2 * self.right + self.invented + self.missed)

    def __str__(self) -> str:
        return f"{self.right} right, {self.invented} invented, {self.missed} missed"


@dataclass
class Found:
    """What a detector says of one file, and the CPU milliseconds a frame that it and the decoding took."""

    cuts: list[int]
    gradual: list[Boundary]
    cost: float = 0.0
    decoding: float = 0.0


class Timed:
    """A consumer that measures the CPU time of another."""

    def __init__(self, inner: ShotDetector) -> None:
        self.inner = inner
        self.spent = 0.0
        self.frames = 0

    def push(self, frame: Frame) -> None:
        before = time.process_time()
        self.inner.push(frame)
        self.spent += time.process_time() - before
        self.frames += 1


def ours(path: Path) -> Found:
    timed = Timed(ShotDetector())
    info = probe(path)
    begun = time.process_time()
    decode_pass(info, [timed])
    decoded = time.process_time()
    boundaries = timed.inner.finish()
    spent = timed.spent + time.process_time() - decoded
    per_frame = 1000 / timed.frames
    hard = [b.start for b in boundaries if b.kind == "cut"]
    gradual = [b for b in boundaries if b.kind != "cut"]
    return Found(hard, gradual, per_frame * spent, per_frame * (decoded - begun - timed.spent))


def adaptive(path: Path) -> Found:
    return _stock(path, scenedetect.AdaptiveDetector())


def content(path: Path) -> Found:
    return _stock(path, scenedetect.ContentDetector())


def _stock(path: Path, detector: Any) -> Found:
    scenes = scenedetect.detect(str(path), detector)
    return Found([start.frame_num for start, _ in scenes[1:]], [])


def match(truth: list[int], found: list[int], tolerance: int) -> Score:
    """One found cut for each true one, at most ``tolerance`` frames away."""
    left = list(found)
    right = 0
    for cut in truth:
        near = [f for f in left if abs(f - cut) <= tolerance]
        if near:
            left.remove(min(near, key=lambda f: abs(f - cut)))
            right += 1
    return Score(right, len(left), len(truth) - right)


def score_cuts(film: Film, found: Found) -> Score:
    """Hard cuts within a frame; a cut reported inside a gradual transition is an invented one."""
    return match([t.start for t in film.truth if t.kind == "cut"], found.cuts, 1)


def score_gradual(film: Film, found: Found, kinds: tuple[Kind, ...]) -> Score:
    """Transitions of ``kinds``, found when a centre is within half the true length of the true centre.

    ``invented`` counts the reported transitions that are near no true one of any kind.
    """
    gradual = [t for t in film.truth if t.kind != "cut"]
    wanted = [t for t in gradual if t.kind in kinds]
    right = sum(any(_hits(b, t) for b in found.gradual) for t in wanted)
    invented = sum(not any(_hits(b, t) for t in gradual) for b in found.gradual)
    return Score(right, invented, len(wanted) - right)


def _hits(boundary: Boundary, truth: Truth) -> bool:
    apart = abs(boundary.start + boundary.end - truth.start - truth.end) / 2
    return apart <= (truth.end - truth.start) / 2


def _inside(cut: int, film: Film) -> bool:
    return any(t.kind != "cut" and t.start - 1 <= cut <= t.end + 1 for t in film.truth)


def edge_errors(film: Film, found: Found) -> Iterator[int]:
    """Frames by which the edges of the transitions that were found are off."""
    for truth in film.truth:
        for boundary in found.gradual:
            if truth.kind != "cut" and _hits(boundary, truth):
                yield from (abs(boundary.start - truth.start), abs(boundary.end - truth.end))


def assemble(seed: int, folder: Path) -> Film:
    """A film of 15 to 25 s from real shots, with hard cuts, 1 s dissolves and fades through black and white."""
    chance = random.Random(seed)
    fps = chance.choice([24, 25, 30, 50])
    path = folder / f"film{seed}.mp4"
    truth: list[Truth] = []
    frames = 0
    with _encoder(path, fps) as encoder:
        assert encoder.stdin is not None
        tail: Pictures | None = None
        for shot, join, reach in _script(chance, fps):
            if tail is not None:
                head, shot = shot[: len(tail)], shot[len(tail) :]
                encoder.stdin.write(_join(tail, head, truth[-1].kind).tobytes())
                frames += len(tail)
            body, tail = (shot[:-reach], shot[-reach:]) if reach else (shot, None)
            encoder.stdin.write(body.tobytes())
            frames += len(body)
            if join:
                truth.append(Truth(join, frames, frames + reach))
    return Film(path, tuple(truth))


def _script(chance: random.Random, fps: int) -> Iterator[tuple[Pictures, Kind | None, int]]:
    """Shots with the transition to the next one and its length in frames (0 for a cut; none after the last)."""
    seconds, wanted, before, reach = 0.0, chance.uniform(15, 25), "", 0
    while seconds < wanted:
        name = chance.choice([n for n in PARTS if n != before])
        start, end = chance.choice(PARTS[name])
        clean = min(chance.uniform(0.7, 3.5), end - start - (reach / fps) - 0.1)
        kinds: list[Kind] = ["cut", "cut", "cut", "dissolve", "dissolve", "black", "white"]
        join: Kind = chance.choice(kinds)
        next_reach = 0 if join == "cut" else fps
        if reach / fps + clean + next_reach / fps > end - start or clean < 0.5:
            join, next_reach = "cut", 0
        length = reach / fps + clean + next_reach / fps
        shot = _shot(FOOTAGE / "video" / name, chance.uniform(start, end - length), round(length * fps), fps)
        seconds += length
        last = seconds >= wanted
        if last:
            yield shot[: len(shot) - next_reach], None, 0
        else:
            yield shot, join, next_reach
        before, reach = name, next_reach


def _shot(path: Path, start: float, frames: int, fps: int) -> Pictures:
    """``frames`` frames of ``path`` as flat YUV 4:2:0, cut to fill the film's picture."""
    fill = f"fps={fps},scale={WIDTH}:{HEIGHT}:force_original_aspect_ratio=increase,crop={WIDTH}:{HEIGHT},setsar=1"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-ss", f"{start:.3f}", "-i", str(path)]
    command += ["-vf", fill, "-frames:v", str(frames), "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, WIDTH * HEIGHT * 3 // 2)


def _encoder(path: Path, fps: int) -> subprocess.Popen[bytes]:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p"]
    command += ["-s", f"{WIDTH}x{HEIGHT}", "-r", str(fps), "-i", "-", "-c:v", "libx264", "-preset", "veryfast"]
    return subprocess.Popen([*command, "-crf", "21", "-pix_fmt", "yuv420p", str(path)], stdin=subprocess.PIPE)


def _join(tail: Pictures, head: Pictures, kind: Kind) -> Pictures:
    """The frames in which ``tail`` turns into ``head``: none of them is clean."""
    n = len(tail)
    at = ((np.arange(n) + 1) / (n + 1)).astype(np.float32)[:, None]
    if kind == "dissolve":
        return np.rint(tail[: len(head)] * (1 - at) + head * at).astype(np.uint8)
    colour = np.full(tail.shape[1], 128, np.float32)
    colour[: WIDTH * HEIGHT] = 16 if kind == "black" else 235
    out, into = np.clip(1 - 2 * at, 0, 1), np.clip(2 * at - 1, 0, 1)
    mixed: Pictures = np.rint(tail * out + head * into + colour * (1 - out - into)).astype(np.uint8)
    return mixed


def rows(seeds: int = SEEDS, first_seed: int = FIRST_SEED) -> list[Row]:
    """Every figure, beside the stock detectors' on the same files."""
    with tempfile.TemporaryDirectory() as folder:
        films = [assemble(seed, Path(folder)) for seed in range(first_seed, first_seed + seeds)]
        real = [Film(FOOTAGE / name, tuple(Truth("cut", c, c) for c in cuts)) for name, cuts in REAL.items()]
        uncut = [Film(FOOTAGE / name, ()) for name in OTHER_UNCUT]
        results = {d.__name__: [d(f.path) for f in real + uncut + films] for d in (ours, adaptive, content)}
    return _rows(real, uncut, films, results)


def _rows(real: list[Film], uncut: list[Film], films: list[Film], results: dict[str, list[Found]]) -> list[Row]:
    u = len(real) + len(uncut)
    mine = results["ours"]

    def hard(detector: str, chosen: list[Film], low: int, tolerance: int) -> Score:
        pairs = zip(chosen, results[detector][low:], strict=False)
        truths = (([t.start for t in film.truth if t.kind == "cut"], found.cuts) for film, found in pairs)
        return sum((match(true, found, tolerance) for true, found in truths), Score())

    def lenient(detector: str) -> Score:
        """As ``hard`` for the films, but a cut reported at a dissolve or a fade is not held against the detector."""
        pairs = list(zip(films, results[detector][u:], strict=True))
        kept = [[c for c in f.cuts if not _inside(c, film)] for film, f in pairs]
        true = [[t.start for t in film.truth if t.kind == "cut"] for film, _ in pairs]
        return sum((match(t, k, 1) for t, k in zip(true, kept, strict=True)), Score())

    def compare(name: str, figure: Callable[[str], Score], target: float) -> Row:
        score = figure("ours")
        row = _row(name, score.f1, f">= {target}", "; ".join(f"{d} {figure(d).f1:.3f} ({figure(d)})" for d in STOCK))
        return row | {"reached": score.f1 >= target, "detail": str(score)}

    gradual = {k: sum((score_gradual(f, m, k) for f, m in zip(films, mine[u:], strict=True)), Score()) for k in GRADUAL}
    both = gradual[("dissolve", "black", "white")]
    off = [e for f, m in zip(films, mine[u:], strict=True) for e in edge_errors(f, m)]
    false_real = sum(len(found.gradual) for found in mine[:u])
    cost = statistics.fmean(found.cost for found in mine[u:])
    table = [
        compare("hard-cut F1, 5 real clips, frame exact", lambda d: hard(d, real, 0, 0), 1.0),
        compare("hard-cut F1, 8 more uncut clips + the 5", lambda d: hard(d, real + uncut, 0, 0), 1.0),
        compare(f"hard-cut F1, {len(films)} held-out films, +-1 frame", lambda d: hard(d, films, u, 1), 0.98),
        compare("the same, cuts reported at transitions left out", lenient, 0.98),
    ]
    for kinds, score in gradual.items():
        row = _row(f"recall of {' + '.join(kinds)}, held-out films", score.recall, ">= 0.8", "-")
        table.append(row | {"reached": score.recall >= 0.8, "detail": f"{score.right} right, {score.missed} missed"})
    table.append(_row("invented transitions, held-out films", both.invented, "reported", "-"))
    table.append(_row("invented transitions, 13 real clips", false_real, "reported", "-"))
    table.append(_row("edges of transitions off, median frames", statistics.median(off or [0]), "reported", "-"))
    share = statistics.fmean(found.cost / found.decoding for found in mine[:u])
    table.append(_row("CPU as a share of the decoding, 13 real clips", share, "reported", "-"))
    usual = statistics.fmean(found.cost for found in mine[:u])
    table.append(_row("CPU, ms a frame, 13 real clips", usual, "reported", "-"))
    row = _row("CPU, ms a frame, films (a boundary every 2.5 s)", cost, "reported", "-")
    worst = max(found.cost for found in mine)
    return [*table, row | {"detail": f"costliest file {worst:.2f}"}]


STOCK = ("adaptive", "content")
GRADUAL: tuple[tuple[Kind, ...], ...] = (("dissolve",), ("black",), ("white",), ("dissolve", "black", "white"))


SWEPT = (
    (cuts, ("FLOOR", "RATIO", "RETURN")),
    (view, ("SAME_CORRELATION", "SAME_SHARE", "SAME_INLIERS")),
    (gradual, ("LEAST_CHANGE", "MOST_KEPT", "MOST_STRAY", "MOST_UNEVEN", "LEAST_MIXED", "LEAST_SPREAD")),
)


def sweep(seeds: int, first_seed: int) -> Iterator[str]:
    """A line for every threshold at four fifths and at five quarters of its value."""
    with tempfile.TemporaryDirectory() as folder:
        films = [assemble(seed, Path(folder)) for seed in range(first_seed, first_seed + seeds)]
        films += [Film(FOOTAGE / name, tuple(Truth("cut", c, c) for c in true)) for name, true in REAL.items()]
        yield _outcome("as it is", films)
        for module, names in SWEPT:
            for name in names:
                usual = getattr(module, name)
                for factor in (0.8, 1.25):
                    setattr(module, name, usual * factor)
                    yield _outcome(f"{name} {usual * factor:.3g} (is {usual})", films)
                setattr(module, name, usual)


def _outcome(label: str, films: list[Film]) -> str:
    found = [ours(film.path) for film in films]
    hard = sum((score_cuts(film, f) for film, f in zip(films, found, strict=True)), Score())
    soft = sum((score_gradual(film, f, GRADUAL[-1]) for film, f in zip(films, found, strict=True)), Score())
    return f"{label:<34} cuts: {hard}; transitions: {soft}"


def _row(name: str, value: float, target: str, reference: str) -> Row:
    return {"name": name, "value": round(value, 4), "target": target, "reference": reference, "reached": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many films to assemble")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help=f"thresholds were chosen on {TUNED_ON}")
    parser.add_argument("--sweep", action="store_true", help="move every threshold by a quarter")
    asked = parser.parse_args()
    if asked.sweep:
        for line in sweep(asked.seeds, asked.first_seed):
            print(line, flush=True)
        return
    table = rows(asked.seeds, asked.first_seed)
    if asked.json:
        print(json.dumps(table, indent=1))
        return
    for row in table:
        mark = {True: "reached", False: "MISSED", None: ""}[row["reached"]]
        print(f"{row['name']:<58} {row['value']:>7} {row['target']:<9} {mark:<8} {row.get('detail', '')}")
        if row["reference"] != "-":
            print(f"{'':<12}{row['reference']}")


if __name__ == "__main__":
    main()
