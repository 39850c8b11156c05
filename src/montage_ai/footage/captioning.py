"""Having a model describe clips: a caption of every shot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from montage_ai.events import Emit
from montage_ai.footage.clip import Clip, frames_of
from montage_ai.footage.footage_analyzer import ANALYSIS_VERSION
from montage_ai.footage.found_model import FoundModel
from montage_ai.footage.library import Library
from montage_ai.footage.looking import Shown, have_done, packs
from montage_ai.footage.quality import judge
from montage_ai.footage.texts import Text
from montage_ai.offload.offloader import Offloader
from montage_ai.tasks.caption import Caption, read_captions
from montage_ai.tasks.task import Payload
from montage_ai.tasks.weights import Weights

CAPTION = "caption"
"""The kind of such texts in the library."""

_STAGE = "Describing the shots"
_NOTE = "captioned"  # by whom: captions of one model take the place of those of another


def caption_clips(
    clips: Sequence[Clip], model: FoundModel, library: Library, offloader: Offloader, folder: Path, emit: Emit
) -> int:
    """Have the model describe what it has not described yet of ``clips``; return how many pictures that were.

    Each pack's captions are kept as soon as they are there. ``folder`` is for the packs.
    """
    spans: dict[Shown, tuple[float, float]] = {}
    seen, maker = set[Shown](), _maker(model.weights)
    for digest, clip in sorted({clip.facts.sha256: clip for clip in clips}.items()):
        described = {text.start for text in library.texts.of(digest, CAPTION, maker)}
        for second, span in _pictures_of_shots(clip, library.picture_times(digest)):
            spans[digest, second] = span
            if span[0] in described:
                seen.add((digest, second))
    tasks: dict[Caption, list[list[Shown]]] = {}
    for pack, shown in packs(list(spans), seen, library, folder):
        task = Caption(pack=pack, count=len(shown), weights=model.weights, effort=model.effort)
        tasks.setdefault(task, []).append(shown)

    def keep(task: Caption, made: Payload, shown: Sequence[Shown]) -> None:
        texts: dict[str, list[Text]] = {}
        for picture, caption in zip(shown, read_captions(made, task.count), strict=True):
            texts.setdefault(picture[0], []).append(Text(*spans[picture], caption))
        for digest, some in texts.items():
            # Those of another model go now: also where it ends here, it has not described the clip any more.
            library.write_note(_NOTE, digest, ANALYSIS_VERSION, "")
            library.texts.add(digest, CAPTION, maker, some)

    total = have_done(tasks, _STAGE, offloader, keep, emit)
    for clip in clips:
        library.write_note(_NOTE, clip.facts.sha256, ANALYSIS_VERSION, model.weights.identity)
    return total


def is_captioned(digest: str, weights: Weights, library: Library) -> bool:
    """Whether the model has described all shots of a clip."""
    return library.note(_NOTE, digest, ANALYSIS_VERSION) == weights.identity


def _pictures_of_shots(clip: Clip, times: Sequence[float]) -> Iterator[tuple[float, tuple[float, float]]]:
    """Of each shot the second of the picture that is best to look at, and from where to where the shot goes."""
    quality, frames = judge(clip).quality, frames_of(clip, np.asarray(times, np.float64))
    for shot in clip.facts.shots:
        inside = np.flatnonzero((frames >= shot.first) & (frames < shot.end))
        if len(inside):
            best = inside[int(np.argmax(quality[frames[inside]]))]
            yield times[best], clip.seconds(shot.first, shot.end)


def _maker(weights: Weights) -> str:
    """Captions are of shots: other shots, other captions."""
    return f"{weights.identity} {ANALYSIS_VERSION}"
