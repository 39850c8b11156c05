"""A folder of drawn footage, music whose beats are known, and the program as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.demo import bouncing_ball, passing_cars, turning_wheel, write_clip, write_music, write_photo

Program = Callable[..., "Ran"]


@dataclass(frozen=True)
class Ran:
    """What a run of the program left."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def film(self) -> dict[str, Any]:
        return next(event for event in self.events if event["event"] == "film")


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    write_clip(folder / "ball.mp4", (320, 180), 6, bouncing_ball, seed=1)
    write_clip(folder / "wheel.mp4", (320, 180), 6, turning_wheel, seed=2, fps=25)
    write_clip(folder / "cars upright.mp4", (180, 320), 5, passing_cars, seed=3)
    write_clip(folder / "handheld.mp4", (640, 360), 5, passing_cars, seed=4, shakes=True)
    write_photo(folder / "photo.jpg")
    return folder


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 beats a minute, the first at 0; 24.5 s."""
    path = tmp_path_factory.mktemp("music") / "music.wav"
    write_music(path)
    return path


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Run ``montage-ai`` in an empty folder with a home of its own."""

    def run(*arguments: str | Path, timeout: float = 240) -> Ran:
        done = subprocess.run(
            command(*arguments), capture_output=True, text=True, cwd=tmp_path, timeout=timeout, check=False
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "montage_ai", *map(str, arguments)]
