from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"numpy", "scipy", "av", "cv2", "pydantic", "opentimelineio", "rich", "imageio_ffmpeg", "platformdirs"}


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["make", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["montage-ai", *{arguments}]
from montage_ai.cli import main
try:
    main()
except SystemExit as exit:
    assert not exit.code
print("IMPORTED", *sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    imported = set(run(code).partition("IMPORTED")[2].split())
    allowed = set() if arguments == ["--help"] else {"pydantic"}  # typer itself looks at pydantic's types
    assert not imported & (HEAVY - allowed)


def test_the_package_offers_its_names_lazily() -> None:
    code = """
import sys, montage_ai
assert not {"numpy", "av", "pydantic"} & set(sys.modules)
for name in montage_ai.__all__:
    assert getattr(montage_ai, name) is not None
assert montage_ai.__all__ == sorted(montage_ai._HOMES.keys() | {"__version__"})
"""
    run(code)


def test_the_public_names_are_exactly_these() -> None:
    import montage_ai

    classes = {"Brief", "Film", "MontageError", "Offloader", "StabilizationService"}
    making = {"analyze", "beats", "load_style", "make_montage", "render_timeline"}
    elsewhere = {"index", "is_cgpu_available", "search", "stabilize_clip", "tags", "write_reel"}
    assert set(montage_ai.__all__) == {*classes, *making, *elsewhere, "__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    import montage_ai

    with pytest.raises(AttributeError, match="nonsense"):
        montage_ai.nonsense  # noqa: B018


def test_what_came_of_an_interrupt_is_known_as_such() -> None:
    from montage_ai.cli.command import _is_ending

    while_cleaning_up = ValueError("a file is in the way")
    while_cleaning_up.__context__ = KeyboardInterrupt()
    assert _is_ending(while_cleaning_up)
    assert _is_ending((ValueError, while_cleaning_up, None))
    assert not _is_ending(None)
    assert not _is_ending((None, None, None))
    assert not _is_ending(ValueError("of another kind"))


@pytest.mark.skipif(sys.platform == "win32", reason="it has other signals")
def test_an_interrupt_that_python_drops_comes_again(tmp_path: Path) -> None:
    """Python prints what is raised in a destructor, and goes on."""
    script = """
import os, signal, sys, time
from montage_ai.cli.command import ending_when_told
class Deaf:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
with ending_when_told():
    deaf = Deaf()
    del deaf
    print("went on", flush=True)
    try:
        time.sleep(30)
    except KeyboardInterrupt:
        print("came again", flush=True)
        time.sleep(1.5)
        print("cleaned up", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split("\n")[:3] == ["went on", "came again", "cleaned up"]
    assert done.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="it has other signals")
def test_an_interrupt_while_the_program_starts_ends_it_without_a_word() -> None:
    script = "import montage_ai.cli.start, os, signal; os.kill(os.getpid(), signal.SIGINT); print('went on')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
