"""What a model tells of every picture, in the words of vocabularies, among them nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from montage_ai import config
from montage_ai.errors import ConfigError
from montage_ai.footage.search import load_labels
from montage_ai.footage.search.labels import Labels, ZeroShot, intensity
from montage_ai.footage.search.seen import NEUTRAL, Floats, Seen

WORDS = ("beach", "street", "dog")
ANIMALS = Labels(labels={word: word for word in WORDS}, templates=("{}",), least=0.3, most=2)


class Knowing:
    """Knows three words, each a direction of its own; what fits everything is a fourth one."""

    scale = 50.0

    def texts(self, texts: Sequence[str]) -> Floats:
        vectors = np.zeros((len(texts), 4), np.float32)
        for row, text in enumerate(texts):
            known = [number for number, word in enumerate(WORDS) if word in text]
            vectors[row, known or 3] = 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def picture(self, picture: object) -> Floats:
        raise AssertionError


def seen(*pictures: Sequence[float]) -> Seen:
    """Pictures, by how much they are of each direction; all have something of what every picture has."""
    matrix = np.array(pictures, np.float64).reshape(-1, 4) + np.array([0, 0, 0, 0.5])
    return Seen((matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float16), {}, Knowing())


def likely(labels: Labels, *pictures: Sequence[float]) -> np.ndarray:
    return ZeroShot(labels, seen(*pictures)).probabilities(np.arange(len(pictures)))


def test_a_picture_shows_what_fits_best_or_nothing() -> None:
    found = likely(ANIMALS, (1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    assert found[0, 0] > 0.9
    assert found[1, 2] > 0.9
    assert found[2].sum() < 0.1
    assert ANIMALS.chosen(found[:1]) == {"beach": pytest.approx(found[0, 0])}
    assert ANIMALS.chosen(found[2:]) == {}
    assert ANIMALS.chosen(found[:0]) == {}


def test_a_shot_of_several_things_shows_them_all_the_surest_first() -> None:
    found = likely(ANIMALS, (1, 0, 0, 0), (1, 0, 0, 0), (0, 0, 1, 0))
    assert list(ANIMALS.chosen(found)) == ["beach", "dog"]
    assert ANIMALS.model_copy(update={"most": 1}).chosen(found).keys() == {"beach"}
    assert ANIMALS.model_copy(update={"least": 0.5}).chosen(found).keys() == {"beach"}


@given(arrays.arrays(np.float64, (3, 4), elements=st.floats(0, 1)))
def test_labels_and_none_share_what_is_sure(pictures: np.ndarray) -> None:
    found = likely(ANIMALS, *pictures)
    assert ((found >= 0) & (found <= 1)).all()
    assert (found.sum(axis=1) <= 1 + 1e-9).all()


def test_moods_have_an_intensity_as_far_as_there_are_any() -> None:
    moods = Labels(
        labels={"calm": "beach", "wild": "dog"}, templates=("{}",), moods=True, intensity={"calm": 0, "wild": 1}
    )
    pictures = seen((1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    level, sure = intensity([ZeroShot(moods, pictures)], np.arange(3))
    assert level[0] < 0.1
    assert level[1] > 0.9
    assert sure[:2].min() > 0.9
    assert sure[2] < 0.1


class TestVocabularies:
    def test_those_that_come_with_the_program_can_be_used(self) -> None:
        shipped = load_labels()
        assert {"actions", "moods", "objects", "people", "scenes", "shot_types", "weather"} == set(shipped)
        assert [name for name, labels in shipped.items() if labels.moods] == ["moods"]
        assert set(shipped["moods"].intensity) == set(shipped["moods"].labels)
        assert "beach" in shipped["scenes"].labels
        texts = [text for labels in shipped.values() for text in labels.labels.values()]
        assert not set(texts) & set(NEUTRAL)
        assert len(set(texts)) == len(texts)

    def write(self, name: str, text: str) -> None:
        folder = config.settings_dir() / "vocabularies"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")

    def test_the_users_own_stand_in_their_place_or_beside_them(self) -> None:
        self.write("scenes.toml", '[labels]\nharbour = "boats in a harbour"\n')
        self.write("boats.toml", 'most = 1\n[labels]\nyacht = "a yacht"\n')
        found = load_labels()
        assert list(found["scenes"].labels) == ["harbour"]
        assert found["boats"].most == 1
        assert "weather" in found

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("[labels", "cannot be read"),
            ("[labels]\n", "labels"),
            ('templates = ["a photo"]\n[labels]\na = "b"\n', "templates: each must hold {}"),
            ('[labels]\na = "b"\n[intensity]\nc = 1\n', "intensity: 'c' is no label"),
            ('[labels]\na = "b"\n[intensity]\na = 5\n', "intensity"),
            ('[labels]\na = "b"\n[intensity]\na = nan\n', "intensity"),
            ('least = 2\n[labels]\na = "b"\n', "least"),
            ('colour = "red"\n[labels]\na = "b"\n', "colour"),
        ],
    )
    def test_a_mistake_is_told_with_the_file(self, text: str, told: str) -> None:
        self.write("mine.toml", text)
        with pytest.raises(ConfigError, match=told) as caught:
            load_labels()
        assert "mine.toml" in str(caught.value)
