"""The beat grid: what an edit needs to know about a piece of music, as data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SectionLabel = Literal["intro", "low", "build", "high", "outro"]
"""``intro`` and ``outro`` are quieter parts at the ends; ``build`` rises into a ``high`` part."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Section(_Model):
    """A part of the music, in seconds; ``energy`` is its mean, 0 to 1 of the piece's own range."""

    start: float = Field(ge=0)
    end: float
    energy: float = Field(ge=0, le=1)
    label: SectionLabel


class BeatGrid(_Model):
    """Beats, downbeats, tempo, sections and energy of a music track. All times are in seconds from its first sample."""

    duration: float = Field(ge=0)
    tempo: float | None
    """Beats a minute; None where no pulse was found, which is never papered over by a made-up tempo."""
    beats: tuple[float, ...]
    """Increasing: the beats or, without a pulse, the points to cut at (see ``source``)."""
    downbeats: tuple[float, ...] = ()
    """Those of ``beats`` that begin a bar; empty where the music does not tell."""
    onsets: tuple[float, ...] = ()
    """Where notes clearly begin, on the beat or off it."""
    sections: tuple[Section, ...] = ()
    """Without gap from 0 to ``duration``."""
    energy: tuple[float, ...] = ()
    """Loudness from 0 to 1 of the piece's own range, ``energy_rate`` values a second from 0 on."""
    energy_rate: float = Field(default=10.0, gt=0)
    confidence: float = Field(ge=0, le=1)
    """How sure the pulse is: about 1 for a metronome, below 0.15 for speech and noise."""
    source: Literal["beats", "onsets", "even"]
    """What ``beats`` are: musical beats, onsets of music without a pulse, or even steps where nothing can be heard."""
    reason: str = ""
    """One sentence for the user: what was found, and why it is not beats where it is not."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(b <= a for a, b in zip(self.beats, self.beats[1:], strict=False)):
            raise ValueError("beats must increase")
        if (self.tempo is None) == (self.source == "beats"):
            raise ValueError("there is a tempo if, and only if, there are musical beats")
        return self

    def energy_at(self, time: float) -> float:
        """Energy at ``time`` seconds, between the curve's values in a straight line; held beyond both ends."""
        if not self.energy:
            return 0.0
        position = min(max(time * self.energy_rate, 0.0), len(self.energy) - 1.0)
        below = min(int(position), len(self.energy) - 1)
        above = min(below + 1, len(self.energy) - 1)
        return self.energy[below] + (position - below) * (self.energy[above] - self.energy[below])

    def energy_between(self, start: float, end: float) -> float:
        """Mean energy from ``start`` to ``end`` seconds; of nothing, the energy there."""
        first, last = int(start * self.energy_rate + 0.999999), int(end * self.energy_rate)
        inside = self.energy[max(0, first) : max(0, last + 1)]
        return sum(inside) / len(inside) if inside else self.energy_at((start + end) / 2)
