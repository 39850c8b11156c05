"""The parts of films that are kept in the cache: segments and sound, each known by a digest of all it depends on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import av
import av.error

from montage_ai.edit.timeline import Timeline
from montage_ai.media.files import publishing
from montage_ai.render.segments import Segment, count_frames, inspect
from montage_ai.render.sound import sound_key


class Pieces:
    """What lies in the folder ``cache``. ``scratch`` holds the files that filters name."""

    def __init__(self, cache: Path) -> None:
        self.cache, self.scratch = cache, cache / "scratch"
        self._segments, self._sounds = cache / "segments", cache / "sound"
        for folder in (self._segments, self._sounds, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def folders(self) -> tuple[Path, ...]:
        """All whose content can be made again."""
        return (self._segments, self._sounds, self.scratch, self.cache / "results", self.cache / "packs")

    def segment(self, key: str) -> Path:
        return self._segments / f"{key}.mp4"

    def sound(self, timeline: Timeline) -> Path:
        return self._sounds / f"{sound_key(timeline)}.m4a"

    def has_segment(self, segment: Segment) -> bool:
        """Whether it is there and whole; it is then kept for this run. A damaged one is removed."""
        return _kept(self.segment(segment.key), lambda path: count_frames(path) == segment.frames)

    def keep_picture(self, segment: Segment, jpeg: bytes | None) -> None:
        """Keep a picture beside its segment."""
        with publishing(self.segment(segment.key).with_suffix(".jpg"), durable=False) as draft:
            draft.write_bytes(jpeg or b"")

    def picture(self, segment: Segment) -> bytes:
        """A JPEG of a segment that is there: of its first frame, but behind an opening fade."""
        path = self.segment(segment.key).with_suffix(".jpg")
        if not path.exists() or not path.stat().st_size:
            self.keep_picture(segment, inspect(self.segment(segment.key), segment.fade_in)[1])
        return path.read_bytes()

    def has_sound(self, timeline: Timeline) -> bool:
        """The same for the film's sound."""
        return _kept(self.sound(timeline), lambda path: abs(_seconds_of_sound(path) - timeline.duration) < 0.05)


def _kept(path: Path, is_whole: Callable[[Path], bool]) -> bool:
    try:
        os.utime(path)
        if is_whole(path):
            return True
    except (FileNotFoundError, av.error.FFmpegError, IndexError):
        pass
    path.unlink(missing_ok=True)
    return False


def _seconds_of_sound(path: Path) -> float:
    with av.open(f"file:{path.absolute()}") as container:
        stream = container.streams.audio[0]
        return float((stream.duration or 0) * (stream.time_base or 0))
