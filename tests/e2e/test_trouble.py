"""What can go wrong: a clear message, the right exit code, nothing lost, no half film, and the next run carries on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.e2e.conftest import Program, command
from tests.render.conftest import write_wav

QUICK = ("--quality", "preview", "--duration", "6")


@pytest.fixture
def mixed(footage: Path, tmp_path: Path) -> Path:
    """Good clips among bad ones."""
    folder = tmp_path / "mixed footage"
    folder.mkdir()
    for name, source in (("good 'n' \"quoted\" 🎬.mp4", "ball.mp4"), ("-dash.mp4", "wheel.mp4")):
        (folder / name).write_bytes((footage / source).read_bytes())
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    (folder / "empty.mov").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("not footage")
    return folder


def test_bad_files_are_named_and_the_film_is_made_of_the_rest(program: Program, mixed: Path, music: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in mixed.iterdir()}
    mixed.chmod(0o555)
    ran = program("make", mixed, "-m", music, "-o", "film.mp4", "--json", *QUICK)
    mixed.chmod(0o755)
    assert ran.code == 0, ran.err
    warned = {
        Path(e["file"]).name for e in ran.events if e["event"] == "notice" and e["level"] == "warning" and e["file"]
    }
    assert {"noise.mp4", "empty.mov", "text.jpg"} <= warned
    assert {Path(s["clip"]).name for s in ran.film["shots"]} == {"good 'n' \"quoted\" 🎬.mp4", "-dash.mp4"}
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in mixed.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("make", "nowhere", "-m", "{music}"), "nowhere: does not exist"),
        (("make", "empty", "-m", "{music}"), "holds no footage"),
        (("make", "bad", "-m", "{music}"), "holds no footage that can be used"),
        (("make", "{footage}", "-m", "nothing.mp3"), "nothing.mp3: is not a file"),
        (("make", "{footage}", "-m", "bad/noise.mp4"), "noise.mp4: cannot be read as media"),
        (
            ("make", "{footage}", "-m", "{music}", "-o", "taken.mp4"),
            "taken.mp4: exists and was not made by this program",
        ),
        (("make", "{footage}", "-m", "{music}", "-o", "empty"), "empty: is a folder"),
        (("make", "{footage}", "-m", "{music}", "-o", "/dev/null/film.mp4"), "cannot be written"),
        (("make", "{footage}", "-m", "{music}", "-o", "{footage}/ball.mp4"), "one of the sources"),
        (("make", "{footage}", "-m", "{music}", "--style", "noir"), "There is no style 'noir'"),
        (("make", "{footage}", "-m", "{music}", "--duration", "-3"), "--duration"),
        (("make", "{footage}", "-m", "{music}", "--fps", "many"), "--fps is 'many'"),
        (("make", "{footage}", "-m", "{music}", "--pin", "nobody.mp4"), "No clip is called 'nobody.mp4'"),
        (("make", "{footage}", "-m", "{music}", "--lut", "nothing.cube"), "nothing.cube"),
        (("make", "{footage}"), "--music"),
        (("render", "taken.mp4", "-o", "x.mp4"), "is not a timeline"),
        (("stabilize", "bad/noise.mp4", "-o", "x.mp4"), "cannot be read as media"),
        (("beats", "{footage}/photo.jpg"), "holds no sound"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_are_told_with_exit_code_2(
    program: Program, footage: Path, music: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "noise.mp4").write_bytes(b"\x00\x01\x02" * 999)
    (tmp_path / "taken.mp4").write_text("a file of someone else's")
    ran = program(*(a.format(footage=footage, music=music) for a in arguments))
    assert ran.code == 2, ran.err
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert (tmp_path / "taken.mp4").read_text() == "a file of someone else's"


def test_a_film_among_its_footage_is_no_footage(program: Program, footage: Path, music: Path, tmp_path: Path) -> None:
    for name in ("ball.mp4", "wheel.mp4"):
        (tmp_path / name).write_bytes((footage / name).read_bytes())
    (tmp_path / "track.wav").write_bytes(music.read_bytes())
    arguments = ("make", ".", "-m", "track.wav", "--json", *QUICK)
    first = program(*arguments)
    assert first.code == 0, first.err
    again = program(*arguments, "-o", "film.mp4", "--seed", "1")  # where it is by default
    assert again.code == 0, again.err
    other = program(*arguments, "-o", "other.mp4", "--plan")
    for ran in (first, again, other):
        assert {Path(shot["clip"]).name for shot in ran.film["shots"]} == {"ball.mp4", "wheel.mp4"}
    assert any("film that this program made" in e.get("text", "") for e in other.events)
    (tmp_path / "edited.mp4").write_bytes((tmp_path / "film.mp4").read_bytes())  # but another name is another's
    assert "edited.mp4" in str(program("analyze", ".", "--json").events)


@pytest.mark.usefixtures("known")
def test_force_replaces_and_our_own_film_is_replaced_without(
    program: Program, footage: Path, music: Path, tmp_path: Path
) -> None:
    (tmp_path / "film.mp4").write_text("a file of someone else's")
    arguments = ("make", footage, "-m", music, *QUICK)
    assert program(*arguments).code == 2
    assert program(*arguments, "--force").code == 0
    assert program(*arguments, "--seed", "5").code == 0
    with (tmp_path / "film.mp4").open("ab") as file:
        file.write(b"edited")
    assert program(*arguments).code == 2


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros(48_000 * 6), "silent"),
        (np.random.default_rng(2).normal(0, 0.1, 48_000 * 6), "pulse"),
        (np.sin(np.arange(48_000) * 0.05) * 0.3, "short"),
    ],
    ids=["silence", "noise", "shorter than a bar"],
)
@pytest.mark.usefixtures("known")
def test_music_without_a_pulse_makes_a_film_and_says_what_it_was_cut_on(
    program: Program, footage: Path, tmp_path: Path, samples: np.ndarray, said: str
) -> None:
    track = write_wav(tmp_path / "track.wav", samples)
    ran = program("make", footage, "-m", track, "--quality", "preview")
    assert ran.code == 0, ran.err
    assert said in ran.err
    assert (tmp_path / "film.mp4").exists()


LOOKING = "Looking at the footage"


@pytest.mark.parametrize(
    ("stage", "ending"),
    [
        (LOOKING, signal.SIGINT),
        ("Steadying shaky shots", signal.SIGTERM),
        ("Rendering", signal.SIGKILL),
        pytest.param(LOOKING, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param("Steadying shaky shots", signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param("Rendering", signal.SIGINT, marks=pytest.mark.slow),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_an_interrupted_run_leaves_no_film_and_the_next_carries_on(
    request: pytest.FixtureRequest,
    program: Program,
    footage: Path,
    music: Path,
    tmp_path: Path,
    stage: str,
    ending: signal.Signals,
) -> None:
    if stage != LOOKING:
        request.getfixturevalue("known")
    arguments = ("make", footage, "-m", music, "--json", *QUICK, "--stabilize", "always")
    running = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, cwd=tmp_path, text=True)
    assert running.stdout is not None
    for line in running.stdout:
        event = json.loads(line)
        if event["event"] == "stage" and event["stage"] == stage:
            break
    children = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(ending)
    code = running.wait(timeout=60)
    assert code == (-signal.SIGKILL if ending == signal.SIGKILL else 128 + ending)
    gone, _ = psutil.wait_procs(children, timeout=20)
    assert all(child in gone or child.status() == psutil.STATUS_ZOMBIE for child in children), "a child outlived it"
    assert not (tmp_path / "film.mp4").exists()
    if ending != signal.SIGKILL:
        assert list(tmp_path.glob(".*")) == []
        assert [path.name for path in segments().glob(".*")] == []
    ran = program(*arguments)
    assert ran.code == 0, ran.err
    assert stage == LOOKING or ran.film["decoded"] == 0


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL], ids=lambda s: s.name)
@pytest.mark.usefixtures("known")
def test_a_program_that_ends_as_its_film_appears_may_make_it_again(
    program: Program, footage: Path, music: Path, tmp_path: Path, ending: signal.Signals
) -> None:
    arguments = ("make", footage, "-m", music, *QUICK)
    assert program(*arguments, "-o", "first.mp4").code == 0  # so that only joining is left
    code = f"""
import os, signal, sys
from montage_ai.api import montage
def end(*arguments, **others):
    os.kill(os.getpid(), {int(ending)})
montage.write_otio = end
sys.argv = ["montage-ai", *sys.argv[1:]]
from montage_ai.cli import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=tmp_path, check=False)
    assert ended.returncode in (130, -signal.SIGKILL)
    assert (tmp_path / "film.mp4").exists()
    ran = program(*arguments)
    assert ran.code == 0, ran.err
    assert (tmp_path / "film.otio").exists()


def segments() -> Path:
    return Path(os.environ["MONTAGE_AI_HOME"]) / "cache" / "segments"


def as_anyone() -> list[str]:
    """What runs a command without root's right to write anywhere."""
    if os.name != "posix" or os.geteuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write anywhere, and there is no setpriv")
    return ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]


@pytest.mark.skipif(os.name != "posix", reason="folders have no such mode")
@pytest.mark.parametrize("what", ["make", "stabilize"])
def test_an_unwritable_folder_is_the_users_mistake_and_sources_may_lie_in_one(
    footage: Path, music: Path, tmp_path: Path, what: str
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    for name in ("ball.mp4", "handheld.mp4"):
        (locked / name).write_bytes((footage / name).read_bytes())
    locked.chmod(0o555)
    arguments = ("make", locked, "-m", music, *QUICK) if what == "make" else ("stabilize", locked / "handheld.mp4")
    for output, code in ((locked / "film.mp4", 2), (tmp_path / "film.mp4", 0)):
        ran = subprocess.run(
            [*as_anyone(), *command(*arguments, "-o", output)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert ran.returncode == code, ran.stderr
        assert "Traceback" not in ran.stderr
        assert code == 0 or "film.mp4: cannot be written (Permission denied)" in ran.stderr
    assert sorted(path.name for path in locked.iterdir()) == ["ball.mp4", "handheld.mp4"]


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs root on Linux, to mount a small disk")
def test_a_full_disk_is_told_and_loses_nothing(
    program: Program, footage: Path, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "small disk"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        monkeypatch.setenv("MONTAGE_AI_HOME", str(small / "home"))
        ran = program("make", footage, "-m", music, "--duration", "12")
        assert ran.code == 1, ran.err
        assert "The disk is full" in ran.err
        assert "Free some space" in ran.err
        assert not list(tmp_path.glob("*.mp4"))
    finally:
        for _ in range(20):
            if subprocess.run(["umount", small], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1)


def test_a_changed_clip_is_not_rendered_as_if_it_were_the_same(
    program: Program, footage: Path, music: Path, tmp_path: Path
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("ball.mp4", "wheel.mp4"):
        (clips / name).write_bytes((footage / name).read_bytes())
    assert program("make", clips, "-m", music, *QUICK).code == 0
    (clips / "ball.mp4").write_bytes((footage / "handheld.mp4").read_bytes())
    ran = program("render", "film.otio", "-o", "again.mp4")
    assert ran.code == 2
    assert "ball.mp4: has changed since the film was planned" in ran.err
