"""Heavy work, one file a task. The registry maps the name in a job to its class, imported when it is needed."""

from __future__ import annotations

from importlib import import_module

from montage_ai.errors import TaskError
from montage_ai.tasks.task import Task

_TASKS = {
    "caption": "montage_ai.tasks.caption:Caption",
    "embed": "montage_ai.tasks.embed:Embed",
    "stabilize": "montage_ai.tasks.stabilize:Stabilize",
    "trial": "montage_ai.tasks.trial:Trial",
}


def task_names() -> list[str]:
    """All tasks that are known."""
    return list(_TASKS)


def task_class(name: str) -> type[Task]:
    """The task called ``name``. Raises ``TaskError`` for one that is not known."""
    if name not in _TASKS:
        raise TaskError(f"There is no task {name!r}.", hint=f"Known tasks: {', '.join(_TASKS)}.")
    module, _, attribute = _TASKS[name].partition(":")
    found: type[Task] = getattr(import_module(module), attribute)
    return found
