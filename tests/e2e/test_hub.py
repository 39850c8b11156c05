"""A model of the hub is fetched once, whole, and used without a network from then on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.loopback.hub import hub
from benchmarks.tiny_clip import write_clip
from tests.e2e.conftest import Program
from tests.e2e.starting import Ran

PART = "import huggingface_hub as hub; hub.snapshot_download('owner/shapes', allow_patterns=['config.json'])"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_clip(folder / "0.mp4", "red", "circle")
    return folder


@pytest.mark.slow
def test_a_model_is_fetched_once_and_whole(
    new_program: Program, clips: Path, shapes_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def index(name: str) -> Ran:
        return new_program("index", clips, "--model", name, "--json")

    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    served = Path(shutil.copytree(shapes_model, tmp_path / "served"))
    for name in ("README.md", ".gitattributes", "pytorch_model.bin"):  # as there are in every repository
        (served / name).write_bytes(bytes(1000))
    with hub({"owner/shapes": served}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        subprocess.run([sys.executable, "-c", PART], env=os.environ, check=True)  # as a program leaves it that is ended
        first = index("owner/shapes")
        assert first.code == 0, first.err
        assert sorted(server.asked) == sorted(path.name for path in shapes_model.iterdir())
        (stage,) = [one for one in first.events if one["event"] == "stage" and one["stage"].startswith("Fetching")]
        size = sum(path.stat().st_size for path in shapes_model.iterdir()) / 1e6
        assert (stage["unit"], stage["total"]) == ("MB", pytest.approx(size))
        done = [one["done"] for one in first.events if one["event"] == "progress" and one["stage"] == stage["stage"]]
        assert 0 < done[-1] <= stage["total"]
        assert done == sorted(done)
        assert index("owner/nothing").code == 1
    write_clip(clips / "1.mp4", "blue", "circle")
    again = index("owner/shapes")  # there is no hub any more
    assert again.code == 0, again.err
    assert again.events[-1]["decoded"] == 1
    assert again.events[-1]["pictures"] > 0
    moments = [one for one in new_program("search", "a blue circle", "--json").events if one["event"] == "moment"]
    assert Path(moments[0]["file"]).name == "1.mp4"
