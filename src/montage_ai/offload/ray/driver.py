"""The process that drives a Ray cluster: ``python -m montage_ai.offload.ray.driver``, for ``process.py``.

It reads a secret from stdin, which every request must begin with, says on stdout which port of loopback it listens on,
and ends when stdin does.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import socketserver
import sys
import threading

from pydantic import BaseModel, ValidationError

from montage_ai.offload.ray.cluster import Cluster, OnShare, translated
from montage_ai.offload.ray.messages import (
    AnyRequest,
    Compute,
    Computed,
    Connect,
    Discard,
    Done,
    Download,
    Failed,
    Moved,
    Reply,
    Request,
    SetUp,
    Upload,
)
from montage_ai.worker.jobdir import Result

_SECRET = 100  # bytes


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, secret: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secret = secret
        self.cluster = Cluster()


class _Handler(socketserver.StreamRequestHandler):
    """One connection: the secret and one request, replies until its answer."""

    server: _Server

    def handle(self) -> None:
        if not hmac.compare_digest(self.rfile.readline(_SECRET).strip(), self.server.secret):
            return
        with contextlib.suppress(ConnectionError, ValidationError):  # nobody waits any more; what runs there goes on
            self._answer(Request.model_validate_json(self.rfile.readline()).request)

    def _answer(self, asked: AnyRequest) -> None:
        try:
            answer = _carry_out(self.server.cluster, asked, lambda share: self._say(Done(share=share)))
        except Exception as error:  # noqa: BLE001  (told to who asked)
            answer = _failed(error)
        self._say(answer)

    def _say(self, reply: BaseModel) -> None:
        self.wfile.write(Reply.model_validate({"reply": reply}).model_dump_json().encode() + b"\n")


def _carry_out(cluster: Cluster, asked: AnyRequest, on_share: OnShare) -> BaseModel:
    match asked:
        case Connect(address=address, requirements=requirements):
            return cluster.connect(address, requirements)
        case SetUp():
            return cluster.set_up()
        case Upload(job=job, files=files):
            return Moved(size=cluster.upload(job, files, on_share))
        case Compute():
            return Computed(result=cluster.compute(asked, on_share))
        case Download(job=job, folder=folder):
            return Moved(size=cluster.download(job, folder, on_share))
        case Discard(job=job):
            cluster.discard(job)
            return Moved(size=0)


def _failed(error: Exception) -> Failed:
    known = translated(error)
    failure = Result.failed(known).error
    assert failure is not None
    return Failed(failure=failure)


def main() -> None:
    answers = os.dup(1)
    os.dup2(2, 1)  # what Ray prints is for the log
    server = _Server(sys.stdin.buffer.readline().strip())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.write(answers, f"{server.server_address[1]}\n".encode())
    os.close(answers)
    sys.stdin.buffer.read()
    server.cluster.close()
    os._exit(0)  # where Ray did not get through, its threads would keep this process


if __name__ == "__main__":
    main()
