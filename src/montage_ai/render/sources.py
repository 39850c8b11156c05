"""The files that a film is made of, as they are read: pinned, so that what changes meanwhile is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from montage_ai.edit.timeline import Timeline
from montage_ai.errors import ClipsFailedError, MediaError
from montage_ai.media.files import FileIdentity, is_unchanged
from montage_ai.media.probe import MediaInfo
from montage_ai.media.rebuild import probe_readable, rebuilt

_CHANGED = "changed while the film was made"


@dataclass(frozen=True)
class Sources:
    """The files that a timeline names.

    ``infos`` holds what is read for each clip: the file itself or, where its times are irregular, a copy.
    ``identities`` say that a file is still the one that the timeline means.
    """

    infos: Mapping[Path, MediaInfo]
    identities: Mapping[Path, FileIdentity]
    digests: Mapping[Path, str]

    def check(self, *paths: Path) -> None:
        """Raise ``ClipsFailedError`` where one of the files is not what it was when the film was planned."""
        changed = {
            path: _CHANGED
            for path in paths
            if not is_unchanged(path, self.identities.get(path), self.digests.get(path, ""))
        }
        if changed:
            raise ClipsFailedError.of(changed)


def open_sources(
    timeline: Timeline,
    known: Mapping[Path, MediaInfo] | None = None,
    identities: Mapping[Path, FileIdentity] | None = None,
) -> Sources:
    """Look at the files of ``timeline``.

    Args:
        known: What is known of clips already (see ``ClipFacts.info``).
        identities: Those that files had when their digests were compared; of others the present one counts.

    Raises:
        ClipsFailedError: A clip is gone, has changed, or cannot be read.
    """
    known, identities = known or {}, identities or {}
    infos, found, failed = dict[Path, MediaInfo](), dict[Path, FileIdentity](), dict[Path, str]()
    for clip in {item.clip.path: item.clip for item in timeline.items}.values():
        try:
            present = FileIdentity.of(clip.path)
            if not is_unchanged(clip.path, identities.get(clip.path, present), clip.sha256):
                failed[clip.path] = _CHANGED
                continue
            info = known.get(clip.path)
            if info is None:
                info = probe_readable(clip.path, clip.sha256)
            elif info.rebuilt:
                info = rebuilt(clip.path, clip.sha256).model_copy(update={"shapes": info.shapes})
            infos[clip.path], found[clip.path] = info, present
        except OSError:
            failed[clip.path] = "is not there any more"
        except MediaError as error:
            failed[clip.path] = error.what.rstrip(".")
    if failed:
        raise ClipsFailedError.of(failed)
    if timeline.music is not None:
        found[timeline.music.path] = _identity_of_music(timeline.music.path)
    named = [item.clip for item in timeline.items] + ([timeline.music] if timeline.music else [])
    return Sources(infos, found, {source.path: source.sha256 for source in named})


def _identity_of_music(path: Path) -> FileIdentity:
    found = _identity(path)
    if found is None:
        raise MediaError("is not there any more.", file=path, hint="Put it back, or make the film again.")
    return found


def _identity(path: Path) -> FileIdentity | None:
    try:
        return FileIdentity.of(path)
    except OSError:
        return None
