"""What models know of the footage, used: tags, captions, rough cuts, and films with wishes."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import montage_ai
from benchmarks.random_models import save_random
from benchmarks.tiny_clip import COLOURS, write_clip
from montage_ai import config
from montage_ai.api.insight import look_into
from montage_ai.edit.brief import Brief
from montage_ai.edit.styles import load_style
from montage_ai.errors import MissingExtraError, OutputExistsError, UserError
from montage_ai.events import Event
from montage_ai.footage.library import Library
from montage_ai.footage.search import insight
from montage_ai.media.probe import probe
from tests.e2e.conftest import Program

SHOWN = (("red", "circle"), ("red", "cross"), ("blue", "circle"), ("yellow", "square"))


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory, shapes_model: Path) -> Path:
    """A home, and a folder of four clips that a model has seen: what they show is in ``SHOWN``."""
    folder = tmp_path_factory.mktemp("looked at")
    (folder / "few").mkdir()
    for number, (colour, shape) in enumerate(SHOWN):
        write_clip(folder / "few" / f"{number}.mp4", colour, shape, seconds=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MONTAGE_AI_HOME", str(folder / "home"))
        montage_ai.index([folder / "few"], model=str(shapes_model))
    return folder


@pytest.fixture
def few(looked_at: Path, tmp_path: Path, home: Path) -> Path:
    """The folder, in a copy of its own like the home."""
    shutil.copytree(looked_at / "home", home)
    return Path(shutil.copytree(looked_at / "few", tmp_path / "few"))


def colours(film: Path) -> list[str]:
    """The colour of what is shown in each frame: that which most pixels that are not grey are nearest to."""
    capture, found = cv2.VideoCapture(str(film)), []
    while True:
        is_there, picture = capture.read()
        if not is_there:
            return found
        pixels = picture[:, :, ::-1].reshape(-1, 3).astype(np.int16)
        vivid = pixels[np.ptp(pixels, axis=1) > 90]
        if len(vivid):
            middle = np.median(vivid, axis=0)
            found.append(min(COLOURS, key=lambda name: float(np.abs(middle - COLOURS[name]).sum())))


class TestTags:
    def vocabulary(self, name: str, text: str) -> None:
        folder = config.settings_dir() / "vocabularies"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")

    @pytest.mark.slow
    def test_the_users_own_vocabulary_is_what_shots_are_tagged_by(self, program: Program, few: Path) -> None:
        labels = "\n".join(f'{one} = "a {one} shape"' for one in ("red", "blue", "green", "yellow"))
        self.vocabulary("colours.toml", f'templates = ["{{}}"]\nmost = 1\n[labels]\n{labels}\n')
        self.vocabulary("moods.toml", 'moods = true\ntemplates = ["{}"]\n[labels]\nfierce = "a red shape"\n')
        ran = program("tags", few, "--json")
        assert ran.code == 0, ran.err
        clips = {Path(event["file"]).name: event for event in ran.events if event["event"] == "clip"}
        shots = [event for event in ran.events if event["event"] == "shot"]
        for number, (colour, _) in enumerate(SHOWN):
            clip = clips[f"{number}.mp4"]
            assert colour in clip["tags"]
            assert not {"red", "blue", "green", "yellow"} - {colour} & set(clip["tags"]) - {colour}
            assert ("fierce" in clip["moods"]) == (colour == "red")
        assert len(shots) == 4
        table = program("tags", few).out
        assert "moods" in table
        assert "fierce" in table


class TestCaptions:
    def test_shots_are_described_once_and_found_by_that(
        self, program: Program, few: Path, shapes_model: Path, tmp_path: Path
    ) -> None:
        save_random("blip", tmp_path / "blip")
        arguments = ("index", few, "--caption-model", tmp_path / "blip", "--json")
        first, again = (program(*arguments) for _ in range(2))
        assert first.code == 0, first.err
        assert (first.events[-1]["captions"], first.events[-1]["pictures"]) == (4, 0)
        assert (again.events[-1]["captions"], again.events[-1]["unchanged"]) == (0, 4)
        with Library(config.data_dir()) as library:
            hits = library.texts.find(["dog", "two", "dogs", "beach", "red", "circle"])
        assert {hit.sha256 for hit in hits} <= {clip.clip.facts.sha256 for clip in montage_ai.tags([few])}
        word = hits[0].terms[0]
        found = [moment for moment in montage_ai.search(f"{word} elephants").moments if moment.said]
        assert word in found[0].said
        assert found[0].score >= 0.5  # half of what was asked for is said of it

    def test_a_model_of_another_kind_is_told(self, program: Program, few: Path, shapes_model: Path) -> None:
        ran = program("index", few, "--caption-model", shapes_model)
        assert ran.code == 1
        assert "model of captions" in ran.err


class TestReel:
    def test_a_rough_cut_shows_the_moments_in_their_order(self, few: Path, tmp_path: Path) -> None:
        red, blue = (montage_ai.search(f"a {colour} circle", [few]).moments[0] for colour in ("red", "blue"))
        film = montage_ai.write_reel([blue, red], tmp_path / "reel.mp4")
        shown = colours(film)
        middle = len(shown) // 2
        assert set(shown[: middle - 2]) == {"blue"}
        assert set(shown[middle + 2 :]) == {"red"}
        seconds = (blue.end - blue.start) + (red.end - red.start)
        assert probe(film).duration == pytest.approx(seconds, abs=0.2)
        montage_ai.write_reel([red], film)  # ours may be replaced
        assert set(colours(film)) == {"red"}

    @pytest.mark.slow
    def test_an_editor_gets_a_timeline_that_renders_to_the_same(
        self, program: Program, few: Path, tmp_path: Path
    ) -> None:
        ran = program("search", "a red shape", "--in", few, "-n", "2", "--reel", "cut.otio")
        assert ran.code == 0, ran.err
        assert "cut.otio: a rough cut of 2 moments." in ran.out
        ran = program("render", "cut.otio", "-o", "cut.mp4")
        assert ran.code == 0, ran.err
        assert set(colours(tmp_path / "cut.mp4")) == {"red"}
        ran = program("search", "a red shape", "--in", few, "--reel", "cut.otio")
        assert ran.code == 2
        assert "--force" in ran.err

    def test_nothing_of_others_is_lost(self, few: Path, tmp_path: Path) -> None:
        (moment, *_) = montage_ai.search("a red circle", [few]).moments
        own = tmp_path / "own.mp4"
        own.write_bytes(b"mine")
        with pytest.raises(OutputExistsError):
            montage_ai.write_reel([moment], own)
        with pytest.raises(UserError, match="sources"):
            montage_ai.write_reel([moment], moment.clip.info.path, force=True)
        with pytest.raises(UserError, match="rough cut"):
            montage_ai.write_reel([moment], tmp_path / "cut.html")
        with pytest.raises(UserError, match="no moment"):
            montage_ai.write_reel([], tmp_path / "none.mp4")
        assert own.read_bytes() == b"mine"

    def test_clips_keep_their_own_sound(self, plain: Path, photo: Path, tmp_path: Path) -> None:
        folder = tmp_path / "sounding"
        folder.mkdir()
        for path in (plain, photo):
            shutil.copy2(path, folder)
        moments = montage_ai.search("loud", [folder]).moments[:1] + montage_ai.search("photo", [folder]).moments[:1]
        info = probe(montage_ai.write_reel(moments, tmp_path / "reel.mp4"))
        assert info.audio is not None
        assert info.duration == pytest.approx(5, abs=0.2)  # two seconds, and three of the photo


class TestWishes:
    def test_a_film_shows_what_is_wanted_and_not_what_is_to_be_avoided(
        self, program: Program, few: Path, music: Path, tmp_path: Path
    ) -> None:
        wishes = ("--want", "a yellow square, a blue circle", "--avoid", "a red shape")
        ran = program("make", few, "--music", music, "--quality", "preview", "--duration", "4", *wishes, "--json")
        assert ran.code == 0, ran.err
        shots = ran.film["shots"]
        assert {Path(shot["clip"]).name for shot in shots} == {"2.mp4", "3.mp4"}
        assert all(shot["wanted"] > 0.5 for shot in shots)
        assert not {"red", "pink"} & set(colours(tmp_path / "film.mp4"))
        page = (tmp_path / "film.report.html").read_text()
        assert "shows what is to be avoided" in page
        assert "wanted" in page

    def test_what_is_nowhere_to_be_seen_is_told_and_a_film_is_made(
        self, program: Program, few: Path, music: Path
    ) -> None:
        write_clip(few / "new.mp4", "cyan", "bar")
        ran = program("make", few, "--music", music, "--want", "pink stripes", "--plan", "--duration", "3")
        assert ran.code == 0, ran.err
        assert "Nothing of the footage clearly shows 'pink stripes'" in ran.err
        assert "1 clip no model has seen" in ran.err
        ran = program("make", few, "--music", music, "--want", "the of", "--plan")
        assert ran.code == 2
        assert "asks for nothing" in ran.err

    def test_what_a_model_has_seen_is_not_needed_where_nothing_was_wished(
        self, program: Program, few: Path, footage: Path, music: Path, home: Path
    ) -> None:
        (path,) = (home / "data" / "vectors").iterdir()
        path.write_bytes(b"")
        ran = program("make", few, "--music", music, "--plan")
        assert ran.code == 0, ran.err
        assert "is not used" in ran.err
        assert program("tags", footage).code == 0  # the model has seen none of it

    def test_a_film_without_wishes_needs_nothing_that_is_missing(
        self, few: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(*_: object) -> None:
            raise MissingExtraError("It is not installed.", hint="Install it.")

        monkeypatch.setattr(insight, "intensity", missing)
        told: list[Event] = []
        with Library(config.data_dir()) as library:
            clips = list(library.clips())
            assert len(look_into(clips, Brief(style=load_style("dynamic")), library, told.append).pictures) == 0
            with pytest.raises(MissingExtraError):
                look_into(clips, Brief(style=load_style("dynamic"), wants=("a red circle",)), library, told.append)
        assert "is not used" in str(told)

    def test_where_all_is_to_be_avoided_that_is_the_reason(self, program: Program, few: Path, music: Path) -> None:
        ran = program("make", few / "0.mp4", "--music", music, "--avoid", "a red circle", "--plan")
        assert ran.code == 2
        assert "shows what is to be avoided" in ran.err

    def test_without_a_model_wishes_go_by_what_is_measured(self, program: Program, footage: Path, music: Path) -> None:
        wishes = ("--avoid", "upright, photo", "--want", "shaky")
        ran = program("make", footage, "--music", music, *wishes, "--duration", "6", "--plan", "--json")
        assert ran.code == 0, ran.err
        clips = [Path(shot["clip"]).name for shot in ran.film["shots"]]
        assert not {"cars upright.mp4", "photo.jpg"} & set(clips)
        assert clips.count("handheld.mp4") >= len(clips) / 2
