"""Whether a second attempt at a job, on a machine that is idle, is worth it."""

from __future__ import annotations

from collections.abc import Sequence

from montage_ai.offload.flow import Lanes, Operation, flow
from montage_ai.offload.options import Option

_WORTH = 1.25  # it must promise to end sooner by this factor ...
_MARGIN = 1.0  # ... and these seconds, and may delay others by no more


def second_attempt(
    options: Sequence[Option], job: int, begun: Sequence[Sequence[Operation]], lanes: Lanes
) -> Option | None:
    """The option with which a job would end soonest, so much sooner that it is worth it; None where there is none.

    Args:
        options: The ways to do the job on machines that are idle.
        job: The place in ``begun`` of the attempt that is under way.
        begun: What is left of all attempts that have begun.
        lanes: What they flow through.
    """
    if not options:
        return None
    before = flow(begun, lanes).ends
    found: list[tuple[float, int]] = []
    for number, option in enumerate(options):
        *after, end = flow([*begun, option.at_best().operations()], lanes).ends
        delays = (late - now for index, (late, now) in enumerate(zip(after, before, strict=True)) if index != job)
        if _WORTH * end + _MARGIN < before[job] and max(delays, default=0.0) <= _MARGIN:
            found.append((end, number))
    return options[min(found)[1]] if found else None
