"""The timeline as OpenTimelineIO, which editors read. Everything that OTIO has no words for is in its metadata.

The metadata are JSON in a string: OTIO's own numbers lose a last digit. A clip's range counts in the clip's own frames
where it begins, and in the film's frames how long it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import opentimelineio as otio

from montage_ai.edit.timeline import ClipSource, Item, Source, Timeline, Transition, half_after, half_before
from montage_ai.media.files import publishing

KEY = "montage_ai"
VERSION = 1


def write_otio(timeline: Timeline, path: Path, on_written: Callable[[Path], None] = lambda _: None) -> None:
    """Write the film as ``path`` (.otio), which ``conform.read_otio`` reads back to an equal timeline.

    ``on_written`` is called with the complete file just before it gets its name.
    """
    with publishing(path) as draft:
        otio.adapters.write_to_file(to_otio(timeline), str(draft), adapter_name="otio_json")
        on_written(draft)


def to_otio(timeline: Timeline) -> otio.schema.Timeline:
    """The timeline as an OTIO object: one video track with cuts and transitions, one audio track with the music."""
    document = otio.schema.Timeline(name=f"Montage AI, {timeline.style}")
    head = timeline.model_dump(mode="json", exclude={"items", "transitions", "music"})
    document.metadata[KEY] = json.dumps({"version": VERSION, "timeline": head})
    picture = otio.schema.Track("Picture", kind=otio.schema.TrackKind.Video)
    for k, item in enumerate(timeline.items):
        if k and (transition := timeline.transitions[k - 1]):
            picture.append(_transition(transition, timeline.fps))
        picture.append(_clip(item, timeline.fps))
    document.tracks.append(picture)
    if timeline.music:
        document.tracks.append(_music(timeline.music, timeline))
    return document


def clip_range(item: Item, fps: Fraction) -> otio.opentime.TimeRange:
    """Where an item begins in its clip, and how long it is in the film."""
    rate = item.clip.rate or fps
    return otio.opentime.TimeRange(_time(item.start, rate), _frames(item.frames, fps))


def _clip(item: Item, fps: Fraction) -> otio.schema.Clip:
    reference = otio.schema.ExternalReference(item.clip.path.absolute().as_uri(), _whole(item.clip))
    effects = [] if item.speed == 1 else [otio.schema.LinearTimeWarp(time_scalar=float(item.speed))]
    metadata = {KEY: item.model_dump_json()}
    name = item.clip.path.name
    return otio.schema.Clip(name, reference, clip_range(item, fps), metadata=metadata, effects=effects)


def _whole(clip: ClipSource) -> otio.opentime.TimeRange | None:
    """All of a clip; a photo has no length."""
    if clip.rate is None or clip.seconds is None:
        return None
    return otio.opentime.TimeRange(_time(Fraction(0), clip.rate), _time(clip.seconds, clip.rate))


def _transition(transition: Transition, fps: Fraction) -> otio.schema.Transition:
    dissolve = transition.kind == "dissolve"
    return otio.schema.Transition(
        name=transition.kind,
        transition_type=otio.schema.TransitionTypes.SMPTE_Dissolve if dissolve else "Custom_Transition",
        in_offset=_frames(half_before(transition), fps),
        out_offset=_frames(half_after(transition), fps),
        metadata={KEY: transition.model_dump_json()},
    )


def _music(music: Source, timeline: Timeline) -> otio.schema.Track:
    span = otio.opentime.TimeRange(_frames(0, timeline.fps), _frames(timeline.frames, timeline.fps))
    reference = otio.schema.ExternalReference(music.path.absolute().as_uri())
    clip = otio.schema.Clip(music.path.name, reference, span, metadata={KEY: music.model_dump_json()})
    track = otio.schema.Track("Music", kind=otio.schema.TrackKind.Audio)
    track.append(clip)
    return track


def _time(seconds: Fraction, rate: Fraction) -> otio.opentime.RationalTime:
    return otio.opentime.RationalTime(float(seconds * rate), float(rate))


def _frames(count: int, rate: Fraction) -> otio.opentime.RationalTime:
    return otio.opentime.RationalTime(count, float(rate))
