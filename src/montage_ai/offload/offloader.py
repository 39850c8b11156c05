"""Tasks in, results out: looked up in the cache, or done as jobs wherever they end soonest.

    with Offloader() as offloader:
        job = offloader.submit(task)
        print(job.result().files)

The work happens in a thread of its own, with asyncio in it, that begins with the first task that is not known yet.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from montage_ai import config
from montage_ai.errors import DiskFullError, GivenUpError, MontageError
from montage_ai.events import Emit, ignore
from montage_ai.media.ffmpeg import ffmpeg_version
from montage_ai.offload.attempted import Attempted, remove_abandoned
from montage_ai.offload.cache import ResultCache, in_use
from montage_ai.offload.executors.executor import Executor
from montage_ai.offload.job import Job
from montage_ai.offload.ledger import Ledger
from montage_ai.offload.places import Mode, open_executors
from montage_ai.offload.run import Run
from montage_ai.offload.scheduler import Scheduler
from montage_ai.offload.states import Progress, State
from montage_ai.offload.store import JobRow, Store
from montage_ai.offload.workshop import Workshop
from montage_ai.processes import born
from montage_ai.tasks.task import Payload, Task, Variant

OnProgress = Callable[[Job], None]

MEASURED = "measured"
"""How the keys of jobs begin that only measure."""

_KEPT_SECONDS = 86_400
_WISHES = 0.5  # seconds between two looks at what other programs wish


class Offloader:
    """Does tasks; used as a context manager. Safe to use from several threads and by several programs.

    ``mode`` is "never" (this machine alone), "auto" (all executors that are enabled), an executor's name, or None:
    "auto" where something is enabled. ``executors`` takes the place of those that the user has configured.
    ``emit`` is told what the user should know, maybe from another thread.
    """

    def __init__(
        self,
        mode: Mode = None,
        *,
        data: Path | None = None,
        cache: Path | None = None,
        executors: Sequence[Executor[Attempted]] | None = None,
        store: Store | None = None,
        emit: Emit = ignore,
    ) -> None:
        folder = data or config.data_dir()
        self._jobs_folder = folder / "jobs"
        self.store = store or Store(folder)
        self.ledger = Ledger(self.store, self._jobs_folder, self._key, emit)
        self._cache_folder = cache or config.cache_dir()
        self._cache = ResultCache(self._cache_folder / "results")
        self._places = open_executors(mode, self.store, self.ledger, executors)
        # A job that ends takes ``_guard`` in the working thread; whoever asks holds ``_asking``, and may wait for that.
        self._guard, self._asking = threading.Lock(), threading.Lock()
        self._jobs: dict[str, Job] = {}  # by key, while they are under way
        self._stack = contextlib.ExitStack()
        self._portal: BlockingPortal | None = None
        self._scheduler: Scheduler[Attempted] | None = None
        self._fault: BaseException | None = None

    def __enter__(self) -> Offloader:
        self._stack.enter_context(in_use(self._cache_folder))
        self._sweep()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for job in self._under_way():
            self.store.release(job.id)
            job.settle(GivenUpError("The program ended before the job.", hint="The same command carries on."))
        self.store.close()

    def known(self, task: Task) -> Payload | None:
        """The task's outputs, if they were made before."""
        keys = {self._key(task, variant): None for variant in task.variants()}
        return next((found for key in keys if (found := self._cache.find(key)) is not None), None)

    def submit(self, task: Task, on_progress: OnProgress = lambda _: None) -> Job:
        """Have a task done, unless its outputs are known.

        A job that a program left unfinished when it ended is taken up again; whoever asks for what is being made here
        gets the same job. ``on_progress`` is called, maybe from another thread, whenever something changes.
        """
        key = self._key(task, task.variants()[0])
        with self._asking:
            with self._guard:
                under_way = self._jobs.get(key)
            if under_way is not None:
                under_way.add_done_callback(on_progress)
                return under_way
            if (known := self.known(task)) is not None:
                self._record_as_done(key)
                return _done(task, known, on_progress)
            return self._begin(task, self.store.claim(key) or self._record(task, key), on_progress)

    def measure(self, task: Task, executor: str, variant: str, on_progress: OnProgress = lambda _: None) -> Job:
        """Have a task done at one executor, in one variant, whether its outputs are known or not."""
        with self._asking:
            row = self._record(task, f"{MEASURED} {uuid.uuid4()}")
            return self._begin(task, row, on_progress, pinned=(executor, variant))

    def resume(self, row: JobRow, task: Task, on_progress: OnProgress = lambda _: None) -> Job:
        """Do a recorded job of this program's (see ``Store.claim_job``) again, or to its end."""
        with self._asking:
            if (known := self.known(task)) is not None:
                self.store.move(row.id, State.DONE)
                return _done(task, known, on_progress, row.id)
            return self._begin(task, row, on_progress)

    def map(self, tasks: Sequence[Task], on_progress: OnProgress = lambda _: None) -> Iterator[tuple[Task, Payload]]:
        """Have tasks done; yield each with its outputs as they end. The first error is raised, and ends the rest."""
        outcomes = self.map_all(tasks, on_progress)
        for task, outcome in outcomes:
            if isinstance(outcome, MontageError):
                outcomes.throw(outcome)
            else:
                yield task, outcome

    def map_all(
        self, tasks: Sequence[Task], on_progress: OnProgress = lambda _: None
    ) -> Generator[tuple[Task, Payload | MontageError]]:
        """Have tasks done; yield each as it ends, with its outputs or with the error that its work ended in.

        What concerns all of them is raised, and ends the rest: a full disk, or that a job was given up.
        """
        jobs, several = list[Job](), dict[int, list[Job]]()
        for task in tasks:
            try:
                jobs.append(self.submit(task, on_progress))
            except MontageError as error:
                yield task, error
        waiting = {job.future: job for job in jobs}
        for job in jobs:
            several.setdefault(id(job.future), []).append(job)
        try:
            while waiting:
                ended, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in sorted(ended, key=lambda future: future.exception() is not None):
                    job = waiting.pop(future)
                    for one in several[id(future)]:
                        yield one.task, _outputs_or_error(job)
        except Exception:  # not Ctrl-C: then they are left, to be taken up again
            for job in waiting.values():
                job.cancel()
            raise

    # Inside

    def _record_as_done(self, key: str) -> None:
        """A program that was killed after it had made the result could not say so any more."""
        while (left := self.store.claim(key)) is not None:
            self.store.move(left.id, State.DONE)

    def _begin(self, task: Task, row: JobRow, on_progress: OnProgress, pinned: tuple[str, str] | None = None) -> Job:
        try:
            self.ledger.size(row.id, task)
        except MontageError as error:
            self.store.move(row.id, State.FAILED, str(error))
            raise
        job = Job(row.id, task)
        portal, scheduler = self._started()

        def changed(run: Run, progress: Progress) -> None:
            """Called by the scheduler, which what the caller's function raises must not reach."""
            job.progress = progress
            if run.has_ended:
                with self._guard:
                    self._jobs.pop(row.key, None)
                job.settle(_outcome(run))
            else:
                self.ledger.advanced(run.id, progress.fraction)
            try:
                on_progress(job)
            except Exception as error:  # noqa: BLE001  (raised by ``result``)
                job.settle(error)
                scheduler.cancel(run.id)

        with self._guard:
            self._jobs[row.key] = job
        job.on_cancel = lambda: portal.call(scheduler.cancel, row.id)
        run = Run(row.id, task, changed, pinned=pinned)

        def submit() -> None:
            run.earlier = dict(self.ledger.earlier(row.id, task, anyio.current_time()))
            scheduler.submit(run)

        portal.call(submit)
        if self._fault is not None:
            job.settle(self._fault)
        return job

    def _under_way(self) -> list[Job]:
        with self._guard:
            return list(self._jobs.values())

    def _started(self) -> tuple[BlockingPortal, Scheduler[Attempted]]:
        """The thread that works, which begins now if it has not."""
        if self._portal is None:
            # Another thread starts it: Ctrl-C, which comes to the main one, must not fall between two of the steps.
            starter = threading.Thread(target=self._start, name="offloader")
            starter.start()
            try:
                starter.join()
            except BaseException:
                starter.join()
                raise
        assert self._portal is not None
        assert self._scheduler is not None
        return self._portal, self._scheduler

    def _start(self) -> None:
        portal = self._stack.enter_context(start_blocking_portal("asyncio"))
        scheduler = portal.call(self._make_scheduler)
        serving = portal.start_task_soon(self._serve, scheduler)
        serving.add_done_callback(self._give_up)
        self._stack.callback(serving.cancel)
        self._portal, self._scheduler = portal, scheduler

    def _give_up(self, serving: Future[None]) -> None:
        """Should the scheduler end by itself (no more can be recorded, or a fault), nobody waits for ever."""
        if not serving.cancelled() and (error := serving.exception()) is not None:
            self._fault = _root(error)
            for job in self._under_way():
                job.settle(self._fault)

    def _make_scheduler(self) -> Scheduler[Attempted]:
        places = self._places
        return Scheduler(places.executors, Workshop(self._cache), self.ledger, only=places.only, spare=places.spare)

    async def _serve(self, scheduler: Scheduler[Attempted]) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._heed_wishes, scheduler)
            await scheduler.serve()

    async def _heed_wishes(self, scheduler: Scheduler[Attempted]) -> None:
        """Do what other programs ask for jobs of this one: to pause, to go on, to be given up."""
        while True:
            await anyio.sleep(_WISHES)
            for job, wish in self.store.wishes().items():
                if wish == "cancel":
                    scheduler.cancel(job)
                else:
                    scheduler.hold(job, wish == "pause")

    def _sweep(self) -> None:
        """Remove the folders of jobs that nobody will take up again; those of failed jobs are kept for a day."""
        remove_abandoned(self._jobs_folder, self.store.unfinished, age=_KEPT_SECONDS)

    @staticmethod
    def _key(task: Task, variant: Variant) -> str:
        return task.key(variant, ffmpeg_version().split(".")[0])

    def _record(self, task: Task, key: str) -> JobRow:
        now = time.time()
        first = task.variants()[0]
        row = JobRow(
            id=str(uuid.uuid4()),
            key=key,
            task=task.name,
            variant=first.name,
            executor="",
            state=State.QUEUED,
            cause=None,
            units=first.work.units,
            owner=os.getpid(),
            owner_born=born(os.getpid()),
            created=now,
            changed=now,
            about=task.about,
            parameters=task.model_dump_json(),
        )
        self.store.add(row)
        return row


def _done(task: Task, outputs: Payload, on_progress: OnProgress, job_id: str = "") -> Job:
    job = Job(job_id, task, Progress(State.DONE, fraction=1.0))
    job.settle(outputs)
    on_progress(job)
    return job


def _outputs_or_error(job: Job) -> Payload | MontageError:
    """What came of a job that has ended. Raises what concerns others too."""
    try:
        return job.result()
    except (DiskFullError, GivenUpError):
        raise
    except MontageError as error:
        return error


def _outcome(run: Run) -> Payload | BaseException:
    """What became of a job that has ended."""
    if run.state is State.CANCELLED:
        return GivenUpError("was given up.", file=run.task.about, hint=f"`montage-ai jobs retry {run.id[:8]}` does it.")
    if run.error is not None:
        return run.error
    assert isinstance(run.result, Payload)
    return run.result


def _root(error: BaseException) -> BaseException:
    """The error inside groups of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
