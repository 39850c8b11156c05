"""Synthesise footage and a piece of music, and cut them to a film: ``python scripts/demo.py FOLDER``.

Nothing is downloaded. The footage is drawn (moving shapes over colour fields, one clip shaking, one upright, a photo);
the music is a minute of drums, bass and chords at 120 beats a minute with a quiet beginning and a break.
"""

from __future__ import annotations

import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from montage_ai.media.ffmpeg import run_ffmpeg

RATE = 44_100
TEMPO = 120.0
BARS = 12

Picture = NDArray[np.uint8]
Drawer = Callable[[Picture, float, np.random.Generator], None]


def main(folder: Path) -> int:
    footage = folder / "footage"
    footage.mkdir(parents=True, exist_ok=True)
    for number, (name, size, draw, shakes) in enumerate(CLIPS):
        path = footage / f"{name}.mp4"
        if not path.exists():
            print(f"drawing {path}")
            write_clip(path, size, 8.0, draw, seed=number, shakes=shakes)
    write_photo(footage / "photo.jpg")
    write_music(folder / "music.wav")
    film = folder / "film.mp4"
    command = [sys.executable, "-m", "montage_ai", "make", str(footage), "--music", str(folder / "music.wav")]
    return subprocess.run([*command, "-o", str(film), "--style", "dynamic"], check=False).returncode


def write_clip(
    path: Path, size: tuple[int, int], seconds: float, draw: Drawer, *, seed: int, shakes: bool = False, fps: int = 30
) -> None:
    """Draw a clip of moving shapes."""
    width, height = size
    rng = np.random.default_rng(seed)
    ground = backdrop(width + 80, height + 80, rng)
    shake = np.cumsum(rng.normal(0, 2.5, (round(seconds * fps), 2)), axis=0) if shakes else None

    def frames() -> list[bytes]:
        made = []
        for index in range(round(seconds * fps)):
            x, y = (np.clip(shake[index], -38, 38) + 40).astype(int) if shake is not None else (40, 40)
            picture = ground[y : y + height, x : x + width].copy()
            draw(picture, index / fps, np.random.default_rng(seed))
            made.append(picture.tobytes())
        return made

    arguments = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-video_size", f"{width}x{height}", "-framerate", str(fps)]
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", f"file:{path}"]
    run_ffmpeg(["-loglevel", "error", *arguments, "-i", "pipe:0", *encode], feed=frames())


def backdrop(width: int, height: int, rng: np.random.Generator) -> Picture:
    """A soft colour field with some texture, so that there is something to see moving."""
    small = rng.integers(40, 200, (5, 8, 3), dtype=np.uint8)
    field = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(60):
        x, y, size = int(rng.integers(0, width)), int(rng.integers(0, height)), int(rng.integers(4, 26))
        colour = [int(c) for c in rng.integers(20, 240, 3)]
        cv2.rectangle(field, (x, y), (x + size, y + size), colour, -1)
    return field.astype(np.uint8)


def bouncing_ball(picture: Picture, time: float, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    x = int(width * (0.5 + 0.4 * np.sin(1.3 * time + rng.random())))
    y = int(height * (0.85 - 0.6 * abs(np.sin(2.6 * time))))
    cv2.circle(picture, (x, y), height // 9, (60, 90, 235), -1, cv2.LINE_AA)


def turning_wheel(picture: Picture, time: float, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    for spoke in range(8):
        angle = spoke * np.pi / 4 + 1.8 * time + rng.random()
        tip = (int(width / 2 + height / 3 * np.cos(angle)), int(height / 2 + height / 3 * np.sin(angle)))
        cv2.line(picture, (width // 2, height // 2), tip, (230, 230, 240), max(2, height // 60), cv2.LINE_AA)


def passing_cars(picture: Picture, time: float, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    for lane in range(3):
        speed, colour = rng.uniform(0.2, 0.7), [int(c) for c in rng.integers(60, 255, 3)]
        x = int(((time * speed + rng.random()) % 1.3 - 0.15) * width)
        y = int(height * (0.55 + 0.14 * lane))
        cv2.rectangle(picture, (x, y), (x + width // 9, y + height // 14), colour, -1)


def rising_bubbles(picture: Picture, time: float, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    for _ in range(24):
        x, start, speed = rng.random() * width, rng.random(), rng.uniform(0.05, 0.2)
        y = height * (1 - (start + speed * time) % 1)
        cv2.circle(picture, (int(x), int(y)), int(height / 40), (250, 220, 160), 2, cv2.LINE_AA)


CLIPS: list[tuple[str, tuple[int, int], Drawer, bool]] = [
    ("ball", (640, 360), bouncing_ball, False),
    ("wheel", (640, 360), turning_wheel, False),
    ("cars", (640, 360), passing_cars, False),
    ("bubbles upright", (360, 640), rising_bubbles, False),
    ("handheld", (640, 360), bouncing_ball, True),
    ("night", (640, 360), turning_wheel, False),
]


def write_photo(path: Path) -> None:
    picture = backdrop(1280, 853, np.random.default_rng(99))
    cv2.circle(picture, (640, 426), 180, (40, 200, 250), -1, cv2.LINE_AA)
    path.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())


def write_music(path: Path) -> None:
    """Drums, bass and chords; the first two bars and the ninth are quiet."""
    beat = 60 / TEMPO
    track = np.zeros(round(BARS * 4 * beat * RATE) + RATE // 2)
    rng = np.random.default_rng(7)
    for bar in range(BARS):
        quiet = bar < 2 or bar == 8
        for step in range(8):
            start = (bar * 4 + step / 2) * beat
            if not quiet and step % 2 == 0:
                add(track, start, kick() if step % 4 == 0 else snare(rng))
            add(track, start, hat(rng) * (0.3 if quiet else 1.0))
        for note in ((110.0, 220.0, 277.2, 329.6), (98.0, 196.0, 246.9, 293.7))[bar % 2]:
            add(track, bar * 4 * beat, chord(note, 4 * beat) * (0.5 if quiet else 1.0))
    samples = (track / np.abs(track).max() * 0.8 * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def add(track: NDArray[np.float64], start: float, sound: NDArray[np.float64]) -> None:
    first = round(start * RATE)
    end = min(len(track), first + len(sound))
    track[first:end] += sound[: end - first]


def decay(seconds: float, rate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    time = np.arange(round(seconds * RATE)) / RATE
    return time, np.exp(-rate * time)


def kick() -> NDArray[np.float64]:
    time, fall = decay(0.25, 18)
    return 1.2 * fall * np.sin(2 * np.pi * (50 * time + 4 * (1 - np.exp(-30 * time))))


def snare(rng: np.random.Generator) -> NDArray[np.float64]:
    time, fall = decay(0.2, 22)
    return fall * (0.5 * rng.normal(size=len(time)) + 0.4 * np.sin(2 * np.pi * 190 * time))


def hat(rng: np.random.Generator) -> NDArray[np.float64]:
    time, fall = decay(0.06, 70)
    return 0.3 * fall * np.diff(rng.normal(size=len(time) + 1))


def chord(pitch: float, seconds: float) -> NDArray[np.float64]:
    time, fall = decay(seconds, 1.2)
    return 0.12 * fall * (np.sin(2 * np.pi * pitch * time) + 0.3 * np.sin(4 * np.pi * pitch * time))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo")))
