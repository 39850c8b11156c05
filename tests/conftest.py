"""Small media made with FFmpeg once a session, and a home of its own for every test."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

from benchmarks.loopback.ray_cluster import RayCluster, ray_cluster
from benchmarks.tiny_clip import train
from montage_ai.media.ffmpeg import ffmpeg_path

# The suite tries the same examples on every machine, so that what fails there fails here; exploring tries new ones. No
# deadline: the machine is shared, and a slow example is no failure.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("suite")

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as in a shell's background: the tests' programs would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

MOVING = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30:duration=2")
TONE = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2:sample_rate=48000")
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", "15", "-bf", "2", "-pix_fmt", "yuv420p")

ODD_NAMES = (
    "two words.mp4",
    'it\'s a "quote".mp4',
    "new\nline.mp4",
    "-dash.mp4",
    "smile 😀.mp4",
    "a:b.mp4",
    "%03d.mp4",
    "[x]{y}*?.mp4",
    "back\\slash;&$(x).mp4",
)

FFmpeg = Callable[..., Path]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``MONTAGE_AI_HOME``: nothing is kept from test to test, and nothing reaches the user's own library."""
    folder = tmp_path / "home"
    monkeypatch.setenv("MONTAGE_AI_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips, music and speech."""
    folder = Path(__file__).parents[2] / "shared" / "footage"
    if not folder.is_dir():
        pytest.skip("needs ../shared/footage")
    return folder


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the session's media."""
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def make(media: Path) -> FFmpeg:
    """Run FFmpeg with arguments, the last of which is the output's name; return its path."""

    def run(*arguments: str | Path) -> Path:
        *others, name = arguments
        target = media / name
        command = [ffmpeg_path(), "-hide_banner", "-loglevel", "error", "-y", *map(str, others), f"file:{target}"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return target

    return run


@pytest.fixture(scope="session")
def plain(make: FFmpeg) -> Path:
    """Two seconds, 320 by 180, 30 frames a second, moving, with a tone, B-frames and its index in front."""
    return make(*MOVING, *TONE, *H264, "-c:a", "aac", "-t", "2", "-movflags", "+faststart", "plain.mp4")


@pytest.fixture(scope="session")
def rotated(make: FFmpeg, plain: Path) -> Path:
    """``plain``, with a display matrix of 90 degrees."""
    return make("-display_rotation", "90", "-i", plain, "-c", "copy", "rotated.mp4")


@pytest.fixture(scope="session")
def vfr(make: FFmpeg) -> Path:
    """45 frames: a second at 30, then a second at 15 frames a second."""
    times = "setpts='if(lt(N,30),N,30+(N-30)*2)/30/TB'"
    return make(*MOVING, *H264, "-vf", times, "-fps_mode", "passthrough", "-frames:v", "45", "vfr.mp4")


@pytest.fixture(scope="session")
def anamorphic(make: FFmpeg) -> Path:
    """160 by 180 samples that are shown as 320 by 180, half a second."""
    return make(*MOVING, *H264, "-vf", "scale=160:180,setsar=2", "-t", "0.5", "anamorphic.mp4")


@pytest.fixture(scope="session")
def hdr(make: FFmpeg) -> Path:
    """Half a second of 10-bit HEVC with the tags of HDR10: BT.2020 and PQ."""
    tags = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
    codec = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-tag:v", "hvc1")
    return make(*MOVING, "-t", "0.5", "-vf", f"format=yuv420p10le,{tags}", *codec, "hdr.mp4")


@pytest.fixture(scope="session")
def silent(make: FFmpeg, plain: Path) -> Path:
    """``plain`` without its sound."""
    return make("-i", plain, "-an", "-c", "copy", "silent.mp4")


@pytest.fixture(scope="session")
def one_frame(make: FFmpeg) -> Path:
    """A clip of a single frame."""
    return make(*MOVING, *H264, "-frames:v", "1", "one_frame.mp4")


@pytest.fixture(scope="session")
def long_clip(make: FFmpeg, plain: Path) -> Path:
    """Twenty seconds without sound: the picture of ``plain`` ten times."""
    return make("-stream_loop", "9", "-i", plain, "-map", "0:v", "-c", "copy", "long.mp4")


@pytest.fixture(scope="session")
def truncated(media: Path, plain: Path) -> Path:
    """The first 60 % of the bytes of ``plain``, whose index is in front."""
    content = plain.read_bytes()
    path = media / "truncated.mp4"
    path.write_bytes(content[: len(content) * 6 // 10])
    return path


@pytest.fixture(scope="session")
def corrupt(media: Path) -> Path:
    """Random bytes that are called a video."""
    path = media / "corrupt.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(20_000))
    return path


@pytest.fixture(scope="session")
def empty(media: Path) -> Path:
    """A video of no bytes."""
    path = media / "empty.mp4"
    path.touch()
    return path


@pytest.fixture(scope="session")
def photo(media: Path) -> Path:
    """A PNG, 120 by 80: its left third red, the rest blue."""
    return _write_picture(media / "photo.png")


@pytest.fixture(scope="session")
def turned_photo(media: Path) -> Path:
    """The same as a JPEG with EXIF orientation 6: it is shown 80 by 120, red at the top."""
    path = _write_picture(media / "turned.jpg")
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0" + tiff
    jpeg = path.read_bytes()
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    return path


@pytest.fixture(scope="session")
def covered_music(make: FFmpeg, photo: Path) -> Path:
    """Two seconds of MP3 with an attached cover."""
    cover = ("-map", "0", "-map", "1", "-c:v", "mjpeg", "-disposition:v", "attached_pic")
    return make(*TONE, "-i", photo, *cover, "covered.mp3")


@pytest.fixture(scope="session")
def another() -> Callable[[Path, Path], Path]:
    """Copy an MP4 so that it shows the same, yet is another file: a box that players pass over tells them apart."""

    def copy(clip: Path, target: Path) -> Path:
        name = os.fsencode(target)
        target.write_bytes(clip.read_bytes() + struct.pack(">I4s", 8 + len(name), b"free") + name)
        old = time.time() - 60  # the library does not trust the time of a file that was just written
        os.utime(target, (old, old))
        return target

    return copy


@pytest.fixture(params=ODD_NAMES, ids=ascii)
def odd_name(request: pytest.FixtureRequest) -> str:
    """A file name that a careless program would take for something else."""
    return _possible(str(request.param))


@pytest.fixture(scope="session")
def odd_names() -> tuple[str, ...]:
    """All such names."""
    return ODD_NAMES if os.name == "posix" else tuple(n for n in ODD_NAMES if not set(n) & set('\n:"*?\\'))


def _possible(name: str) -> str:
    if os.name != "posix" and set(name) & set('\n:"*?\\'):
        pytest.skip("not a file name on this system")
    return name


def _write_picture(path: Path) -> Path:
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[:, :40], picture[:, 40:] = (0, 0, 255), (255, 0, 0)
    _, data = cv2.imencode(path.suffix, picture)
    data.tofile(path)
    return path


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Wait until something is so; fail when it is not within a generous time."""

    def wait(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"never came: {what}"
            time.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def cluster() -> Iterator[RayCluster]:
    """A Ray cluster of one node; more may join."""
    with ray_cluster(processors=2) as running:
        yield running


@pytest.fixture(scope="session")
def shapes_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny CLIP that knows drawn shapes by their colour, trained once for all processes of a run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shapes-model"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            draft = folder.with_suffix(".draft")
            train(draft)
            draft.rename(folder)
    return folder
