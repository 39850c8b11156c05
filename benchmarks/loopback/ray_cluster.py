"""A real Ray cluster of several nodes on this machine, that wants a token. It is made by a process of its own:

python -m benchmarks.loopback.ray_cluster PROCESSORS    says the address; on "add N" a node joins, on "kill" one dies
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TRIES = 3
_STORE = 100_000_000  # bytes of a node's object store: little more than the least that Ray accepts
_MEMORY = 4_000_000_000  # bytes that a node says it has


@dataclass
class RayCluster:
    """A cluster, how to get in, and the ``folder`` of temporary files of what runs on its nodes."""

    address: str
    token: str
    folder: Path
    process: subprocess.Popen[bytes]

    def add_node(self, processors: int) -> None:
        self._do(f"add {processors}")

    def kill_node(self) -> None:
        """The node that was added last dies without a word."""
        self._do("kill")

    def _do(self, command: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == b"done"


@contextlib.contextmanager
def ray_cluster(*, processors: int = 2) -> Iterator[RayCluster]:
    """One node, with ``processors``; more can be added. Ray gives up to start on a busy machine: it is tried again."""
    for left in reversed(range(_TRIES)):
        with _started(processors) as cluster:
            if cluster.address or not left:
                yield cluster
                return


@contextlib.contextmanager
def _started(processors: int) -> Iterator[RayCluster]:
    """A cluster, without an address where it did not start."""
    token = secrets.token_hex(16)
    settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}
    with contextlib.ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="montage-ai-nodes-", ignore_cleanup_errors=True))
        )
        temporary = {"RAY_TMPDIR": tempfile.gettempdir(), "TMPDIR": str(folder)}  # Ray's own must be a short path
        process = stack.enter_context(
            subprocess.Popen(  # not a child of the program's: tests end all of those
                [_python(folder), "-m", "benchmarks.loopback.ray_cluster", str(processors)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **settings, **temporary},
                start_new_session=True,
            )
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield RayCluster(process.stdout.readline().decode().strip(), token, folder, process)
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()  # it ends with that, also where this program is killed
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _python(folder: Path) -> str:
    """That of a virtual environment which holds nothing, and sees our packages.

    Where jobs need a package, Ray copies its own environment, whole: ours is of gigabytes.
    """
    environment = folder / "python"
    venv.create(environment, symlinks=True)
    bare, ours = (
        sysconfig.get_path("purelib", vars={"base": str(base), "platbase": str(base)})
        for base in (environment, sys.prefix)
    )
    (Path(bare) / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n", "utf-8")
    return str(environment / "bin" / "python")


def main(processors: int) -> None:
    from ray.cluster_utils import Cluster

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    about = {"object_store_memory": _STORE, "memory": _MEMORY}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": processors, "include_dashboard": False, **about}
    )
    answers.write(f"{cluster.address}\n")
    nodes = []
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "add":
            nodes.append(cluster.add_node(num_cpus=int(argument), **about))
        elif command == "kill":
            cluster.remove_node(nodes.pop(), allow_graceful=False)
        answers.write("done\n")
    cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
