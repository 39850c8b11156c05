"""Clips that were never decoded: what the analysis would have found, made up."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from montage_ai.footage.clip import Clip, ClipFacts
from montage_ai.footage.features import Face
from montage_ai.footage.shots import Boundary, shots
from montage_ai.media.probe import Colour, MediaInfo, VideoStream
from montage_ai.music.beat_grid import BeatGrid, Section

MakeClip = Callable[..., Clip]


@pytest.fixture
def make_clip() -> MakeClip:
    return build_clip


@pytest.fixture
def grid() -> BeatGrid:
    return build_grid(30.0)


def build_grid(duration: float, tempo: float = 120.0) -> BeatGrid:
    """A steady pulse from 0.1 s on, quiet in its first third, loud in its last."""
    step = 60 / tempo
    beats = tuple(round(0.1 + k * step, 4) for k in range(int((duration - 0.1) / step) + 1))
    third = duration / 3
    sections = tuple(
        Section(start=k * third, end=(k + 1) * third, energy=energy, label=label)
        for k, (energy, label) in enumerate(((0.1, "intro"), (0.5, "build"), (1.0, "high")))
    )
    energy = tuple(min(1.0, t / 10 / duration) for t in range(int(duration * 10)))
    return BeatGrid(
        duration=duration,
        tempo=tempo,
        beats=beats,
        downbeats=beats[::4],
        sections=sections,
        energy=energy,
        confidence=1.0,
        source="beats",
    )


def build_clip(
    name: str = "clip.mp4",
    seconds: float = 10.0,
    *,
    fps: Fraction = Fraction(25),
    cuts: tuple[int, ...] = (),
    luma: float = 120.0,
    sharp: float = 0.2,
    motion: float = 0.002,
    shake: float = 0.0,
    photo: bool = False,
    faces: tuple[Face, ...] = (),
    size: tuple[int, int] = (1280, 720),
    look: float = 0.0,
) -> Clip:
    frames = 1 if photo else round(seconds * fps)
    time_base = 1 / (fps * 100)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    samples = max(1, round(seconds * 2))
    jitter = rng.normal(0, shake, (2, frames)) if shake else np.zeros((2, frames))
    arrays = {
        "luma": np.full(frames, luma),
        "contrast": np.full(frames, 50.0 if luma > 20 else 1.0),
        "change": np.full(frames, 5.0),
        "dx": motion + jitter[0],
        "dy": jitter[1],
        "subject": np.full(frames, motion),
        "sample_time": np.arange(samples) / 2,
        "sharpness": np.full(samples, sharp),
        "edges": np.full(samples, 0.1),
        "warmth": np.zeros(samples),
        "tint": np.zeros(samples),
        "saturation": np.full(samples, 20.0),
        "clipped": np.zeros(samples),
        "layout": np.full((samples, 48), 100.0 + look),
    }
    boundaries = tuple(Boundary(kind="cut", start=cut, end=cut) for cut in cuts)
    video = VideoStream(
        codec="h264",
        coded_width=size[0],
        coded_height=size[1],
        sample_aspect=Fraction(1),
        rotation=0,
        width=size[0],
        height=size[1],
        fps=fps,
        time_base=time_base,
        first_pts=0,
        offset=Fraction(0),
        frames=frames,
        bit_depth=8,
        alpha=False,
        colour=Colour(),
    )
    info = MediaInfo(
        path=Path("/footage") / name,
        kind="photo" if photo else "video",
        container="mov,mp4,m4a,3gp,3g2,mj2",
        duration=0.0 if photo else seconds,
        bit_rate=1_000_000,
        video=video,
        audio=None,
    )
    facts = ClipFacts(
        info=info,
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        duration=0.0 if photo else seconds,
        damage=None,
        boundaries=boundaries,
        shots=shots(boundaries, frames),
        faces=faces,
    )
    return Clip(facts, np.arange(frames, dtype=np.int64) * 100, {k: v.astype(np.float32) for k, v in arrays.items()})
