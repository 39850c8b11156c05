"""Google Colab by ``cgpu``: a double of the client as treacherous as the real one, and Google's side on loopback.

The client's own pace (starting, ``copy``, printing) is that of the real one as it was measured; what leads to Google is
an emulated link, or none.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import random
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio

from benchmarks.loopback.cgpu import Cgpu, cgpu, on_path
from benchmarks.loopback.colab import Colab, colab
from benchmarks.row import Row, at_least, at_most, none_of
from montage_ai import config, is_cgpu_available
from montage_ai.media.ffmpeg import run_ffmpeg
from montage_ai.media.files import sha256
from montage_ai.offload.flow import Lanes, Operation, flow
from montage_ai.offload.job import Job
from montage_ai.offload.kinds import CgpuSettings
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.remote.executor import RemoteExecutor
from montage_ai.offload.states import State
from montage_ai.offload.transfer import PART, Parcel, fetch, send
from montage_ai.offload.transports.cgpu.health import CgpuHealth
from montage_ai.offload.transports.cgpu.transport import CgpuTransport
from montage_ai.offload.transports.decorators import Retrying
from montage_ai.offload.transports.transport import Transport
from montage_ai.tasks.stabilize import Stabilize
from montage_ai.tasks.task import InputFile, Task
from montage_ai.tasks.trial import Trial

_REAL = {"latency": 0.48, "copying": 41e6, "printing": 34e6}
"""The real client's seconds of a call, and its bytes a second on loopback."""

_LINK = 20e6 / 8  # bytes a second
_SIZE = 200_000_000
_LOOK = 30.0  # seconds of remote work for which one more process is fair


@dataclass(frozen=True)
class _Place:
    """A client, Google's side, and a folder for what is sent."""

    double: Cgpu
    google: Colab
    folder: Path

    def transport(self, road: Literal["auto", "commands"]) -> Transport:
        """To a folder of its own."""
        far = tempfile.mkdtemp(dir=self.folder, prefix="far")
        settings = CgpuSettings(kind="cgpu", road=road, work_dir=far, token_url=f"{self.google.url}/token")
        return settings.transport(lambda text: print(text, file=sys.stderr))


def rows(quick: bool = False) -> Iterator[Row]:
    """All figures of Colab."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        google = stack.enter_context(colab(Path(name) / "jupyter"))
        double = cgpu(Path(name) / "cgpu", google.url)
        stack.enter_context(on_path(double))
        place = _Place(double, google, Path(name))
        yield anyio.run(_exact, place, 40 if quick else 1000)
        yield from anyio.run(_through_a_link, place, _SIZE // 20 if quick else _SIZE)
        yield from anyio.run(_roads, place, _SIZE // 20 if quick else _SIZE)
        yield from _clips(place, quick)
        yield _availability()


async def _exact(place: _Place, count: int) -> Row:
    """Commands of all kinds with every hazard of the output: how many come back otherwise than they were."""
    place.double.set_noisy()
    transport = place.transport("commands")
    wrong, limit = 0, anyio.CapacityLimiter(4)
    choose = random.Random(1)

    async def one(out: str, err: str, code: int) -> None:
        nonlocal wrong
        script = f"printf %s {_quoted(out)}; printf %s {_quoted(err)} >&2; exit {code}"
        async with limit:
            done = await transport.run(script)
        wrong += (done.out, done.err, done.code) != (out, err, code)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one, _text(choose), _text(choose), choose.choice((0, 0, 1, 3, 137)))
    return none_of(f"{count:,} commands, every hazard of the output: wrong", wrong, reference="stdout, stderr, code")


def _text(choose: random.Random) -> str:
    """What terminals and the client spoil: empty lines, returns, colours, prompts, no last newline."""
    spoilt = (
        "\n\n",
        "\r\n",
        "\x1b[31mred\x1b[0m",
        "exit\n",
        "logout\n",
        "/# ",
        "PS1=\n",
        "stty echo\n",
        "ü€😀",
        "'\"\\$`",
    )
    words = (*spoilt, *("".join(choose.choices(string.printable, k=12)) for _ in range(6)))
    return "".join(choose.choices(words, k=choose.randrange(12))).replace("\x00", "")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


async def _through_a_link(place: _Place, size: int) -> Iterator[Row]:
    """The client's own ways to move a file, and ours by its commands, verified and resumable."""
    place.double.set(**_REAL, up=_LINK, down=_LINK)
    parcel = _parcel(place.folder, size)
    far = place.folder / "plain"
    far.mkdir(exist_ok=True)
    plain = await _timed(["cgpu", "copy", str(parcel.path), str(far / "plain")])
    up, down = await _there_and_back(place, "commands", parcel)
    printed = await _timed(["cgpu", "run", "--", f"base64 -w4000 {far / 'plain'}"])
    about = "20 Mbit/s, 0.48 s a call"
    return iter(
        [
            at_least(
                f"{size / 1e6:.0f} MB up", plain / up, 0.95, reference=f"`cgpu copy`, {about}", note=f"{up:.0f} s"
            ),
            at_least(
                f"{size / 1e6:.0f} MB down",
                printed / down,
                0.95,
                reference=f"`cgpu run base64 -w4000`, {about}",
                note=f"{down:.0f} s",
            ),
        ]
    )


async def _roads(place: _Place, size: int) -> Iterator[Row]:
    """The faster road beside the commands, where no link limits either."""
    place.double.set(**_REAL)
    parcel = _parcel(place.folder, size)
    slow = await _there_and_back(place, "commands", parcel)
    quick = await _there_and_back(place, "auto", parcel)
    return iter(
        at_least(
            f"the faster road, {size / 1e6:.0f} MB {way}",
            by_commands / by_road,
            least,
            reference="by the commands, no link limit",
            unit="times",
            note=f"{by_commands:.1f} s and {by_road:.1f} s",
        )
        for way, by_commands, by_road, least in (("up", slow[0], quick[0], 2), ("down", slow[1], quick[1], 5))
    )


async def _there_and_back(place: _Place, road: Literal["auto", "commands"], parcel: Parcel) -> tuple[float, float]:
    """Seconds up and down, on a runtime that is warm."""
    transport = place.transport(road)
    await transport.run("true")
    began = time.monotonic()
    await send(transport, [parcel])
    there = time.monotonic()
    back = Parcel(place.folder / "back", parcel.sha256, parcel.size)
    back.path.unlink(missing_ok=True)
    await fetch(transport, f"blobs/{parcel.sha256}", back)
    seconds = there - began, time.monotonic() - there
    if isinstance(transport, CgpuTransport) and not transport.is_fast:
        raise RuntimeError("the faster road was not taken")
    await transport.close()
    return seconds


async def _timed(command: Sequence[str]) -> float:
    began = time.monotonic()
    await anyio.run_process(list(command), stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return time.monotonic() - began


def _clips(place: _Place, quick: bool) -> Iterator[Row]:
    """Jobs on a warm runtime: how many processes a stabilise job needs, and how well four of clips overlap.

    The four only take the seconds that computing takes elsewhere: here it would slow down what moves files.
    """
    place.double.set(**_REAL, up=_LINK, down=_LINK)
    clips = [_clip(place.folder / f"{index}.mp4", 3 if quick else 8 + 2 * index, index) for index in range(4)]
    steadying: list[Task] = [Stabilize(source=clip, deliver="clip") for clip in clips[:2]]
    waiting: list[Task] = [
        Trial(source=clip, seconds=2 if quick else 8 + 2 * index, size=clip.path.stat().st_size)
        for index, clip in enumerate(clips)
    ]
    executor = RemoteExecutor("box", Retrying(place.transport("commands")), python=sys.executable)
    with Offloader("box", executors=[executor]) as offloader:
        _done(offloader, steadying[:1], "there")  # makes the runtime warm
        before = len(place.double.calls)
        steadied = [_done(offloader, [task], "there")[0] for task in steadying]
        calls = (len(place.double.calls) - before) / len(steadying)
        alone = [_done(offloader, [task], "only")[0] for task in waiting]
        began = time.monotonic()
        _done(offloader, waiting, "only")
        seconds = time.monotonic() - began
    parts = sum(one.parts for one in steadied) / len(steadied)
    looks = sum(one.compute // _LOOK for one in steadied) / len(steadied)
    yield at_most(
        "cgpu processes for a stabilise job",
        calls - parts - looks,
        6,
        reference="beyond one for each part and each 30 s of work",
        note=f"mean of {len(steadied)}: {calls:g} in all, {parts:g} parts",
    )
    yield at_most(
        "four clips at once",
        seconds / _bound(alone),
        1.1,
        reference="three lanes, each step as long as alone",
        unit="times",
        note=f"{seconds:.1f} s; one after the other {sum(one.up + one.compute + one.down for one in alone):.1f} s",
    )


@dataclass(frozen=True)
class _Done:
    """A job's seconds in each lane, and the parts that were moved for it."""

    up: float
    compute: float
    down: float
    parts: int


def _done(offloader: Offloader, tasks: Sequence[Task], variant: str) -> list[_Done]:
    """Have tasks done elsewhere, all at once."""
    jobs = []
    for task in tasks:
        times = dict[State, float]()

        def moved(job: Job, times: dict[State, float] = times) -> None:
            times.setdefault(job.status, time.monotonic())

        jobs.append((task, times, offloader.measure(task, "box", variant, moved)))
    done = []
    for task, times, job in jobs:
        files = [*(file.path for file in task.inputs()), *job.result().files.values()]
        parts = sum(math.ceil(path.stat().st_size / PART) for path in files)
        stations = [times[state] for state in (State.UPLOADING, State.RUNNING, State.DOWNLOADING, State.FINISHING)]
        up, compute, down = (end - start for start, end in itertools.pairwise(stations))
        done.append(_Done(up, compute, down, parts))
    return done


def _bound(jobs: Sequence[_Done]) -> float:
    """Seconds until all have gone through the three lanes, in the best order."""
    lanes = Lanes(dict.fromkeys(("up", "compute", "down"), 1))
    steps = [[Operation("up", one.up), Operation("compute", one.compute), Operation("down", one.down)] for one in jobs]
    return min(max(flow(order, lanes).ends) for order in itertools.permutations(steps))


def _clip(path: Path, seconds: int, number: int) -> InputFile:
    """A picture that shakes, of some 8 Mbit/s."""
    source = f"testsrc2=size=1400x800:rate=30:duration={seconds},noise=alls=12:all_seed={number}:allf=t"
    shake = "crop=1280:720:x='60+20*sin(n*1.7)':y='40+20*cos(n*2.3)'"
    coding = ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "8M"]
    run_ffmpeg(["-f", "lavfi", "-i", source, "-vf", shake, *coding, f"file:{path}"])
    return InputFile(path=path, sha256=sha256(path))


def _parcel(folder: Path, size: int) -> Parcel:
    path = folder / f"{size}.bin"
    if not path.exists():
        path.write_bytes(os.urandom(size))
    return Parcel(path, sha256(path), size)


def _availability() -> Row:
    CgpuHealth("cgpu", config.data_dir() / "cgpu").refresh()  # it is not asked meanwhile: that would outlast this part
    times = []
    for _ in range(200):
        began = time.perf_counter()
        is_cgpu_available()
        times.append(time.perf_counter() - began)
    return at_most("is_cgpu_available()", 1000 * statistics.median(times), 1, unit="ms", note="median of 200")
