"""A stretch of a clip begins with exactly its first frame, though the container can only guess where that is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from montage_ai.media.ffmpeg import run_ffmpeg
from montage_ai.media.probe import probe
from montage_ai.media.stretch import Stretch, seek_margin
from tests.conftest import FFmpeg

FRAMES, RATE = 220, 25


@pytest.fixture(scope="module", params=["mp4", "mkv", "ts", "mpg", "ts one key frame", "ts late"])
def numbered(request: pytest.FixtureRequest, make: FFmpeg) -> Path:
    """Frame n has the brightness 20 + n; long groups of pictures."""
    suffix, *how = str(request.param).split(" ", 1)
    picture = f"color=black:size=64x64:rate={RATE},trim=end_frame={FRAMES},format=yuv420p,geq=lum=20+N:cb=128:cr=128"
    coder = ["-c:v", "mpeg2video", "-q:v", "2"] if suffix == "mpg" else ["-c:v", "libx264", "-qp", "4", "-bf", "2"]
    group = "9999" if how == ["one key frame"] else "100"
    late = ["-output_ts_offset", "7"] if how == ["late"] else []
    options = ["-g", group, "-keyint_min", group, "-sc_threshold", "0" if suffix != "mpg" else "1000000000", *late]
    return make("-f", "lavfi", "-i", picture, *coder, *options, f"numbered{'-'.join(how).replace(' ', '')}.{suffix}")


def shown(stretch: Stretch, folder: Path) -> list[int]:
    """The numbers of the frames that come out of the stretch's filters."""
    filters = ",".join([*stretch.filters(), "crop=16:16"])
    output = folder / "frames.gray"
    picture = ["-map", "0:V:0", "-fps_mode", "passthrough", "-vf", filters, "-pix_fmt", "yuv420p", "-f", "rawvideo"]
    run_ffmpeg(["-loglevel", "error", *stretch.input_arguments(), *picture, f"file:{output}"])
    planes = np.fromfile(output, np.uint8).reshape(-1, 16 * 16 * 3 // 2)[:, : 16 * 16]
    return [round(float(plane.mean())) - 20 for plane in planes]


@pytest.mark.parametrize("first", [0, 1, 60, 99, 100, 190])
def test_it_begins_with_its_first_frame_and_ends_with_its_last(numbered: Path, tmp_path: Path, first: int) -> None:
    info = probe(numbered)
    start = max(Fraction(0), (first - Fraction(1, 2)) / RATE)  # half a frame before it
    stretch = Stretch(info, start, Fraction(10, RATE), seek_margin(info, start))
    assert shown(stretch, tmp_path) == pytest.approx(list(range(first, first + 10)), abs=1)
    assert len(shown(Stretch(info), tmp_path)) == FRAMES


def test_where_there_is_an_index_nothing_is_read_that_is_not_needed(plain: Path) -> None:
    assert seek_margin(probe(plain), Fraction(1)) == 0
