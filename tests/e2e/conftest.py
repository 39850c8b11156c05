"""A folder of drawn footage, music whose beats are known, and the program as a person runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import montage_ai
from scripts.demo import bouncing_ball, passing_cars, turning_wheel, write_clip, write_music, write_photo
from tests.e2e.starting import Ran, start

Program = Callable[..., Ran]


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    write_clip(folder / "ball.mp4", (320, 180), 6, bouncing_ball, seed=1)
    write_clip(folder / "wheel.mp4", (320, 180), 6, turning_wheel, seed=2, fps=25)
    write_clip(folder / "cars upright.mp4", (180, 320), 5, passing_cars, seed=3)
    write_clip(folder / "handheld.mp4", (640, 360), 5, passing_cars, seed=4, shakes=True)
    write_photo(folder / "photo.jpg")
    for path in folder.iterdir():
        make_old(path)
    return folder


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 beats a minute, the first at 0; 24.5 s."""
    path = tmp_path_factory.mktemp("music") / "music.wav"
    write_music(path)
    make_old(path)
    return path


def make_old(path: Path) -> None:
    """Date it back: what was written this moment is looked at again, for it may be written on."""
    os.utime(path, (path.stat().st_mtime - 60,) * 2)


@pytest.fixture(scope="session")
def experienced(tmp_path_factory: pytest.TempPathFactory, footage: Path, music: Path) -> Path:
    """A home that knows ``footage`` and ``music``."""
    folder = tmp_path_factory.mktemp("experienced") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MONTAGE_AI_HOME", str(folder))
        montage_ai.analyze([footage])
        montage_ai.beats(music)
    return folder


@pytest.fixture
def known(experienced: Path, home: Path) -> None:
    """The program has looked at ``footage`` and listened to ``music`` before: for tests of what comes after that."""
    shutil.copytree(experienced, home, dirs_exist_ok=True)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Run ``montage-ai`` in an empty folder with a home of its own."""

    def run(*arguments: str | Path, timeout: float = 240) -> Ran:
        return start([str(one) for one in arguments], tmp_path, timeout)

    return run


@pytest.fixture
def new_program(tmp_path: Path) -> Program:
    """The same in a process that begins with nothing: where libraries read the environment as they are imported."""

    def run(*arguments: str | Path, timeout: float = 240) -> Ran:
        done = subprocess.run(
            command(*arguments), capture_output=True, text=True, cwd=tmp_path, timeout=timeout, check=False
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


def command(*arguments: str | Path) -> list[str]:
    """What starts it in a process of its own."""
    return [sys.executable, "-m", "montage_ai", *map(str, arguments)]
