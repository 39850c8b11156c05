"""Reading a timeline back from OpenTimelineIO, as it was written or as an editor has changed it.

Where a clip's range is the one that was written, the exact values of our metadata count. A range that was trimmed or
slipped, an order that was changed, a transition or a clip that was removed or added, a medium that was replaced: the
edit counts. What cannot be rendered (gaps, changed speeds, several tracks, edited sound) is refused.
"""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import opentimelineio as otio
from pydantic import ValidationError

from montage_ai.edit.interchange import KEY, VERSION, clip_range
from montage_ai.edit.timeline import ClipSource, Item, Source, Timeline, Transition
from montage_ai.errors import MediaError, UserError
from montage_ai.media.files import digest_of
from montage_ai.media.probe import PHOTO_SUFFIXES

_SAME = 1e-6  # seconds


def read_otio(path: Path) -> Timeline:
    """The film in an .otio file that ``interchange.write_otio`` wrote, with what has been edited since.

    Raises ``UserError`` for a file that is not one, or holds an edit that cannot be rendered.
    """
    if not path.is_file():
        raise UserError("does not exist.", file=path, hint="Give the .otio file beside a film.")
    try:
        _check_depth(path.read_text(encoding="utf-8"))
        return _timeline(otio.adapters.read_from_file(str(path), adapter_name="otio_json"), path.absolute().parent)
    except _CannotRenderError as error:
        hint = "Change it in the editor that made it, and save it again."
        raise UserError(f"cannot be rendered: {error}.", file=path, hint=hint) from error
    except _UNREADABLE as error:
        hint = "Give a .otio file that montage-ai wrote."
        raise UserError(f"is not a timeline of this program ({_first_line(error)}).", file=path, hint=hint) from error


_UNREADABLE = (
    *(otio.exceptions.OTIOError, KeyError, IndexError, AttributeError, ValueError, TypeError),
    *(ArithmeticError, OSError, RecursionError),
)
_DEEPEST = 100


def _check_depth(text: str) -> None:
    """Raise ``ValueError`` for JSON that is nested deeper than any timeline: OpenTimelineIO dies of it."""
    depth, inside = 0, False
    for piece in re.finditer(r'\\.|["\[\]{}]', text):
        if piece[0] == '"':
            inside = not inside
        elif not inside and piece[0] in "[{":
            depth += 1
            if depth > _DEEPEST:
                raise ValueError("it is nested too deep")
        elif not inside and piece[0] in "]}":
            depth -= 1


class _CannotRenderError(Exception):
    """An edit that this program has no picture for."""


def _timeline(document: otio.schema.Timeline, folder: Path) -> Timeline:
    """The film in ``document``, whose relative addresses count from ``folder``."""
    head = json.loads(document.metadata[KEY])
    if head["version"] != VERSION:
        raise ValueError(f"version {head['version']}, this program reads {VERSION}")
    fps = Fraction(head["timeline"]["fps"])
    tracks = [track for track in document.video_tracks() if track.enabled and len(track)]
    if len(tracks) != 1:
        raise _CannotRenderError(f"it has {len(tracks)} video tracks with clips, and one is needed")
    items: list[Item] = []
    transitions: list[Transition | None] = []
    for child in tracks[0]:
        if isinstance(child, otio.schema.Transition):
            if not items:
                raise _CannotRenderError("it begins with a transition")
            transitions[-1] = _transition(child, fps)
        else:
            items.append(_item(child, fps, folder))
            transitions.append(None)
    fields = head["timeline"] | {"items": items, "transitions": transitions[:-1], "music": _music(document, folder)}
    return Timeline.model_validate(fields)


def _item(child: otio.core.Item, fps: Fraction, folder: Path) -> Item:
    if not isinstance(child, otio.schema.Clip):
        where = child.range_in_parent().start_time.to_seconds()
        raise _CannotRenderError(f"there is a {type(child).__name__.lower()} at {where:.2f} s, where a clip is needed")
    ours = Item.model_validate_json(child.metadata[KEY]) if KEY in child.metadata else None
    if not child.enabled:
        raise _CannotRenderError(f"{child.name} is switched off, which would leave a gap")
    if _speed(child) != (float(ours.speed) if ours else 1.0):
        raise _CannotRenderError(f"the speed of {child.name} was changed")
    path = _path(child, folder)
    span = child.trimmed_range()
    if ours is not None and path == ours.clip.path.absolute():
        clip = ours.clip
    else:
        clip = ClipSource(path=path, sha256=_digest(path), kind="photo" if _is_photo(path) else "video")
    if ours is not None and _equal(span, clip_range(ours, fps)):
        return ours.model_copy(update={"clip": clip})
    return _edited(ours, clip, span, fps)


def _edited(ours: Item | None, clip: ClipSource, span: otio.opentime.TimeRange, fps: Fraction) -> Item:
    """An item of the range that the editor has left."""
    start = _seconds(span.start_time) if clip.kind == "video" else Fraction(0)
    frames = round(_seconds(span.duration) * fps)
    if frames < 1:
        raise _CannotRenderError(f"{clip.path.name} is shorter than a frame")
    end = start + frames * (ours.speed if ours else 1) / fps
    if start < 0 or (clip.seconds is not None and end > clip.seconds + 1 / fps):
        shown = f"{float(start):.2f} to {float(end):.2f} s"
        raise _CannotRenderError(f"{clip.path.name} is shown from {shown}, and it is not as long")
    fields = {"clip": clip, "start": start, "frames": frames}
    return ours.model_copy(update=fields) if ours else Item.model_validate(fields)


def _transition(child: otio.schema.Transition, fps: Fraction) -> Transition | None:
    frames = round((_seconds(child.in_offset) + _seconds(child.out_offset)) * fps)
    if frames < 2:
        return None
    if KEY in child.metadata:
        return Transition.model_validate_json(child.metadata[KEY]).model_copy(update={"frames": frames})
    if child.transition_type != otio.schema.TransitionTypes.SMPTE_Dissolve:
        raise _CannotRenderError(f"the transition {child.name or child.transition_type!r} is not known here")
    return Transition(kind="dissolve", frames=frames)


def _music(document: otio.schema.Timeline, folder: Path) -> Source | None:
    """The first clip of the first audio track: it plays from its beginning."""
    tracks = [track for track in document.audio_tracks() if track.enabled and len(track)]
    if not tracks:
        return None
    clip = tracks[0][0]
    if len(tracks) > 1 or len(tracks[0]) > 1 or abs(clip.trimmed_range().start_time.to_seconds()) > _SAME:
        raise _CannotRenderError("its sound was edited: one piece of music from its beginning is needed")
    path = _path(clip, folder)
    ours = Source.model_validate_json(clip.metadata[KEY]) if KEY in clip.metadata else None
    return ours if ours and path == ours.path.absolute() else Source(path=path, sha256=_digest(path))


def _path(clip: otio.schema.Clip, folder: Path) -> Path:
    reference = clip.media_reference
    if not isinstance(reference, otio.schema.ExternalReference):
        raise _CannotRenderError(f"the medium of {clip.name!r} is missing")
    parts = urlsplit(reference.target_url)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path)).absolute()
    if len(parts.scheme) > 1:  # one letter is a drive
        raise _CannotRenderError(f"{reference.target_url} is not a file")
    return (folder / unquote(reference.target_url)).absolute()


def _speed(clip: otio.schema.Clip) -> float:
    """The product of its time effects; other effects change no time, and are not rendered."""
    return math.prod(float(effect.time_scalar) for effect in clip.effects if hasattr(effect, "time_scalar"))


def _digest(path: Path) -> str:
    if not path.is_file():
        raise MediaError("is not there.", file=path, hint="Put it back, or link its clip again.")
    return digest_of(path)


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTO_SUFFIXES


def _equal(a: otio.opentime.TimeRange, b: otio.opentime.TimeRange) -> bool:
    pairs = ((a.start_time, b.start_time), (a.duration, b.duration))
    return all(abs(one.to_seconds() - other.to_seconds()) < _SAME for one, other in pairs)


def _seconds(time: otio.opentime.RationalTime) -> Fraction:
    """Exactly: rates are written as floats, and mean 30000/1001 and its like."""
    return Fraction(time.value).limit_denominator(10_000) / Fraction(time.rate).limit_denominator(1001)


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
    return (str(error).splitlines() or [type(error).__name__])[0]
