"""How long every stage took: kept on the way from the work to the caller's ``Emit``."""

from __future__ import annotations

from dataclasses import dataclass, field

from montage_ai.events import Emit, Event, Notice, StageDone


@dataclass
class Stages:
    """Passes events on and remembers the ends of stages, and the warnings."""

    emit: Emit
    done: list[StageDone] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageDone):
            self.done.append(event)
        elif isinstance(event, Notice):
            self.notices.append(event)
        self.emit(event)
