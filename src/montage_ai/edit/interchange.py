"""The timeline as OpenTimelineIO, which editors read. Everything that OTIO has no words for is in its metadata."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio as otio
from pydantic import TypeAdapter, ValidationError

from montage_ai.edit.timeline import Item, Source, Timeline, Transition, half_after, half_before
from montage_ai.errors import UserError
from montage_ai.media.files import publishing

KEY = "montage_ai"
_VERSION = 1


def write_otio(timeline: Timeline, path: Path) -> None:
    """Write the film as ``path`` (.otio), which reads back to an equal timeline."""
    with publishing(path) as draft:
        otio.adapters.write_to_file(to_otio(timeline), str(draft), adapter_name="otio_json")


def read_otio(path: Path) -> Timeline:
    """The film written by ``write_otio``. Raises ``UserError`` for a file that is not one."""
    if not path.is_file():
        raise UserError("does not exist.", file=path, hint="Give the .otio file beside a film.")
    try:
        document = otio.adapters.read_from_file(str(path), adapter_name="otio_json")
        return _from_otio(document)
    except (otio.exceptions.OTIOError, KeyError, AttributeError, ValueError) as error:
        reason = _first_line(error)
        hint = "Give a .otio file that montage-ai wrote."
        raise UserError(f"is not a timeline of this program ({reason}).", file=path, hint=hint) from error


def to_otio(timeline: Timeline) -> otio.schema.Timeline:
    """The timeline as an OTIO object: one video track with cuts and transitions, one audio track with the music."""
    document = otio.schema.Timeline(name=f"Montage AI, {timeline.style}")
    head = timeline.model_dump(mode="json", exclude={"items", "transitions", "music"})
    document.metadata[KEY] = {"version": _VERSION, "timeline": head}
    picture = otio.schema.Track("Picture", kind=otio.schema.TrackKind.Video)
    for k, item in enumerate(timeline.items):
        if k and (transition := timeline.transitions[k - 1]):
            picture.append(_transition(transition, timeline.fps))
        picture.append(_clip(item, timeline.fps))
    document.tracks.append(picture)
    if timeline.music:
        document.tracks.append(_music(timeline.music, timeline))
    return document


def _clip(item: Item, fps: Fraction) -> otio.schema.Clip:
    rate = float(fps / item.speed)
    span = otio.opentime.TimeRange(_time(item.start, rate), otio.opentime.RationalTime(item.frames, rate))
    media = otio.schema.ExternalReference(item.clip.path.absolute().as_uri(), _range(item.available, rate))
    metadata = {KEY: item.model_dump(mode="json")}
    return otio.schema.Clip(item.clip.path.name, media, span, metadata=metadata)


def _transition(transition: Transition, fps: Fraction) -> otio.schema.Transition:
    return otio.schema.Transition(
        name=transition.kind,
        transition_type=otio.schema.TransitionTypes.SMPTE_Dissolve
        if transition.kind == "dissolve"
        else "Custom_Transition",
        in_offset=otio.opentime.RationalTime(half_before(transition), float(fps)),
        out_offset=otio.opentime.RationalTime(half_after(transition), float(fps)),
        metadata={KEY: transition.model_dump(mode="json")},
    )


def _music(music: Source, timeline: Timeline) -> otio.schema.Track:
    rate = float(timeline.fps)
    span = otio.opentime.TimeRange(_time(Fraction(0), rate), otio.opentime.RationalTime(timeline.frames, rate))
    clip = otio.schema.Clip(music.path.name, otio.schema.ExternalReference(music.path.absolute().as_uri()), span)
    clip.metadata[KEY] = music.model_dump(mode="json")
    track = otio.schema.Track("Music", kind=otio.schema.TrackKind.Audio)
    track.append(clip)
    return track


def _time(seconds: Fraction, rate: float) -> otio.opentime.RationalTime:
    return otio.opentime.RationalTime(float(seconds) * rate, rate)


def _range(span: tuple[Fraction, Fraction], rate: float) -> otio.opentime.TimeRange:
    return otio.opentime.TimeRange(_time(span[0], rate), _time(span[1] - span[0], rate))


def _from_otio(document: otio.schema.Timeline) -> Timeline:
    head = document.metadata[KEY]
    if head["version"] != _VERSION:
        raise ValueError(f"version {head['version']}, this program reads {_VERSION}")
    items: list[Item] = []
    transitions: list[Transition | None] = []
    for child in document.video_tracks()[0]:
        data = _plain(child.metadata[KEY])
        if isinstance(child, otio.schema.Transition):
            transitions[-1] = Transition.model_validate(data)
        else:
            items.append(Item.model_validate(data))
            transitions.append(None)
    tracks = document.audio_tracks()
    music = Source.model_validate(_plain(tracks[0][0].metadata[KEY])) if tracks else None
    fields = _plain(head["timeline"]) | {"items": items, "transitions": transitions[:-1], "music": music}
    return Timeline.model_validate(fields)


def _plain(metadata: Any) -> dict[str, Any]:
    """OTIO's own containers as plain Python."""
    text = otio.core.serialize_json_to_string(metadata)
    plain: dict[str, Any] = TypeAdapter(dict[str, Any]).validate_json(text)
    return plain


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
    return (str(error).splitlines() or [type(error).__name__])[0]
