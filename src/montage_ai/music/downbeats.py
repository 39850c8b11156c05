"""Which beats begin a bar, where the music says so.

Bass drum and bass come in, and chords change, on first beats. A bar of three or four beats is laid over the beats so
that its first beats gather most of that evidence (Viterbi over positions in the bar, which survives an odd bar), and
kept only if the evidence is more than chance.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from montage_ai.music.onsets import OnsetEnvelope
from montage_ai.music.texture import Texture

Values = NDArray[np.float64]

_BAR_LENGTHS = (4, 3)
_ODD_BAR_COST = 6.0  # standard deviations of evidence that it takes to break off a bar
_CLEAR = 4.5  # standard errors by which first beats must differ from the others
_FEWEST_BARS = 3


def find_downbeats(beats: Values, envelope: OnsetEnvelope, texture: Texture) -> Values:
    """Those of ``beats`` (seconds, shape (n,)) that begin a bar; empty where nothing tells them apart."""
    if beats.size < _FEWEST_BARS * min(_BAR_LENGTHS):
        return beats[:0]
    evidence = _evidence(beats, envelope, texture)
    bars = [_first_beats(evidence, length) for length in _BAR_LENGTHS]
    clearness = [_clearness(evidence, first) for first in bars]
    best = int(np.argmax(clearness))
    return beats[bars[best]] if clearness[best] >= _CLEAR else beats[:0]


def _evidence(beats: Values, envelope: OnsetEnvelope, texture: Texture) -> Values:
    """For each beat how much it sounds like the first of a bar, shape (n,), in standard deviations."""
    frames = np.clip(np.rint(envelope.frames(beats)).astype(np.intp), 2, max(2, len(envelope.regions) - 3))
    near = np.max([envelope.regions[frames + k] for k in range(-2, 3)], axis=0).astype(np.float64)
    bass, snare = near[:, 0], near[:, 2]
    parts = 1.0 * _standard(bass) - 0.4 * _standard(snare) + 1.5 * _standard(_chord_changes(beats, texture), least=0.02)
    return np.asarray(parts - parts.mean())


def _chord_changes(beats: Values, texture: Texture) -> Values:
    """One less the cosine of the pitch classes before and after each beat, 0 to 1, shape (n,)."""
    edges = np.concatenate([[2 * beats[0] - beats[1]], beats, [2 * beats[-1] - beats[-2]]])
    margin = 0.2 * float(np.median(np.diff(edges)))
    spans = [texture.chroma_between(a + margin, b) for a, b in pairwise(edges)]
    rows = np.array(spans, dtype=np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return np.asarray(1 - np.sum(rows[1:] * rows[:-1], axis=1))


def _standard(values: Values, least: float = 0.1) -> Values:
    """``values`` with mean 0 and deviation 1; differences below ``least`` are not blown up to that."""
    return np.asarray((values - values.mean()) / max(float(values.std()), least))


def _first_beats(evidence: Values, length: int) -> NDArray[np.intp]:
    """The indices of first beats of bars of ``length`` that gather most evidence."""
    best, came_from = np.zeros(length), []
    best[0] = evidence[0]
    for value in evidence[1:]:
        onward = np.roll(best, 1)  # position k was position k - 1
        broken = best.max() - _ODD_BAR_COST
        origin = np.roll(np.arange(length), 1)
        if broken > onward[0]:
            onward[0], origin[0] = broken, int(np.argmax(best))
        came_from.append(origin)
        onward[0] += value
        best = onward
    position = int(np.argmax(best))
    positions = [position]
    for origin in reversed(came_from):
        position = int(origin[position])
        positions.append(position)
    return np.flatnonzero(np.array(positions[::-1]) == 0)


def _clearness(evidence: Values, first: NDArray[np.intp]) -> float:
    """By how many standard errors the evidence on ``first`` exceeds that on the other beats."""
    others = np.delete(evidence, first)
    if first.size < _FEWEST_BARS or others.size == 0:
        return 0.0
    spread = np.sqrt(0.25 + (evidence[first].var() + others.var()) / 2)
    return float((evidence[first].mean() - others.mean()) / spread * np.sqrt(first.size))
