"""Colours of clips: whatever gamut, range and transfer a clip has, the film shows it as BT.709 SDR and says so."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from montage_ai.edit.timeline import ClipSource, Item
from montage_ai.media.files import sha256
from tests.conftest import FFmpeg
from tests.render.conftest import film_of, pictures, render

RED = (191, 32, 32)
H265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params")

KINDS = {
    "bt709": "scale=out_color_matrix=bt709,format=yuv420p,setparams=colorspace=bt709:range=tv",
    "bt601": "scale=out_color_matrix=bt601,format=yuv420p,setparams=colorspace=smpte170m:range=tv",
    "full range": "scale=out_color_matrix=bt709:out_range=pc,format=yuvj420p,setparams=colorspace=bt709:range=pc",
    "bt2020": "zscale=pin=709:tin=709:min=gbr:p=2020:m=2020_ncl:t=709:r=limited,format=yuv420p10le",
    "display p3": "zscale=pin=709:tin=709:min=gbr:p=smpte432:m=709:t=709:r=limited,format=yuv420p",
}


def clip_of(make: FFmpeg, kind: str) -> Path:
    red = f"color=0x{bytes(RED).hex()}:size=320x180:rate=25:duration=1,format=gbrp,{KINDS[kind]}"
    lossless = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:qp=4")
    return make("-f", "lavfi", "-i", red, *lossless, f"{kind.replace(' ', '')}.mp4")


def frame_of(path: Path, folder: Path) -> np.ndarray:
    clip = ClipSource(path=path, sha256=sha256(path))
    render(film_of([Item(clip=clip, start=Fraction(0), frames=10)]), folder / "film.mp4")
    return pictures(folder / "film.mp4")[5]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_red_comes_out_of_every_kind_of_clip(make: FFmpeg, tmp_path: Path, kind: str) -> None:
    shown = frame_of(clip_of(make, kind), tmp_path).reshape(-1, 3).mean(axis=0)
    assert np.abs(shown - RED).max() < 5, shown


def test_the_film_says_what_it_is(make: FFmpeg, tmp_path: Path) -> None:
    frame_of(clip_of(make, "bt2020"), tmp_path)
    with av.open(str(tmp_path / "film.mp4")) as film:
        frame = next(film.decode(video=0))
        codes = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
        assert tuple(map(int, codes)) == (1, 1, 1, 1)
        assert frame.format.name == "yuv420p"


def test_what_an_hdr_file_says_of_its_display_is_not_said_of_the_film(make: FFmpeg, tmp_path: Path) -> None:
    display = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50):max-cll=4000,400"
    tags = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
    white = f"color=white:size=320x180:rate=25:duration=1,format=yuv420p10le,{tags}"
    hdr = make("-f", "lavfi", "-i", white, *H265, f"log-level=error:hdr10=1:{display}", "-tag:v", "hvc1", "bright.mp4")
    assert frame_of(hdr, tmp_path).mean() > 200
    with av.open(str(tmp_path / "film.mp4")) as film:
        frame = next(film.decode(video=0))
        assert {str(data.type) for data in frame.side_data} <= {"Type.SEI_UNREGISTERED"}
        assert frame.to_ndarray()[:180].max() <= 235
