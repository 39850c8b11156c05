"""Reaching executors: who answers, who is left alone and for how long, who is out, and setting up those that are cold.

A machine that does not answer is left alone for a while, longer each time, so that no job waits for it twice. That is
remembered in the book, across programs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from montage_ai.errors import MontageError, RuntimeLostError, UnreachableError, UnsuitedError
from montage_ai.offload.contracts import Book
from montage_ai.offload.executors.executor import Executor
from montage_ai.offload.place import Condition, Link, Place

W = TypeVar("W")

_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 3600.0


class Reach(Generic[W]):
    """The places of a scheduler, which is told by ``look`` when one of them has changed.

    ``only`` is the executor that was asked for by name: that it is left alone is told.
    """

    def __init__(
        self, executors: Sequence[Executor[W]], book: Book[W], look: Callable[[], None], *, only: str | None
    ) -> None:
        links: defaultdict[str, Link] = defaultdict(Link)
        self.places = {one.name: Place(one, links[one.link or one.name]) for one in executors}
        self._book, self._look, self._only = book, look, only
        self._tasks: TaskGroup | None = None

    def try_all(self, tasks: TaskGroup) -> None:
        """Reach all that are new, or were left alone for long enough."""
        self._tasks = tasks
        for place in self.places.values():
            if place.may_be_tried(anyio.current_time()):
                self._try(place, tasks)

    def lost(self, place: Place, error: MontageError) -> None:
        """An executor did not do its part: it is left alone for a while, or for good where trying again is in vain."""
        if isinstance(error, RuntimeLostError):
            if place.condition is not Condition.CONNECTING:  # that is how it is found out already
                place.condition, place.cold = Condition.NEW, True
        elif not isinstance(error, UnreachableError):
            if place.condition is not Condition.OUT:
                self._book.notice(f"{place.name} is not used any more in this run: {error}")
            place.condition, place.error = Condition.OUT, error
        elif place.condition is not Condition.AWAY:
            place.silences += 1
            pause = min(_FIRST_PAUSE * 2.0 ** min(place.silences - 1, 10), _LONGEST_PAUSE)
            self._book.did_not_answer(place.name, place.silences, pause, error)
            self._book.notice(f"{_named(place, error)} It is left alone for {pause:.0f} s.")
            self._leave_alone(place, pause, error)

    async def set_up(self, place: Place) -> None:
        """Make a cold runtime ready. Raises ``RemoteError``."""
        waited = place.setting_up.locked()
        async with place.setting_up:
            if not place.cold:
                return
            if waited and place.set_up_error is not None:  # the next try would find the same
                raise place.set_up_error
            place.set_up_error = None
            try:
                await self._set_up(place)
            except MontageError as error:
                place.set_up_error = error
                raise

    async def _set_up(self, place: Place) -> None:
        place.set_up_since = began = anyio.current_time()
        self._book.notice(f"{place.name} is being set up, which takes a while, once.", warning=False)
        try:
            await place.executor.set_up()
        except UnsuitedError as error:
            self.lost(place, error)  # the next job would find the same
            raise
        finally:
            place.set_up_since = None
        place.look_again()
        self._book.was_set_up(place.name, anyio.current_time() - began)
        place.cold = False

    def _try(self, place: Place, tasks: TaskGroup) -> None:
        if place.condition is Condition.NEW:
            place.silences, pause = self._book.pause(place.name)
            if pause > 0:
                lately = f"{place.name} did not answer lately, and is left alone for {pause:.0f} s."
                if self._only == place.name:
                    self._book.notice(lately)
                self._leave_alone(place, pause, UnreachableError(lately))
                return
        place.condition = Condition.CONNECTING
        tasks.start_soon(self._connect, place)

    async def _connect(self, place: Place) -> None:
        try:
            place.cold = await place.executor.connect()
        except Exception as error:  # noqa: BLE001  (one machine's fault, which must not end the others)
            told = error if isinstance(error, MontageError) else UnreachableError(f"{type(error).__name__}: {error}")
            self.lost(place, told)
        else:
            place.condition, place.silences, place.error = Condition.READY, 0, None
            place.look_again()  # a cluster's nodes are known only now
            self._book.answered(place.name)
        self._look()

    def _leave_alone(self, place: Place, pause: float, error: MontageError) -> None:
        place.condition, place.error, place.retry_at = Condition.AWAY, error, anyio.current_time() + pause
        assert self._tasks is not None
        self._tasks.start_soon(self._look_later, pause)

    async def _look_later(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        self._look()


def _named(place: Place, error: MontageError) -> str:
    """An error as a sentence that names the executor: transports know addresses only."""
    text = str(error)
    return text if place.name in text else f"{place.name}: {text}"
