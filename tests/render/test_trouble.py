"""What goes wrong while a film is rendered: damaged caches, clips that change or fail, are noticed and mended."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import montage_ai
from montage_ai import config
from montage_ai.edit.brief import Brief
from montage_ai.edit.styles import load_style
from montage_ai.errors import ClipsFailedError, FFmpegError, VerificationError
from montage_ai.events import Event, Notice
from montage_ai.media.files import sha256
from montage_ai.render import assembly, segments
from scripts.demo import bouncing_ball, passing_cars, turning_wheel, write_clip, write_music
from tests.render.conftest import MakeItem, film_of, render

Run = Callable[..., str]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of two seconds and a piece of music."""
    folder = tmp_path_factory.mktemp("clips")
    for number, drawn in enumerate((bouncing_ball, turning_wheel, passing_cars)):
        write_clip(folder / f"{number}.mp4", (320, 180), 3, drawn, seed=number)
    write_music(folder / "music.wav")
    return folder


def make(folder: Path, output: Path, **wishes: object) -> tuple[montage_ai.Film, list[Event]]:
    told: list[Event] = []
    fields = {"quality": "preview", "stabilize": "never", "duration": 6.0} | wishes
    brief = Brief(style=load_style("dynamic"), **fields)  # type: ignore[arg-type]
    places = sorted(folder.glob("*.mp4"))
    return montage_ai.make_montage(places, folder / "music.wav", output, brief=brief, emit=told.append), told


def changed(path: Path) -> dict[str, Callable[[], object]]:
    """Ways in which a file may be damaged."""
    content = path.read_bytes()
    middle = len(content) // 2
    return {
        "flipped": lambda: path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]),
        "random": lambda: path.write_bytes(os.urandom(len(content))),
        "shorter": lambda: path.write_bytes(content[:middle]),
        "empty": lambda: path.write_bytes(b""),
        "gone": path.unlink,
    }


@pytest.mark.slow
def test_whatever_file_of_the_cache_is_damaged_the_film_is_the_same(clips: Path, tmp_path: Path) -> None:
    film, _ = make(clips, tmp_path / "film.mp4", stabilize="always")
    whole = sha256(film.output)
    cache = config.cache_dir()
    files = sorted(path for path in cache.rglob("*") if path.is_file() and "runs" not in path.parts)
    kinds = {path.suffix for path in files}
    assert {".mp4", ".jpg", ".m4a", ".cube", ".json", ".sha256"} <= kinds
    for number, path in enumerate(files):
        if not path.exists():
            continue
        ways = changed(path)
        way = list(ways)[number % len(ways)]
        if path.stat().st_size < 2 and way != "gone":
            continue
        ways[way]()
        make(clips, tmp_path / "film.mp4", stabilize="always")
        assert sha256(film.output) == whole, (path, way)


def test_a_clip_that_changes_while_it_is_rendered_is_left_out_and_never_kept(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "footage"
    shutil.copytree(clips, folder)
    original, victim = (folder / "1.mp4").read_bytes(), folder / "1.mp4"
    real: Run = segments.run_ffmpeg
    swapped: list[bool] = []

    def swap(arguments: Sequence[str], **options: Any) -> str:
        if not swapped and str(victim) in " ".join(arguments):
            swapped.append(True)
            shutil.copyfile(folder / "0.mp4", tmp_path / "other.mp4")
            (tmp_path / "other.mp4").replace(victim)
        return real(arguments, **options)

    monkeypatch.setattr(segments, "run_ffmpeg", swap)
    film, told = make(folder, tmp_path / "film.mp4")
    assert swapped
    assert victim not in {item.clip.path for item in film.timeline.items}
    assert any(isinstance(e, Notice) and e.file == victim and "changed" in e.text for e in told)
    victim.write_bytes(original)
    again, _ = make(folder, tmp_path / "again.mp4")
    shutil.rmtree(config.cache_dir())
    fresh, _ = make(folder, tmp_path / "fresh.mp4")
    assert again.timeline == fresh.timeline
    assert sha256(again.output) == sha256(fresh.output)


def test_a_clip_that_no_seek_finds_is_read_from_its_beginning(
    make_item: MakeItem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = film_of([make_item("red", 10, start=1), make_item("blue", 15)])
    render(film, tmp_path / "sought.mp4")
    shutil.rmtree(config.cache_dir())
    real: Run = segments.run_ffmpeg

    def refuse(arguments: Sequence[str], **options: Any) -> str:
        if "-ss" in arguments:
            raise FFmpegError("FFmpeg ended with exit code 187:\n  Error while seeking")
        return real(arguments, **options)

    monkeypatch.setattr(segments, "run_ffmpeg", refuse)
    render(film, tmp_path / "read.mp4")
    assert sha256(tmp_path / "read.mp4") == sha256(tmp_path / "sought.mp4")


def test_clips_that_fail_are_left_out_together_and_the_film_is_planned_again(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "footage"
    shutil.copytree(clips, folder)
    real: Run = segments.run_ffmpeg

    def refuse(arguments: Sequence[str], **options: Any) -> str:
        if any(str(folder / name) in " ".join(arguments) for name in ("0.mp4", "2.mp4")):
            raise FFmpegError("FFmpeg ended with exit code 69:\n  Invalid data found when processing input")
        return real(arguments, **options)

    monkeypatch.setattr(segments, "run_ffmpeg", refuse)
    film, told = make(folder, tmp_path / "film.mp4")
    assert {item.clip.path.name for item in film.timeline.items} == {"1.mp4"}
    assert {one.path.name for one in film.footage.skipped} == {"0.mp4", "2.mp4"}
    texts = [e.text for e in told if isinstance(e, Notice) and e.level == "warning" and e.file]
    assert len(texts) == 2
    assert not any("FFmpeg" in text or "Invalid data" in text for text in texts)
    monkeypatch.setattr(segments, "run_ffmpeg", lambda *a, **k: refuse([str(folder / "0.mp4")]))
    with pytest.raises(ClipsFailedError):
        make(folder, tmp_path / "none.mp4", seed=1)


def test_a_shot_that_cannot_be_steadied_is_shown_as_it_is(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from montage_ai.offload.executors.local import LocalExecutor

    async def refuse(self: LocalExecutor, work: object, on_done: object) -> None:
        raise FFmpegError("vid.stab: width and height must be a multiple of 2")

    monkeypatch.setattr(LocalExecutor, "compute", refuse)
    film, told = make(clips, tmp_path / "film.mp4", stabilize="always")
    assert film.rendered is not None
    assert film.rendered.steadied == frozenset()
    assert any(isinstance(e, Notice) and "cannot be steadied" in e.text for e in told)


def test_a_film_whose_pictures_are_not_those_of_its_segments_is_not_published(
    make_item: MakeItem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = film_of([make_item("red", 10), make_item("blue", 10)])
    real: Run = assembly.run_ffmpeg

    def exchange(arguments: Sequence[str], *, feed: list[bytes], **options: Any) -> str:
        lines = feed[0].splitlines(keepends=True)
        return real(arguments, feed=[b"".join(reversed(lines))], **options)

    monkeypatch.setattr(assembly, "run_ffmpeg", exchange)
    with pytest.raises(VerificationError, match="is not the one that was rendered"):
        render(film, tmp_path / "film.mp4")
    assert not (tmp_path / "film.mp4").exists()


def test_a_file_that_was_only_touched_is_the_same(make_item: MakeItem, tmp_path: Path) -> None:
    """Backups link files and servers change their numbers: what counts in the end is the content."""
    from montage_ai.render.sources import open_sources

    film = film_of([make_item("red", 10)])
    clip = film.items[0].clip.path
    copy = tmp_path / "clip.mp4"
    shutil.copyfile(clip, copy)
    item = film.items[0].model_copy(update={"clip": film.items[0].clip.model_copy(update={"path": copy})})
    sources = open_sources(film_of([item]))
    os.utime(copy, (1, 1))
    copy.chmod(0o640)
    sources.check(copy)
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    with pytest.raises(ClipsFailedError, match="changed"):
        sources.check(copy)


def test_a_stretch_without_a_frame_is_counted_as_none(tmp_path: Path, plain: Path) -> None:
    from montage_ai.media.ffmpeg import run_ffmpeg
    from montage_ai.render.segments import inspect

    run_ffmpeg(["-ss", "100", "-i", f"file:{plain}", "-an", "-c:v", "libx264", f"file:{tmp_path / 'none.mp4'}"])
    assert inspect(tmp_path / "none.mp4") == (0, None)
    (tmp_path / "noise.mp4").write_bytes(os.urandom(5000))
    with pytest.raises(VerificationError):
        inspect(tmp_path / "noise.mp4")
