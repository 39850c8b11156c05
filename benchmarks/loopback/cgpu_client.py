"""A double of the ``cgpu`` command line, version 0.1.4: its contract, and the hazards of the real one.

Run as ``cgpu`` with ``$CGPU_DOUBLE`` naming its folder (see ``cgpu.py``), where ``hazards.json`` switches hazards on:

    echo       the typed command shows up in the output: a share of the calls, 0 to 1
    mangle     blank lines, carriage returns, colours and some lines are lost, invalid UTF-8 is replaced
    noise      the shell says things of its own before, and does not end the line
    refresh    what the token's renewal is answered with: 400, 500 or "dropped" (session.json goes), 503
    recycled   the runtime's folders, which are emptied; it begins a new life
    hang       nothing comes any more
    capacity   there is no runtime
    lost       the connection breaks before the command's end
    latency    seconds of every call
    up, down   bytes a second of the link, all calls together
    copying, printing    bytes a second that one client manages
    cold       seconds until a runtime is there

A hazard given as ``{"times": n, "value": v}`` ends after that often. A runtime is this machine; every call is noted in
``calls.jsonl``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["CGPU_DOUBLE"])
CEILING = 402_000_000  # bytes that ``copy`` manages
LABEL, ID = "Ada Lovelace", "ada@example.com"
LOST_LINES = (b"exit", b"logout", b"PS1=", b"stty echo")
COLOURS = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
OPTIONS_WITH_VALUE = ("-c", "--config", "-g", "--gpu")


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    with (FOLDER / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def hazard(name: str, otherwise: Any = None) -> Any:
    """What is switched on for ``name``, now."""
    with locked("hazards"):
        path = FOLDER / "hazards.json"
        hazards = json.loads(path.read_text("utf-8"))
        found = hazards.get(name, otherwise)
        if not isinstance(found, dict):
            return found
        if found["times"] <= 0:
            return otherwise
        found["times"] -= 1
        path.write_text(json.dumps(hazards), "utf-8")
        return found["value"]


class Link:
    """A rate: of this call, or of all calls together where it has a ``name``."""

    def __init__(self, rate: float | None, name: str = "") -> None:
        self.rate, self.name, self.free = rate, name, 0.0

    def move(self, count: int) -> None:
        if not self.rate:
            return
        if self.name:
            with locked(self.name):
                path = FOLDER / self.name
                free = float(path.read_text("ascii") or 0) if path.exists() else 0.0  # empty where a call was killed
                self.free = max(free, time.monotonic() - 0.02) + count / self.rate
                path.write_text(str(self.free), "ascii")
        else:
            self.free = max(self.free, time.monotonic() - 0.02) + count / self.rate
        time.sleep(max(0.0, self.free - time.monotonic()))


def say(text: str) -> None:
    os.write(1, text.encode())


def fail(message: str) -> None:
    if message:
        os.write(2, f"{message}\n".encode())
    sys.exit(1)


def for_ever() -> None:
    while True:
        time.sleep(3600)


def authenticate() -> None:
    """As the real one does before everything: from session.json, renewing its token."""
    config = Path(os.environ["CGPU_CONFIG_DIR"])
    if not (config / "config.json").exists():
        fail("Missing Colab OAuth credentials.")
    session = config / "state" / "session.json"
    if not session.exists():
        os.write(2, b"Visit https://accounts.google.com/o/oauth2/v2/auth to log in.\n")
        for_ever()
    answer = hazard("refresh")
    if answer == 503:
        time.sleep(0.2)
    elif answer is not None:
        session.unlink(missing_ok=True)
        if answer == 400:
            os.write(2, b"Visit https://accounts.google.com/o/oauth2/v2/auth to log in.\n")
            for_ever()
        fail(f"Error refreshing access token: {answer}")


def runtime() -> None:
    """Have a runtime: the first that is listed, else a new one."""
    if hazard("capacity"):
        fail("")
    for folder in hazard("recycled") or []:
        shutil.rmtree(folder, ignore_errors=True)
        Path(folder).mkdir(parents=True)
        (FOLDER / "boot").write_text(os.urandom(8).hex(), "ascii")
    path = FOLDER / "assignments"
    if not path.exists() or not path.read_text("ascii"):
        time.sleep(hazard("cold", 0.0))
        with path.open("a", encoding="ascii") as file:
            file.write(f"{os.urandom(4).hex()}\n")


def status() -> None:
    authenticate()
    say(f"Authenticated as {LABEL}. Eligible GPUs: T4\n")


def copy(arguments: list[str]) -> None:
    authenticate()
    runtime()
    source = Path(arguments[0])
    content = source.read_bytes()
    if len(content) > CEILING:
        fail("RangeError: Invalid string length")
    given = arguments[1] if len(arguments) > 1 else f"/content/{source.name}"
    target = Path("/", *(part for part in given.split("/") if part not in ("", "..")))
    link, client = Link(hazard("up"), "up"), Link(hazard("copying"))
    for start in range(0, max(len(content), 1), 65536):
        count = len(content[start : start + 65536])
        client.move(count)
        link.move(count * 4 // 3)
    if any(part.startswith(".") for part in target.parts):
        fail(f"Failed to upload {target}: 400 Bad Request")
    if not target.parent.is_dir():
        fail(f"Failed to upload {target}: 500 Internal Server Error")
    new = target.with_name(f"{target.name}-{os.getpid()}-new")
    new.write_bytes(content)
    new.replace(target)
    say(f"Authenticated as {LABEL} <{ID}>\n")
    say(f"Uploaded: {source.name} → {target} ({len(content) / 1e6:.1f} MB)\n")


def command_of(arguments: list[str]) -> str:
    """The shell line; what looks like an option is taken for one of its own, unless ``--`` stands before."""
    words, rest = list[str](), list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words += rest
            break
        if word in OPTIONS_WITH_VALUE:
            del rest[:1]
        elif not word.startswith("-"):
            words.append(word)
    if len(words) == 1:
        return words[0]
    return " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)


def run(arguments: list[str]) -> None:
    authenticate()
    runtime()
    say(f"Authenticated as {LABEL} <{ID}>\n")
    if hazard("hang"):
        for_ever()
    sentinel = f"__CGPU_{os.urandom(4).hex()}__"
    master = start_shell()
    echo = random.random() < hazard("echo", 0.0)
    if not echo:
        attributes = termios.tcgetattr(master)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(master, termios.TCSANOW, attributes)
    noise = "echo; echo noise; printf 'half a line'\n" if hazard("noise") else ""
    lines = f"{noise}{command_of(arguments)}\nprintf '\\n%s%s:%d\\n' {sentinel[:4]} {sentinel[4:]} $?\n"
    lost = hazard("lost")
    out = Printer(bool(hazard("mangle", True)))
    code = follow(master, lines.encode(), sentinel.encode(), out, 0.3 if lost else None)
    out.end()
    if lost:
        fail("WebSocket closed")
    sys.exit(1 if code is None else code)


def start_shell() -> int:
    """An interactive bash in a terminal, that goes on when the client is killed. Returns the terminal's other end."""
    child, master = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        shims = FOLDER / "shims"
        environment = os.environ | {"PS1": "", "PS2": "", "TERM": "dumb", "PATH": f"{shims}:{os.environ['PATH']}"}
        for name in ("CGPU_CONFIG_DIR", "PROMPT_COMMAND", "HISTFILE"):
            environment.pop(name, None)
        os.chdir("/")
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
    return master


def follow(master: int, typed: bytes, sentinel: bytes, out: Printer, seconds: float | None) -> int | None:
    """Type, and pass on what is said up to the sentinel. Returns the code beside it; None where it does not come."""
    end = None if seconds is None else time.monotonic() + seconds
    held = b""
    while end is None or time.monotonic() < end:
        readable, writable, _ = select.select([master], [master] if typed else [], [], 0.05)
        if writable:
            typed = typed[os.write(master, typed[:1024]) :]
        if not readable:
            continue
        try:
            block = os.read(master, 65536)
        except OSError:
            return None
        if not block:
            return None
        held += block
        found = re.search(re.escape(sentinel) + rb":(\d+)\r?\n", held)
        if found:
            out.write(held[: found.start()])
            return int(found[1])
        whole = held.rfind(b"\n", 0, max(0, len(held) - 64)) + 1
        out.write(held[:whole])
        held = held[whole:]
    return None


class Printer:
    """Standard output, mangled as the real one does it."""

    def __init__(self, mangles: bool) -> None:
        self.mangles = mangles
        self.link, self.client = Link(hazard("down"), "down"), Link(hazard("printing"))
        self.last = b"\n"

    def write(self, text: bytes) -> None:
        if not text:
            return
        text = text.replace(b"\r", b"")
        if self.mangles:
            text = COLOURS.sub(b"", text).decode("utf-8", "replace").encode()
            lines = [line.removeprefix(b"/# ") for line in text.split(b"\n")]
            kept = [line for line in lines if line and line not in LOST_LINES]
            text = b"".join(line + b"\n" for line in kept)
        for start in range(0, len(text), 65536):
            block = text[start : start + 65536]
            self.client.move(len(block) * 3 // 4)
            self.link.move(len(block))
            os.write(1, block)
            self.last = block[-1:]

    def end(self) -> None:
        if self.last != b"\n":
            os.write(1, b"\n")


def main() -> None:
    began = time.time()
    try:
        time.sleep(hazard("latency", 0.0))
        name, *arguments = sys.argv[1:] or ["help"]
        commands = {"status": lambda _: status(), "copy": copy, "run": run}
        if name not in commands:
            fail(f"error: unknown command '{name}'")
        commands[name](arguments)
    finally:
        with locked("calls"), (FOLDER / "calls.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"arguments": sys.argv[1:], "began": began, "ended": time.time()}) + "\n")


if __name__ == "__main__":
    main()
