"""Which executors take part: this machine, and those that are configured, enabled and asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from montage_ai import config
from montage_ai.errors import UserError
from montage_ai.offload.attempted import Attempted
from montage_ai.offload.executors.executor import Executor
from montage_ai.offload.executors.far import FarExecutor
from montage_ai.offload.executors.local import LocalExecutor
from montage_ai.offload.kinds import RaySettings
from montage_ai.offload.ledger import Ledger
from montage_ai.offload.options import LOCAL
from montage_ai.offload.ray.executor import RayExecutor
from montage_ai.offload.remote.executor import RemoteExecutor
from montage_ai.offload.settings import OffloadSettings, load_settings
from montage_ai.offload.store import Store
from montage_ai.offload.transports.decorators import Retrying
from montage_ai.parallel import cores
from montage_ai.tasks.task import Needs
from montage_ai.worker.machine import Machine

Mode = str | None
"""``never``, ``auto``, an executor's name, or None: ``auto`` where something is enabled."""


@dataclass(frozen=True)
class Places:
    """The executors that take part; ``only`` is the one that is to do all that it can."""

    executors: Sequence[Executor[Attempted]]
    only: str | None = None
    spare: float = 0.0


def open_executors(
    mode: Mode, store: Store, ledger: Ledger, executors: Sequence[Executor[Attempted]] | None = None
) -> Places:
    """The executors for ``mode``; no file leaves this machine but to those that are enabled.

    Raises ``UserError`` for an executor that is not configured or not enabled, ``ConfigError`` for a broken
    configuration.
    """
    local = LocalExecutor(cores())
    if executors is not None:
        return Places([local, *executors], None if mode in (None, "auto", "never") else mode)
    names, settings = _names(mode, store)
    only = None if mode in (None, "auto", "never", LOCAL) else mode
    return Places([local, *(open_remote(name, settings, store, ledger) for name in names)], only, settings.spare)


def check_mode(mode: Mode) -> None:
    """Raise what ``open_executors`` would raise for ``mode``: before long work, that it may need only at its end."""
    store = Store(config.data_dir())
    try:
        _names(mode, store)
    finally:
        store.close()


def _names(mode: Mode, store: Store) -> tuple[list[str], OffloadSettings]:
    """The executors besides this machine for ``mode``."""
    if mode in ("never", LOCAL):
        return [], OffloadSettings()
    settings = load_settings()
    if mode in (None, "auto"):
        return [name for name in settings.executors if is_enabled(name, settings, store)], settings
    settings.executor(mode)
    if not is_enabled(mode, settings, store):
        hint = f"Allow it once with `montage-ai offload enable {mode}`: it says what leaves this machine."
        raise UserError(f"The executor {mode!r} is not enabled.", hint=hint)
    return [mode], settings


def is_enabled(name: str, settings: OffloadSettings, store: Store) -> bool:
    """Whether its owner has allowed files to go to the machine that the name means now."""
    return store.machines.get(name).enabled == settings.executor(name).identity


def open_remote(
    name: str, settings: OffloadSettings, store: Store, ledger: Ledger, *, clearing: bool = False
) -> FarExecutor:
    """The executor called ``name``; nothing is reached yet. ``clearing``: all jobs of ours there are to be removed."""
    one = settings.executor(name)

    def on_machine(machine: Machine) -> None:
        ledger.remember_machine(name, machine)

    def is_stale(place: str) -> bool:
        """Whether a directory there is of a job of ours that has ended: one that we do not know may be another's."""
        jobs = store.find(place[:36]) if len(place) > 36 else []
        return len(jobs) == 1 and (clearing or jobs[0].has_ended)

    if isinstance(one, RaySettings):
        return RayExecutor(
            name,
            one.address,
            slots=one.slots,
            link=one.connection,
            token=one.token,
            on_machine=on_machine,
            is_stale=is_stale,
        )
    return RemoteExecutor(
        name,
        Retrying(one.transport(ledger.notice)),
        python=one.python,
        slots=one.slots,
        link=one.connection,
        machine=ledger.machine(name, Needs()),
        on_machine=on_machine,
        is_stale=is_stale,
    )
