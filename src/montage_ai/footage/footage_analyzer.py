"""The footage analyzer: one decode of a clip serves everything that is seen in it. It needs no model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from montage_ai.errors import IrregularTimesError
from montage_ai.footage.clip import Array, Clip, ClipFacts, unpacked_clip
from montage_ai.footage.features import Faces, FrameMeasures, FramePack, SampleMeasures
from montage_ai.footage.places import place_names
from montage_ai.footage.shots import Shot, ShotDetector, shots, with_cuts
from montage_ai.footage.sounds import measure_sound
from montage_ai.isolation import isolated
from montage_ai.media.decode import Consumer, decode_pass, photo_frame
from montage_ai.media.photos import read_photo
from montage_ai.media.probe import MediaInfo
from montage_ai.media.rebuild import rebuilt

_Found = tuple[Clip, tuple[tuple[float, bytes], ...]]

ANALYSIS_VERSION = 6
"""Raise it when what is measured changes: clips are then analysed again."""


@dataclass(frozen=True)
class Analysis:
    """A clip, its frame pack as (seconds, JPEG bytes), and its arrays as they are kept (see ``Clip.packed_arrays``)."""

    clip: Clip
    pictures: tuple[tuple[float, bytes], ...]
    arrays: bytes


class _Record(BaseModel):
    """An analysis as it leaves the process that made it."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    facts: ClipFacts
    arrays: bytes
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
    record = _analyze(info, sha256, threads, faces, on_seconds)
    return Analysis(unpacked_clip(record.facts, record.arrays), record.pictures, record.arrays)


def analyze_readable(
    info: MediaInfo, path: Path, sha256: str, *, threads: int, on_seconds: Callable[[float], None]
) -> Analysis:
    """Measure ``path``, of which ``info`` is known; where its time stamps turn out to jump, by a copy (``rebuild``).

    The clip is found at ``path`` in any case. Raises ``MediaError`` where nothing of it can be decoded.
    """
    try:
        analysis = analyze_file(info, sha256, threads=threads, on_seconds=on_seconds)
    except IrregularTimesError:
        analysis = analyze_file(rebuilt(path, sha256), sha256, threads=threads, on_seconds=on_seconds)
    clip = analysis.clip
    facts = clip.facts.model_copy(update={"info": clip.info.model_copy(update={"path": path})})
    return replace(analysis, clip=replace(clip, facts=facts))


def _memory(info: MediaInfo, sha256: str, threads: int, *_: object) -> float:
    """Gigabytes that decoding may take: a video's decoder holds up to seventeen pictures, and one a thread."""
    if info.kind == "photo":
        return 1.2
    picture = info.picture
    each = picture.coded_width * picture.coded_height * (3.0 if picture.bit_depth > 8 else 1.5) / 1e9
    return max(1.0, 0.6 + (20 + threads) * each)


@isolated(memory=_memory)
def _analyze(info: MediaInfo, sha256: str, threads: int, faces: bool, on_progress: Callable[[float], None]) -> _Record:
    if info.kind == "photo":
        clip, pictures = _analyze_photo(info, sha256, faces)
    else:
        clip, pictures = _analyze_video(info, sha256, threads, faces, on_progress)
    return _Record(facts=clip.facts, arrays=clip.packed_arrays(), pictures=pictures)


def _analyze_video(
    info: MediaInfo, sha256: str, threads: int, faces: bool, on_seconds: Callable[[float], None]
) -> _Found:
    detector, measures, samples, pack = ShotDetector(), FrameMeasures(), SampleMeasures(), FramePack()
    finders = [Faces()] if faces else []
    consumers: list[Consumer] = [detector, measures, samples, pack, *finders]
    decoded = decode_pass(info, consumers, threads=threads, on_time=on_seconds)
    boundaries = with_cuts(detector.finish(), decoded.resized)
    info = info.model_copy(update={"shapes": decoded.shapes})
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


def _put_together(facts: ClipFacts, ticks: NDArray[np.int64], arrays: dict[str, Array], pack: FramePack) -> _Found:
    clip = Clip(facts, ticks, arrays)
    spans = [(clip.time_of(shot.first), clip.time_of(shot.end)) for shot in facts.shots]
    pictures = pack.finish(facts.info, spans)
    return Clip(facts, ticks, arrays | {"picture_new": pictures.new}), pictures.pack


def _analyze_photo(info: MediaInfo, sha256: str, faces: bool) -> _Found:
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
