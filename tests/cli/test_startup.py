from __future__ import annotations

import subprocess
import sys

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
