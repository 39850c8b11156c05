"""The footage analyzer: one decode of a clip serves everything that is seen in it. It needs no model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from montage_ai.footage.clip import Array, Clip, ClipFacts
from montage_ai.footage.features import Faces, FrameMeasures, FramePack, SampleMeasures
from montage_ai.footage.places import place_names
from montage_ai.footage.shots import Shot, ShotDetector, shots
from montage_ai.footage.sounds import measure_sound
from montage_ai.media.decode import Consumer, decode_pass, photo_frame
from montage_ai.media.photos import read_photo
from montage_ai.media.probe import MediaInfo

ANALYSIS_VERSION = 5
"""Raise it when what is measured changes: clips are then analysed again."""


@dataclass(frozen=True)
class Analysis:
    """A clip, and its frame pack as (seconds, JPEG bytes)."""

    clip: Clip
    pictures: tuple[tuple[float, bytes], ...]


def analyze_file(
    info: MediaInfo,
    sha256: str,
    *,
    threads: int = 1,
    faces: bool = True,
    on_seconds: Callable[[float], None] = lambda _: None,
) -> Analysis:
    """Measure a video or a photo; ``on_seconds`` is told how far it is, and may raise to stop it.

    Raises ``MediaError`` where nothing of it can be decoded.
    """
    if info.kind == "photo":
        return _analyze_photo(info, sha256, faces)
    return _analyze_video(info, sha256, threads, faces, on_seconds)


def _analyze_video(
    info: MediaInfo, sha256: str, threads: int, faces: bool, on_seconds: Callable[[float], None]
) -> Analysis:
    detector, measures, samples, pack = ShotDetector(), FrameMeasures(), SampleMeasures(), FramePack()
    finders = [Faces()] if faces else []
    consumers: list[Consumer] = [detector, measures, samples, pack, *finders]
    decoded = decode_pass(info, consumers, threads=threads, on_time=on_seconds)
    boundaries = detector.finish()
    facts = ClipFacts(
        info=info,
        sha256=sha256,
        duration=decoded.duration,
        damage=decoded.damage,
        boundaries=boundaries,
        shots=shots(boundaries, len(decoded.ticks)),
        faces=tuple(face for finder in finders for face in finder.found),
        places=place_names(info.location),
    )
    heard = measure_sound(info, decoded.duration, lambda: on_seconds(decoded.duration))
    return _put_together(facts, decoded.ticks, measures.arrays() | samples.arrays() | heard, pack)


def _put_together(facts: ClipFacts, ticks: NDArray[np.int64], arrays: dict[str, Array], pack: FramePack) -> Analysis:
    clip = Clip(facts, ticks, arrays)
    spans = [(clip.time_of(shot.first), clip.time_of(shot.end)) for shot in facts.shots]
    pictures = pack.finish(facts.info, spans)
    return Analysis(Clip(facts, ticks, arrays | {"picture_new": pictures.new}), pictures.pack)


def _analyze_photo(info: MediaInfo, sha256: str, faces: bool) -> Analysis:
    picture = read_photo(info.path)
    info = _with_size(info, picture.shape[1], picture.shape[0])
    frame = photo_frame(picture)
    measures, samples, pack = FrameMeasures(), SampleMeasures(), FramePack()
    finders = [Faces()] if faces else []
    consumers: list[Consumer] = [measures, samples, pack, *finders]
    for consumer in consumers:
        consumer.push(frame)
    facts = ClipFacts(
        info=info,
        sha256=sha256,
        duration=0.0,
        damage=None,
        boundaries=(),
        shots=(Shot(first=0, end=1),),
        faces=tuple(face for finder in finders for face in finder.found),
        places=place_names(info.location),
    )
    return _put_together(facts, np.zeros(1, np.int64), measures.arrays() | samples.arrays(), pack)


def _with_size(info: MediaInfo, width: int, height: int) -> MediaInfo:
    """EXIF may turn a photo: its size is that of the picture that was read."""
    return info.model_copy(update={"video": info.picture.model_copy(update={"width": width, "height": height})})
