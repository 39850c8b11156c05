"""What would be done where, and why: the plan for some tasks as a table, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from montage_ai.offload.ledger import Ledger, works_of
from montage_ai.offload.options import LOCAL, Option, lanes
from montage_ai.offload.places import Places
from montage_ai.offload.planner import Ask, plan
from montage_ai.tasks.task import Task, Work


@dataclass(frozen=True)
class Decided:
    """One task: all the ways to do it, why others cannot, and the one that is chosen (None: nobody can)."""

    task: str
    about: str
    options: tuple[Option, ...]
    reasons: Mapping[str, str]
    chosen: Option | None
    end: float
    """Seconds from the beginning of all until its result is there."""


@dataclass(frozen=True)
class Kept:
    """Work that stays on this machine whatever the plan, with its size and the reason."""

    task: str
    about: str
    seconds: float
    reason: str


@dataclass(frozen=True)
class Decision:
    """The plan. ``seconds`` is its length, ``here`` what it would be on this machine alone.

    ``set_ups`` are the seconds that making machines ready takes that are not, once.
    """

    rows: tuple[Decided, ...]
    kept: tuple[Kept, ...]
    seconds: float
    here: float
    set_ups: Mapping[str, float]


def decide(tasks: Sequence[Task], kept: Sequence[Kept], places: Places, ledger: Ledger) -> Decision:
    """Plan ``tasks`` among ``places`` as the scheduler would, if all machines answer and do nothing else."""
    set_ups = {
        one.name: ledger.set_up_seconds(one.name)
        for one in places.executors
        if one.name != LOCAL and not ledger.is_set_up(one.name)
    }
    there = lanes(places.executors)
    asks, reasons = [], []
    for number, task in enumerate(tasks):
        works = works_of(task)
        offers = {one.name: ledger.offers(task, one.name, works) for one in places.executors}
        reasons.append({name: offer for name, offer in offers.items() if isinstance(offer, str)})
        options = [
            replace(option, ready=set_ups.get(one.name, 0.0), link=one.link)
            for one in places.executors
            if not isinstance(offer := offers[one.name], str)
            for option in offer
        ]
        asks.append(Ask(str(number), tuple(options)))
    placed = {one.job: one for one in plan([_allowed(ask, places.only) for ask in asks], there, spare=places.spare)}
    alone = plan([_allowed(ask, LOCAL) for ask in asks], there)
    rows = tuple(
        Decided(
            task.name,
            task.about,
            ask.options,
            reason,
            placed[ask.job].option if ask.job in placed else None,
            placed[ask.job].end if ask.job in placed else 0.0,
        )
        for task, ask, reason in zip(tasks, asks, reasons, strict=True)
    )
    ends, ends_alone = [one.end for one in placed.values()], [one.end for one in alone]
    return Decision(rows, tuple(kept), max(ends, default=0.0), max(ends_alone, default=0.0), set_ups)


def keep_here(task: str, about: str, work: Work, seconds: float, places: Places, ledger: Ledger) -> Kept:
    """Why work whose inputs are ``work.up`` bytes stays here, where it takes ``seconds``."""
    return Kept(task, about, seconds, why_here(work, seconds, places, ledger))


def why_here(work: Work, seconds: float, places: Places, ledger: Ledger) -> str:
    """The reason in words, with the uplink that would be needed even by a machine that computed in no time."""
    gigabytes = (work.up + work.down) / 1e9
    needed = 8e-6 * (work.up + work.down) / max(seconds, 0.1)
    rates = {one.name: ledger.megabits(one.name, "up") for one in places.executors if one.name != LOCAL}
    if not rates:
        return f"its {gigabytes:.2f} GB would have to travel: worth it from {needed:.0f} Mbit/s on"
    name = max(rates, key=lambda executor: rates[executor])
    if needed <= rates[name]:
        travel = 8e-6 * (work.up + work.down) / rates[name]
        return f"it is done where the clips lie; they would travel {travel:.0f} s to {name}"
    return f"its {gigabytes:.2f} GB would have to travel: needs {needed:.0f} Mbit/s, {name} has {rates[name]:.0f}"


def _allowed(ask: Ask, only: str | None) -> Ask:
    chosen = tuple(option for option in ask.options if only is None or option.executor == only)
    return Ask(ask.job, chosen or ask.options)
