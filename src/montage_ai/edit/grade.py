"""Colour of a shot as a few numbers: a look, and what brings neighbours together."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Grade(BaseModel):
    """A colour correction. All at their defaults it changes nothing.

    ``exposure`` is in stops, ``temperature`` and ``tint`` from -1 (blue, green) to 1 (amber, magenta), ``contrast``
    and ``saturation`` factors, ``fade`` lifts black by that share, ``shadows`` and ``highlights`` tint those (red,
    green, blue offsets), ``lut`` is a .cube file applied last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    exposure: float = Field(0.0, ge=-2, le=2)
    temperature: float = Field(0.0, ge=-1, le=1)
    tint: float = Field(0.0, ge=-1, le=1)
    contrast: float = Field(1.0, ge=0.5, le=2)
    saturation: float = Field(1.0, ge=0, le=2)
    fade: float = Field(0.0, ge=0, le=0.3)
    shadows: tuple[float, float, float] = (0.0, 0.0, 0.0)
    highlights: tuple[float, float, float] = (0.0, 0.0, 0.0)
    lut: Path | None = None

    @property
    def neutral(self) -> bool:
        return self == Grade()

    def matched(self, exposure: float, temperature: float, tint: float) -> Grade:
        """This grade with a correction (stops and shifts) in front, rounded so that equal ones stay equal."""
        return self.model_copy(
            update={
                "exposure": round(max(-2.0, min(2.0, self.exposure + exposure)), 2),
                "temperature": round(max(-1.0, min(1.0, self.temperature + temperature)), 2),
                "tint": round(max(-1.0, min(1.0, self.tint + tint)), 2),
            }
        )
