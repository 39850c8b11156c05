"""One figure of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure, and what it is measured against.

    ``value`` is None where nothing could be measured: ``note`` says why. ``reached`` is None where there is no target,
    or no value. ``reference`` is what the figure is compared with, in words; ``command`` measures it again; ``on`` says
    when and on which machine it was measured.
    """

    name: str
    value: float | None
    target: str = ""
    reference: str = ""
    reached: bool | None = None
    unit: str = ""
    note: str = ""
    command: str = ""
    on: str = ""

    @property
    def shown(self) -> str:
        """The value with its unit, in as many digits as say something."""
        if self.value is None:
            return "-"
        size = abs(self.value)
        number = f"{self.value:,.0f}" if size >= 1000 or size == int(size) else f"{self.value:.3g}"
        return f"{number} {self.unit}".strip()

    @property
    def verdict(self) -> str:
        """``yes`` or ``no``, ``skipped`` without a value, empty without a target."""
        if self.reached is not None:
            return "yes" if self.reached else "no"
        return "skipped" if self.value is None else ""


def at_most(name: str, value: float, limit: float, *, reference: str = "", unit: str = "", note: str = "") -> Row:
    """A figure that must not be larger than ``limit``."""
    return Row(name, value, f"<= {limit:g}", reference, value <= limit, unit, note)


def at_least(name: str, value: float, limit: float, *, reference: str = "", unit: str = "", note: str = "") -> Row:
    """A figure that must not be smaller than ``limit``."""
    return Row(name, value, f">= {limit:.3g}", reference, value >= limit, unit, note)


def none_of(name: str, value: float, *, reference: str = "", unit: str = "", note: str = "") -> Row:
    """A count of faults: there must be none."""
    return Row(name, value, "0", reference, value == 0, unit, note)


def told(name: str, value: float, *, reference: str = "", unit: str = "", note: str = "") -> Row:
    """A figure without a target."""
    return Row(name, value, "", reference, None, unit, note)


def skipped(name: str, why: str) -> Row:
    """A figure that cannot be measured here."""
    return Row(name, None, note=why)
