"""What of films can be used again: segments, their pictures, sound, lookup tables, each verified before it is."""

from __future__ import annotations

from pathlib import Path

from montage_ai.edit.grade import Grade
from montage_ai.edit.timeline import Timeline
from montage_ai.media.sealed import SealedFiles
from montage_ai.render.colour import cube_digest, cube_of
from montage_ai.render.segments import Segment, inspect
from montage_ai.render.sound import sound_key


class RenderCache:
    """What is kept in ``folder``; each entry is known by a digest of all that it depends on.

    ``scratch`` holds the files that filters name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.scratch = folder, folder / "scratch"
        self.segments, self.sounds = SealedFiles(folder / "segments"), SealedFiles(folder / "sound")
        self._tables = SealedFiles(self.scratch)

    @property
    def folders(self) -> tuple[Path, ...]:
        """All whose content can be made again."""
        others = (self.folder / name for name in ("results", "packs", "rebuilt"))
        return (self.segments.folder, self.sounds.folder, self.scratch, *others)

    def segment(self, segment: Segment) -> Path | None:
        """A segment that was rendered before."""
        return self.segments.find(f"{segment.key}.mp4")

    def picture(self, segment: Segment) -> bytes:
        """A JPEG of a segment that is there: of its first frame, but behind an opening fade."""
        name = f"{segment.key}.jpg"
        if (path := self.segments.find(name)) is None:
            self.keep_picture(segment, inspect(self.segments.path(f"{segment.key}.mp4"), segment.fade_in)[1])
            path = self.segments.path(name)
        return path.read_bytes()

    def keep_picture(self, segment: Segment, jpeg: bytes | None) -> None:
        """Keep a picture beside its segment."""
        with self.segments.writing(f"{segment.key}.jpg") as draft:
            draft.write_bytes(jpeg or b"")

    def sound(self, timeline: Timeline) -> Path | None:
        """The film's sound, mixed before."""
        return self.sounds.find(self.sound_name(timeline))

    @staticmethod
    def sound_name(timeline: Timeline) -> str:
        return f"{sound_key(timeline)}.m4a"

    def lookup_table(self, grade: Grade) -> Path:
        """The .cube file of ``grade``, which is written if it is not there."""
        name = f"{cube_digest(grade)[:20]}.cube"
        if (found := self._tables.find(name)) is not None:
            return found
        with self._tables.writing(name) as draft:
            draft.write_text(cube_of(grade), encoding="ascii", newline="\n")
        return self._tables.path(name)
