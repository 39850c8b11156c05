"""Small real clips to render from."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from montage_ai.edit.timeline import ClipSource, Item, Source, Timeline, Transition
from montage_ai.events import ignore
from montage_ai.media.ffmpeg import run_ffmpeg
from montage_ai.media.files import sha256
from montage_ai.render.film import Rendered, render_film

MakeItem = Callable[..., Item]

COLOURS = {
    "red": (0xE0, 0x20, 0x20),
    "green": (0x20, 0xC0, 0x40),
    "blue": (0x30, 0x40, 0xE0),
    "grey": (0x80, 0x80, 0x80),
}


@pytest.fixture(scope="session")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A two-second clip of each colour, with a tone; 320x180 at 25 frames a second."""
    folder = tmp_path_factory.mktemp("coloured")
    clips = {}
    for pitch, (name, colour) in enumerate(COLOURS.items(), 1):
        clips[name] = folder / f"{name}.mp4"
        picture = f"color=0x{bytes(colour).hex()}:size=320x180:rate=25:duration=2,format=rgb24"
        tone = f"sine=frequency={300 * pitch}:duration=2:sample_rate=48000"
        convert = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setparams=colorspace=bt709:range=tv"
        run_ffmpeg(
            [
                *("-loglevel", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, "-vf", convert),
                *("-c:v", "libx264", "-preset", "ultrafast", "-qp", "8", "-c:a", "aac", f"file:{clips[name]}"),
            ]
        )
    return clips


@pytest.fixture
def make_item(coloured: dict[str, Path]) -> MakeItem:
    def make(name: str, frames: int = 10, start: Fraction = Fraction(0), **fields: object) -> Item:
        clip = ClipSource(path=coloured[name], sha256=sha256(coloured[name]))
        return Item(clip=clip, start=start, frames=frames, **fields)  # type: ignore[arg-type]

    return make


def film_of(
    items: list[Item],
    transitions: tuple[Transition | None, ...] | None = None,
    music: Path | None = None,
    **fields: object,
) -> Timeline:
    joins = (None,) * (len(items) - 1) if transitions is None else transitions
    source = Source(path=music, sha256=sha256(music)) if music else None
    frame = {"fps": Fraction(25), "width": 320, "height": 180, "quality": "standard"} | fields
    return Timeline(items=tuple(items), transitions=joins, music=source, **frame)  # type: ignore[arg-type]


def render(timeline: Timeline, output: Path) -> Rendered:
    return render_film(timeline, output, ignore)


def pictures(path: Path) -> list[np.ndarray]:
    """All frames as RGB."""
    import av

    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def write_wav(path: Path, samples: np.ndarray, rate: int = 48_000) -> Path:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path
