"""Finding moments by a model: a tiny CLIP asked for what it has never seen, on every executor; and what it costs."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.loopback.cgpu import cgpu, on_path
from benchmarks.loopback.colab import colab
from benchmarks.loopback.jupyter import jupyter
from benchmarks.loopback.ray_cluster import ray_cluster
from benchmarks.loopback.sshd import sshd
from benchmarks.measuring import FOOTAGE, fresh_home, run
from benchmarks.random_models import FAMILIES, save_random
from benchmarks.row import Row, at_least, at_most, none_of, skipped
from benchmarks.tiny_clip import train, write_clip, write_clips
from montage_ai import config
from montage_ai.events import ignore
from montage_ai.footage.embedding import embed_clips
from montage_ai.footage.footage_analyzer import analyze_file
from montage_ai.footage.found_model import find_model
from montage_ai.footage.library import Library
from montage_ai.footage.sampling import sampled
from montage_ai.footage.scan import read_footage
from montage_ai.footage.search import ask, find_moments, last_seen, load_vocabulary, parse_query
from montage_ai.footage.search.nearest import products
from montage_ai.media.probe import probe
from montage_ai.models.captions import CaptionModel
from montage_ai.models.image_text import ImageTextModel
from montage_ai.offload.attempted import Attempted
from montage_ai.offload.executors.executor import Executor
from montage_ai.offload.kinds import CgpuSettings
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.ray.executor import RayExecutor
from montage_ai.offload.remote.executor import RemoteExecutor
from montage_ai.offload.transports.decorators import Retrying
from montage_ai.offload.transports.jupyter.access import TokenAccess
from montage_ai.offload.transports.jupyter.transport import JupyterTransport
from montage_ai.offload.transports.ssh import SshAddress, SshTransport
from montage_ai.offload.transports.transport import Transport

_WIDTH = 768
_MEGABIT = 1e6 / 8


def rows(quick: bool = False) -> Iterator[Row]:
    """All figures of searching."""
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), Path(name) / "model"
        train(model)
        (folder / "clips").mkdir()
        clips = write_clips(folder / "clips")
        yield _families(folder)
        yield from _everywhere(folder, model, clips)
        yield from _bytes()
        yield _killed(clips[0][0].parent, model)
        yield _again(folder, model, 50 if quick else 1000)
        yield from _exact(folder, [100_000] if quick else [100_000, 1_000_000])


def _families(folder: Path) -> Row:
    """Models of every family with random weights, through the code that loads and runs the real ones."""
    picture, broken = np.random.default_rng(1).integers(0, 255, (90, 160, 3), np.uint8), 0
    for family in (*FAMILIES, "blip"):
        save_random(family, folder / family)
        if family == "blip":
            broken += not isinstance(CaptionModel(folder / family).captions([picture])[0], str)
        else:
            model = ImageTextModel(folder / family)
            broken += model.embed_images([picture]).shape != model.embed_texts(["a dog"]).shape
    about = "CLIP, SigLIP, SigLIP 2, BLIP from random weights"
    return none_of("families of models that do not load and run", broken, reference=about)


def _everywhere(folder: Path, model: Path, clips: Sequence[tuple[Path, str]]) -> Iterator[Row]:
    """How many of the descriptions find their clip first, with the pictures seen at each executor."""
    here: list[list[str]] | None = None
    for name in ("this machine", "ssh", "jupyter", "cgpu", "ray"):
        with _home(), _executor(name, folder) as executor:
            orders = _orders(model, clips, executor)
        found = sum(order[0] == path.name for order, (path, _) in zip(orders, clips, strict=True))
        yield at_least(f"recall at 1, pictures seen at {name}", found / len(clips), 0.85, reference="20 never seen")
        here = here or orders
        differing = sum(one != other for one, other in zip(here, orders, strict=True))
        yield none_of(f"  descriptions ranked otherwise than here: {name}", differing)


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    """Nothing known and nothing cached, by this process and those that it starts."""
    with fresh_home() as home:
        os.environ["MONTAGE_AI_HOME"] = str(home)
        yield home


@contextlib.contextmanager
def _executor(name: str, folder: Path) -> Iterator[Executor[Attempted] | None]:
    far = str(folder / f"far {name}".replace(" ", "-"))
    with contextlib.ExitStack() as stack:

        def remote(transport: Transport) -> RemoteExecutor:
            return RemoteExecutor("box", Retrying(transport), python=sys.executable)

        if name == "ssh":
            server = stack.enter_context(sshd(folder / "sshd"))
            address = SshAddress("127.0.0.1", server.user, server.port, str(server.key), str(server.known_hosts))
            yield remote(SshTransport(address, far))
        elif name == "jupyter":
            hub = stack.enter_context(jupyter(folder / "jupyter"))
            yield remote(JupyterTransport(TokenAccess(hub.url, hub.token), far))
        elif name == "cgpu":
            google = stack.enter_context(colab(folder / "colab"))
            stack.enter_context(on_path(cgpu(folder / "cgpu", google.url)))
            place = CgpuSettings(kind="cgpu", road="commands", work_dir=far, token_url=f"{google.url}/token")
            yield remote(place.transport(lambda _: None))
        elif name == "ray":
            cluster = stack.enter_context(ray_cluster(processors=2))
            yield RayExecutor("box", cluster.address, token=cluster.token)
        else:
            yield None


def _orders(model: Path, clips: Sequence[tuple[Path, str]], executor: Executor[Attempted] | None) -> list[list[str]]:
    """For each description the names of the clips, the best first."""
    vocabulary = load_vocabulary()
    with Library(config.data_dir()) as library:
        found_model = find_model(str(model), library)
        found = read_footage([path for path, _ in clips], library, ignore).clips
        mode = "never" if executor is None else "box"
        with Offloader(mode, executors=[executor] if executor else []) as offloader:
            embed_clips(found, found_model, library, offloader, config.cache_dir() / "packs", ignore)
            if executor is not None:
                assert {row.executor for row in offloader.store.jobs()} == {"box"}
        seen, orders = last_seen(library, found, ignore), []
        assert seen is not None
        for _, text in clips:
            query = parse_query(text, vocabulary)
            looks = ask(query, None, seen)
            best = find_moments(found, query, vocabulary, looks).moments
            orders.append(list(dict.fromkeys(moment.clip.name for moment in best)))
    return orders


def _bytes() -> Iterator[Row]:
    """What leaves this machine of the real clips."""
    sizes, shares = list[int](), list[float]()
    for path in sorted((FOOTAGE / "video").glob("*")) if FOOTAGE.is_dir() else ():
        analysis = analyze_file(probe(path), "0" * 64, faces=False)
        taken = set(sampled(analysis.clip, [seconds for seconds, _ in analysis.pictures]))
        mine = [len(jpeg) for seconds, jpeg in analysis.pictures if seconds in taken]
        sizes += mine
        if path.stat().st_size / analysis.clip.facts.duration > 6 * _MEGABIT:
            shares.append(100 * sum(mine) / path.stat().st_size)
    if not sizes:
        yield skipped("bytes of a picture that leaves this machine", "the real clips are not here")
        return
    about = f"{len(sizes)} pictures of the real clips, {max(sizes):,} bytes at most"
    yield at_most("bytes of a picture that leaves this machine", statistics.mean(sizes), 20_000, reference=about)
    if shares:
        about = f"{len(shares)} clips, the worst"
        yield at_most("share of a clip above 6 Mbit/s that leaves it", max(shares), 3, unit="%", reference=about)


def _killed(footage: Path, model: Path) -> Row:
    """Index again and again, killed a little later each time, until it is done."""
    index = [sys.executable, "-m", "montage_ai", "index", str(footage), "--model", str(model)]
    with _home() as home:
        for seconds in np.arange(0.5, 6.0, 0.5):
            running = subprocess.Popen(index, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(float(seconds))
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
        run(index, home=home)
        with contextlib.closing(sqlite3.connect(home / "data" / "jobs.sqlite")) as db:
            done = [key for (key,) in db.execute("SELECT key FROM jobs WHERE state = 'done' AND task = 'embed'")]
        with contextlib.closing(sqlite3.connect(home / "data" / "library.sqlite")) as db:
            (pictures,) = db.execute("SELECT rows FROM models").fetchone()
    return none_of(
        "packs seen twice by an index that was killed 11 times",
        len(done) - len(set(done)),
        reference=f"{pictures} pictures",
    )


def _again(folder: Path, model: Path, count: int) -> Row:
    """The same clip under many contents: what is appended to it is not looked at by anyone."""
    many = folder / "many"
    many.mkdir()
    write_clip(many / "0.mp4", "red", "circle", seconds=1)
    clip = (many / "0.mp4").read_bytes()
    for number in range(1, count):
        (many / f"{number}.mp4").write_bytes(clip + b"\x00\x00\x00\x10free" + number.to_bytes(8, "big"))
    index: list[str | Path] = [sys.executable, "-m", "montage_ai", "index", many]
    with _home() as home:
        run([*index, "--model", model], home=home)
        time.sleep(2.5)  # until their times are old enough to be trusted
        run(index, home=home)
        walls = [run(index, home=home).wall for _ in range(3)]
    return at_most(f"index again, {count:,} clips", statistics.median(walls), 2.0, unit="s", reference="all of it")


def _exact(folder: Path, counts: Sequence[int]) -> Iterator[Row]:
    """Vectors as wide as SigLIP's, mapped from a file that is in the system's cache."""
    rng = np.random.default_rng(1)
    path, most = folder / "vectors.f16", max(counts)
    with path.open("wb") as file:
        for _ in range(0, most, 50_000):
            block = rng.standard_normal((50_000, _WIDTH), np.float32)
            file.write((block / np.linalg.norm(block, axis=1, keepdims=True)).astype(np.float16).tobytes())
    asked = rng.standard_normal((1, _WIDTH)).astype(np.float32)
    for count, limit in zip(counts, (15.0, 150.0), strict=False):
        matrix = np.memmap(path, np.float16, "r", shape=(count, _WIDTH))
        products(matrix, asked)
        before, seconds = _own_memory(), list[float]()
        for _ in range(15):
            began = time.perf_counter()
            products(matrix, asked)
            seconds.append(1000 * (time.perf_counter() - began))
        name = f"exact search of {count:,} vectors"
        yield at_most(name, statistics.median(seconds), limit, unit="ms", reference=f"{_WIDTH} wide, median of 15")
        yield at_most(f"{name}: memory of its own", max(_own_memory() - before, 0.0), 200, unit="MB")


def _own_memory() -> float:
    """Megabytes of this process at its peak, without what is mapped from files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines())
    return int(lines["RssAnon"].split()[0]) / 1000
