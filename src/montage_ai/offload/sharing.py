"""How fast jobs compute beside each other on one machine."""

from __future__ import annotations

import math


class ProcessorSharing:
    """Work that shares a machine's processors.

    As long as all that runs keeps no more processors busy than there are, each piece has its full pace; beyond that
    all slow down alike. (Processor sharing: Kleinrock, "Time-shared systems: a theoretical treatment", 1967.) Since the
    pace is the same for all, one clock tells how far each has come.
    """

    def __init__(self, processors: float = math.inf) -> None:
        self.processors = processors
        self._load = 0.0
        self._since = 0.0
        self._worked = 0.0

    @property
    def pace(self) -> float:
        """Seconds of work that are done in a second, by each piece that runs."""
        return min(1.0, self.processors / self._load) if self._load > 0 else 1.0

    def resize(self, processors: float, now: float) -> None:
        """From ``now`` on there are so many processors."""
        self.add(0.0, now)
        self.processors = processors

    def add(self, load: float, now: float) -> None:
        """From ``now`` on something runs that keeps ``load`` processors busy if it is alone; less than 0: it ended."""
        self._worked, self._since = self.worked(now), now
        self._load = max(self._load + load, 0.0)

    def worked(self, now: float) -> float:
        """The seconds of work that a piece has behind it, if it has run all the time."""
        return self._worked + self.pace * (now - self._since)
