"""Having a model look at clips: what it has not seen yet becomes vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from montage_ai.events import Emit
from montage_ai.footage.clip import Clip
from montage_ai.footage.footage_analyzer import ANALYSIS_VERSION
from montage_ai.footage.found_model import FoundModel
from montage_ai.footage.library import Library
from montage_ai.footage.looking import Shown, have_done, packs
from montage_ai.footage.sampling import SAMPLER_VERSION, sampled
from montage_ai.offload.offloader import Offloader
from montage_ai.tasks.embed import Embed, read_vectors
from montage_ai.tasks.task import Payload
from montage_ai.tasks.weights import Weights

_STAGE = "Understanding the pictures"

_NOTE_VERSION = 1000 * ANALYSIS_VERSION + SAMPLER_VERSION


def embed_clips(
    clips: Sequence[Clip], model: FoundModel, library: Library, offloader: Offloader, folder: Path, emit: Emit
) -> int:
    """Have the model look at what it has not seen of ``clips``; return how many pictures that were.

    Each pack's vectors are kept as soon as they are there. ``folder`` is for the packs.
    """
    pictures = [
        (digest, second)
        for digest, clip in sorted({clip.facts.sha256: clip for clip in clips}.items())
        for second in sampled(clip, library.picture_times(digest))
    ]
    known = library.vectors.rows(model.weights.identity, SAMPLER_VERSION)
    seen = {(digest, float(second)) for digest, rows in known.items() for second in rows.seconds}
    tasks: dict[Embed, list[list[Shown]]] = {}
    for pack, shown in packs(pictures, seen, library, folder):
        task = Embed(pack=pack, count=len(shown), weights=model.weights, effort=model.effort)
        tasks.setdefault(task, []).append(shown)

    def keep(task: Embed, made: Payload, shown: Sequence[Shown]) -> None:
        vectors, weights = read_vectors(made, task.count), model.weights.model_dump_json()
        library.vectors.add(model.weights.identity, model.name, weights, SAMPLER_VERSION, shown, vectors)

    total = have_done(tasks, _STAGE, offloader, keep, emit)
    for clip in clips:
        library.write_note(_note(model.weights.identity), clip.facts.sha256, _NOTE_VERSION, "")
    return total


def forget_broken_vectors(library: Library) -> None:
    """So that what models have seen is seen again where the file is not whole that held it."""
    for identity in library.vectors.broken():
        library.forget_notes(_note(identity))  # first: where this ends in between, they are still broken
        library.vectors.forget(identity)


def is_embedded(digest: str, weights: Weights, library: Library) -> bool:
    """Whether the model has seen all that it is to see of a clip."""
    return library.note(_note(weights.identity), digest, _NOTE_VERSION) is not None


def _note(identity: str) -> str:
    return f"embedded {identity}"
