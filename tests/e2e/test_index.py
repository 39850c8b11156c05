"""Footage is looked at once, and any moment of it found by a description."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import montage_ai
from benchmarks.random_models import save_random
from benchmarks.tiny_clip import write_clip, write_clips
from montage_ai import config
from montage_ai.errors import UserError, VerificationError
from montage_ai.footage import captioning
from montage_ai.footage.library import Library
from montage_ai.footage.looking import have_done
from montage_ai.footage.sampling import sampled
from tests.e2e.conftest import Program, command


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    """Clips of what the model has never seen, and what each shows."""
    return write_clips(tmp_path_factory.mktemp("shapes"))


@pytest.fixture
def clips(shapes: list[tuple[Path, str]], tmp_path: Path) -> Path:
    """Some of them, in a folder of their own."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for path, _ in shapes[:6]:
        shutil.copy2(path, folder)
    return folder


def indexed(program: Program, *arguments: str | Path) -> dict[str, Any]:
    ran = program("index", *arguments, "--json")
    assert ran.code == 0, ran.err
    return ran.events[-1]


def moments(program: Program, *arguments: str | Path) -> list[dict[str, Any]]:
    ran = program("search", *arguments, "--json")
    assert ran.code == 0, ran.err
    return [event for event in ran.events if event["event"] == "moment"]


def rows(home: Path) -> int:
    with sqlite3.connect(home / "data" / "library.sqlite") as db:
        found = db.execute("SELECT rows FROM models").fetchall()
    db.close()
    return int(found[0][0]) if found else 0


def test_what_was_never_seen_is_found_by_its_description(
    program: Program, shapes: list[tuple[Path, str]], shapes_model: Path
) -> None:
    done = indexed(program, shapes[0][0].parent, "--model", shapes_model)
    assert (done["files"], done["decoded"]) == (20, 20)
    assert 20 <= done["pictures"] <= 60
    found = [montage_ai.search(text).moments[0] for _, text in shapes]
    assert sum(one.clip.info.path == path for one, (path, _) in zip(found, shapes, strict=True)) >= 0.85 * 20
    assert all(0 <= one.start <= one.best < one.end <= 2.1 for one in found)
    path, text = shapes[0]
    (moment,) = moments(program, text, "--in", path)
    assert Path(moment["file"]) == path
    assert text in moment["why"]


class TestAgain:
    def test_only_what_changed_is_looked_at_again(
        self, program: Program, clips: Path, shapes_model: Path, home: Path
    ) -> None:
        first = indexed(program, clips, "--model", shapes_model)
        assert (first["decoded"], first["unchanged"]) == (6, 0)
        again = montage_ai.index([clips])  # with the model that was used last
        assert (again.unchanged, again.decoded, again.pictures, again.model) == (6, 0, 0, str(shapes_model))
        (clips / "bad.mp4").write_bytes(b"no clip")
        bad = montage_ai.index([clips])
        assert (bad.unchanged, [one.path.name for one in bad.skipped]) == (6, ["bad.mp4"])
        (clips / "elsewhere").mkdir()
        (clips / "clip 00.mp4").rename(clips / "elsewhere" / "renamed.mp4")
        moved = montage_ai.index([clips])
        assert (moved.decoded, moved.pictures) == (0, 0)
        assert rows(home) == first["pictures"]
        for path in clips.rglob("*.mp4"):
            path.unlink()
        write_clip(clips / "clip 01.mp4", "orange", "stripes")
        changed = montage_ai.index([clips])
        assert (changed.files, changed.decoded) == (1, 1)
        found = montage_ai.search("orange stripes").moments
        assert {moment.clip.name for moment in found} == {"clip 01.mp4"}  # what is gone is not found

    @pytest.mark.slow
    def test_a_clip_that_was_written_this_moment_is_as_it_was(self, shapes_model: Path, tmp_path: Path) -> None:
        """Its time cannot be trusted yet, so that it is read again; its content is known."""
        write_clip(tmp_path / "new.mp4", "orange", "stripes")
        first, again = (montage_ai.index([tmp_path / "new.mp4"], model=str(shapes_model)) for _ in range(2))
        assert (first.unchanged, first.decoded) == (0, 1)
        assert (again.unchanged, again.decoded, again.pictures) == (1, 0, 0)

    @pytest.mark.skipif(sys.platform != "linux", reason="names of files are text there")
    def test_a_name_that_is_no_text_is_left_out_and_said(self, tmp_path: Path, plain: Path) -> None:
        (tmp_path / "good.mp4").write_bytes(plain.read_bytes())
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")).write_bytes(plain.read_bytes())
        done = montage_ai.index([tmp_path])
        assert (done.decoded, len(done.skipped)) == (1, 1)

    @pytest.mark.slow
    def test_captions_that_another_model_began_to_replace_are_made_again(
        self, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those of the first model went as the second began, and that was interrupted."""
        names = [tmp_path / "blip one", tmp_path / "blip two"]
        for seed, name in enumerate(names):
            save_random("blip", name, seed=seed)
        (path,) = list(clips.iterdir())[:1]
        assert montage_ai.index([path], captions=str(names[0])).captions == 1
        with monkeypatch.context() as patch:
            patch.setattr(
                captioning, "have_done", lambda *given: [have_done(*given), signal.raise_signal(signal.SIGINT)]
            )
            with pytest.raises(KeyboardInterrupt):
                montage_ai.index([path], captions=str(names[1]))
        again = montage_ai.index([path], captions=str(names[0]))
        assert (again.unchanged, again.captions) == (0, 1)

    def test_a_program_that_is_killed_loses_no_more_than_it_had_in_hand(
        self, program: Program, shapes: list[tuple[Path, str]], shapes_model: Path, home: Path
    ) -> None:
        """Whatever it was killed at, every picture is there once in the end, and no pack is computed twice."""
        footage = shapes[0][0].parent
        for seconds in (1.0, 2.5, 4.0):
            running = subprocess.Popen(
                command("index", footage, "--model", shapes_model), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(seconds)
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
        done = indexed(program, footage, "--model", shapes_model)
        again = indexed(program, footage, "--model", shapes_model)
        assert (again["unchanged"], again["pictures"]) == (20, 0)
        with Library(home / "data") as library:
            seen = [sampled(clip, library.picture_times(clip.facts.sha256)) for clip in library.clips()]
        assert rows(home) == sum(map(len, seen)) >= done["pictures"]
        assert min(map(len, seen)) > 0
        with sqlite3.connect(home / "data" / "jobs.sqlite") as db:
            keys = [key for (key,) in db.execute("SELECT key FROM jobs WHERE state = 'done' AND task = 'embed'")]
        db.close()
        assert len(keys) == len(set(keys))

    @pytest.mark.slow
    def test_vectors_that_are_not_whole_are_told_and_made_again(
        self, program: Program, clips: Path, shapes_model: Path, home: Path
    ) -> None:
        montage_ai.index([clips], model=str(shapes_model))
        (path,) = (home / "data" / "vectors").iterdir()
        whole = path.read_bytes()
        path.write_bytes(whole[:100])
        with pytest.raises(VerificationError, match="index FOOTAGE"):
            montage_ai.search("a red circle")
        again = montage_ai.index([clips])
        assert (again.unchanged, again.decoded) == (0, 0)
        assert len(path.read_bytes()) == len(whole)
        assert montage_ai.search("a red circle").unseen == 0

    @pytest.mark.slow
    def test_the_model_that_is_named_is_used_and_only_as_it_was(
        self, clips: Path, shapes_model: Path, tmp_path: Path
    ) -> None:
        other = Path(shutil.copytree(shapes_model, tmp_path / "other"))
        config_file = other / "config.json"
        config_file.write_text(config_file.read_text() + "\n")
        for model in (shapes_model, other, shapes_model):
            montage_ai.index([clips], model=str(model))
        with Library(config.data_dir()) as library:
            assert [known.name for known in library.vectors.models()] == [str(shapes_model), str(other)]
        montage_ai.index([clips], model=str(other))
        config_file.write_text(config_file.read_text() + "\n")
        with pytest.raises(UserError, match="has changed"):
            montage_ai.search("a shape that was not asked for")


class TestQueries:
    @pytest.fixture
    def few(self, tmp_path: Path, shapes_model: Path) -> Path:
        """A folder of four clips that a model has seen."""
        folder = tmp_path / "few"
        folder.mkdir()
        shown = (("red", "circle"), ("red", "cross"), ("blue", "circle"), ("green", "triangle"))
        for number, (colour, shape) in enumerate(shown):
            write_clip(folder / f"{number}.mp4", colour, shape)
        montage_ai.index([folder], model=str(shapes_model))
        return folder

    def test_words_and_pictures_plus_and_minus(self, program: Program, few: Path, tmp_path: Path) -> None:
        def best(query: str, **others: Any) -> str:
            return montage_ai.search(query, **others).moments[0].clip.name

        assert best("a red cross") == "1.mp4"
        assert best("a red shape -cross") == "0.mp4"
        assert best("a circle", without=["a red shape"]) == "2.mp4"
        assert best("find clips with a blue circle") == "2.mp4"
        write_clip(tmp_path / "like.mp4", "red", "cross", size=50)
        assert best("", like=tmp_path / "like.mp4") == "1.mp4"
        assert best("", like=f"{tmp_path / 'like.mp4'}@0.5") == "1.mp4"
        assert best("", like=few / "0.mp4", without=["a red circle"]) != "0.mp4"
        assert montage_ai.search("calm").moments[0].why.keys() == {"calm"}  # no still picture shows it
        assert best("a blue circle", like=few / "0.mp4") in ("0.mp4", "2.mp4")
        assert max(moment.score for moment in montage_ai.search("yellow stripes").moments) < 0.3
        assert "Nothing fits. The best has a score of 0." in program("search", "yellow stripes").out
        left_out = montage_ai.search("a circle -few")  # the folder that they all lie in
        assert (left_out.moments, left_out.unseen) == ([], 0)

    def test_what_cannot_be_asked_is_told_and_what_no_model_has_seen(
        self, program: Program, few: Path, tmp_path: Path
    ) -> None:
        for like, told in (("nowhere.jpg", "nowhere.jpg"), ("0.mp4@soon", "no second"), ("0.mp4@99", "no picture at")):
            with pytest.raises(UserError, match=told):
                montage_ai.search("", like=few / like)
        write_clip(few / "new.mp4", "cyan", "bar")
        ran = program("search", "--like", few / "0.mp4@0.5", "--in", few, "--sheet", "sheet.html")
        assert ran.code == 0, ran.err
        assert f"<title>like {few / '0.mp4@0.5'}</title>" in (tmp_path / "sheet.html").read_text()
        assert "1 clip no model has seen" in ran.out
        assert "montage-ai index" in ran.out


@pytest.mark.slow
def test_a_model_that_knows_nothing_is_refused(program: Program, clips: Path, tmp_path: Path) -> None:
    save_random("siglip", tmp_path / "model")
    ran = program("index", clips, "--model", tmp_path / "model")
    assert ran.code == 1
    assert "does not work on cpu" in ran.err


@pytest.mark.parametrize("model", ["nowhere", "a/b/c", "clips"])
def test_what_is_no_model_is_told(program: Program, clips: Path, model: str) -> None:
    ran = program("index", clips, "--model", model)
    assert ran.code == 2
    assert "model" in ran.err


def test_without_a_model_clips_are_measured_all_the_same(program: Program, clips: Path, tmp_path: Path) -> None:
    """The default one cannot be fetched: the hub's address leads nowhere."""
    done = subprocess.run(
        command("index", clips),
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cannot be fetched" in done.stderr
    assert "6 measured now" in done.stdout
    assert moments(program, "circle", "--in", clips) == []
