"""Moments found by describing them, in clips whose moments are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from montage_ai import config
from montage_ai.errors import ConfigError, UserError
from montage_ai.footage.clip import Clip
from montage_ai.footage.footage_analyzer import analyze_file
from montage_ai.footage.search import Found, Looks, Seen, Tagger, find_moments, load_vocabulary, parse_query
from montage_ai.footage.search.names import names_of
from montage_ai.footage.search.seen import shown
from montage_ai.footage.search.vocabulary import Vocabulary
from montage_ai.footage.shots import Shot
from montage_ai.footage.vectors import Rows
from montage_ai.media.probe import probe

Make = Callable[..., Path]

PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30:duration=6")
CODING = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return load_vocabulary()


@pytest.fixture(scope="module")
def clips(make: Make) -> dict[str, Clip]:
    """Night and then day; a slow picture; one that rushes by; one without colour."""
    filters = {
        "night then day": "eq=brightness='if(lt(t,3),-0.42,0.12)':eval=frame",
        "slow": "noise=alls=6:allf=t",
        "rushing": "scroll=horizontal=0.02",
        "old film": "hue=s=0",
    }
    pictures = {"slow": ("-f", "lavfi", "-i", "smptehdbars=size=320x180:rate=30:duration=6")}
    made = {
        name: make(*pictures.get(name, PICTURE), "-vf", one, *CODING, f"{name} 2019.mp4")
        for name, one in filters.items()
    }
    return {name: analyze_file(probe(path), name).clip for name, path in made.items()}


def found(query: str, clips: dict[str, Clip], vocabulary: Vocabulary, *without: str) -> Found:
    return find_moments(list(clips.values()), parse_query(query, vocabulary, without=without), vocabulary)


def best(query: str, clips: dict[str, Clip], vocabulary: Vocabulary, *without: str) -> str:
    first = found(query, clips, vocabulary, *without).moments[0]
    assert first.score > 0.4
    return next(name for name, clip in clips.items() if clip is first.clip)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("show me dark clips", "night then day"),
        ("fast action", "rushing"),
        ("black and white", "old film"),
        ("the old film", "old film"),
        ("calm and colourful", "slow"),
        ("slow 2019", "slow"),
    ],
)
def test_what_is_described_comes_first(
    query: str, expected: str, clips: dict[str, Clip], vocabulary: Vocabulary
) -> None:
    assert best(query, clips, vocabulary) == expected


def test_a_moment_is_where_it_is_seen(clips: dict[str, Clip], vocabulary: Vocabulary) -> None:
    one = {"night then day": clips["night then day"]}
    dark, bright = (found(query, one, vocabulary).moments[0] for query in ("dark", "bright"))
    assert 0 <= dark.start < dark.best < dark.end <= 3.6
    assert 2.4 <= bright.start < bright.best < bright.end <= 6.1
    assert dark.why["dark"] > 0.7


@pytest.mark.parametrize("query", ["colourful -fast", "colourful, not fast", "colourful without action"])
def test_what_is_not_wanted_is_not_found(query: str, clips: dict[str, Clip], vocabulary: Vocabulary) -> None:
    found_clips = {moment.clip.name for moment in found(query, clips, vocabulary).moments if moment.score > 0.3}
    assert found_clips
    assert "rushing 2019.mp4" not in found_clips
    again = found("colourful", clips, vocabulary, "fast", "slow").moments
    assert all(moment.clip.name.startswith("night") for moment in again if moment.score > 0.3)


def test_words_that_mean_nothing_here_are_told(clips: dict[str, Clip], vocabulary: Vocabulary) -> None:
    result = found("dark submarine", clips, vocabulary)
    assert result.unknown == ("submarine",)
    assert result.moments[0].score > 0.4  # the rest counts
    assert found("submarine", clips, vocabulary).moments == []  # there is no rest


def test_nothing_is_a_possible_answer(clips: dict[str, Clip], vocabulary: Vocabulary) -> None:
    assert max((moment.score for moment in found("happy people", clips, vocabulary).moments), default=0.0) < 0.1


@pytest.mark.parametrize("query", ["", "the of", "?!"])
def test_a_query_for_nothing_is_refused(query: str, vocabulary: Vocabulary) -> None:
    with pytest.raises(UserError, match="asks for nothing"):
        parse_query(query, vocabulary)


@pytest.mark.parametrize(
    ("text", "without", "asked", "unwanted"),
    [
        ("a dog on the beach", [], "a dog on the beach", ()),
        ("Find me all clips with a dog", [], "a dog", ()),
        ("happy people -crowd, no red car", [], "happy people car", ("crowd", "red")),
        ("a dog", ["a red car", "fast"], "a dog", ("a red car",)),
        ("fast red car", [], "red car", ()),
        ("calm", [], "", ()),
        ("clips", ["rain"], "", ("rain",)),
    ],
)
def test_a_model_is_asked_in_the_users_own_words(
    text: str, without: list[str], asked: str, unwanted: tuple[str, ...], vocabulary: Vocabulary
) -> None:
    query = parse_query(text, vocabulary, without=without)
    assert (query.text, query.unwanted_texts) == (asked, unwanted)


@given(st.text(max_size=60))
def test_any_text_is_understood_or_refused(text: str) -> None:
    vocabulary = load_vocabulary()
    try:
        query = parse_query(text, vocabulary)
    except UserError:
        return
    assert {*query.wanted, *query.unwanted} <= set(vocabulary.concepts)
    assert query.wanted or query.words or query.unwanted or query.unwanted_names


def test_tags_say_what_a_shot_shows(clips: dict[str, Clip], vocabulary: Vocabulary) -> None:
    tagger = Tagger(vocabulary, [], None)
    rushing = tagger.tag(clips["rushing"])
    (shot,) = rushing.shots
    assert "fast" in shot.tags
    assert "grey" not in shot.tags
    assert "silent" not in shot.tags  # true of half of all clips: it tells nothing
    assert (shot.start, round(shot.end), shot.moods) == (0, 6, {})
    assert list(shot.tags.values()) == sorted(shot.tags.values(), reverse=True)
    assert rushing.whole == shot
    assert "grey" in tagger.tag(clips["old film"]).whole.tags


def test_what_is_heard_is_found(make: Make, vocabulary: Vocabulary) -> None:
    """Three seconds of silence, then a loud tone."""
    sound = ("-f", "lavfi", "-i", "sine=frequency=440:duration=6")
    path = make(*PICTURE, *sound, *CODING, "-af", "volume='if(lt(t,3),0,1)':eval=frame", "-c:a", "aac", "heard.mp4")
    clips = {"heard": analyze_file(probe(path), "heard").clip}
    silent, loud = (found(query, clips, vocabulary).moments[0] for query in ("silence", "loud"))
    assert silent.end <= 3.7
    assert loud.start >= 2.4
    (hushed,) = [moment for moment in found("no sound", clips, vocabulary).moments if moment.score > 0.5]
    assert hushed.end <= 3.7


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        ("2019-06-18T15:45:32+00:00", {"2019", "june"}),
        ("2019", set()),
        ("yesterday", set()),
        ("2019-13-40", {"2019"}),
        (None, set()),
    ],
)
def test_dates_of_any_kind(taken: str | None, words: set[str], clips: dict[str, Clip]) -> None:
    clip = clips["slow"]
    info = clip.info.model_copy(update={"taken": taken, "path": Path("/a/b/c.mp4")})
    dated = replace(clip, facts=clip.facts.model_copy(update={"info": info}))
    assert names_of(dated) == {"a", "b", "c"} | words


def test_a_description_that_is_not_wanted_must_be_in_the_name_as_a_whole(
    clips: dict[str, Clip], vocabulary: Vocabulary
) -> None:
    def named(*without: str) -> set[str]:
        return {moment.clip.name for moment in found("2019", clips, vocabulary, *without).moments}

    assert len(named("old dog in the garden")) == 4
    assert len(named("old film")) == 3


def test_a_shot_of_which_nothing_was_seen_does_not_show_what_another_does(clips: dict[str, Clip]) -> None:
    """As an index leaves it that was ended in the middle of a clip."""
    clip = clips["slow"]
    shots = (Shot(first=0, end=60), Shot(first=60, end=120), Shot(first=120, end=180))
    cut = replace(clip, facts=clip.facts.model_copy(update={"shots": shots}))
    at = shown(cut, np.array([0.0, 1.0, 4.5]))
    assert at.tolist() == [0] * 30 + [1] * 30 + [-1] * 60 + [2] * 60
    seen = Seen(np.ones((3, 4), np.float16), {"slow": Rows(np.array([0.0, 1.0, 4.5]), np.arange(3))}, Silent())
    assert not seen.has_seen_all_of(cut)
    assert seen.has_seen_all_of(clip)
    answer = Looks(seen, np.full(3, 0.9), np.full(3, 0.1)).of(cut)
    assert answer is not None
    assert set(answer[0][60:120]) == {0.0}  # type: ignore[index]


class Silent:
    """A model that nothing is asked of."""

    scale = 1.0

    def texts(self, texts: object) -> np.ndarray:
        raise AssertionError

    picture = texts


class TestOwnWords:
    def write(self, text: str) -> None:
        config.settings_dir().mkdir(parents=True, exist_ok=True)
        (config.settings_dir() / "words.toml").write_text(text, "utf-8")

    def test_they_are_used(self, clips: dict[str, Clip]) -> None:
        self.write('[noir]\nwords = ["film noir"]\nsignals = [{ signal = "light", from = 90, to = 40 }]\n')
        vocabulary = load_vocabulary()
        assert parse_query("film noir", vocabulary).wanted == ("noir",)
        assert best("film noir", clips, vocabulary) == "night then day"
        assert "people" in vocabulary.concepts

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("[noir", "cannot be read"),
            ('[noir]\nwords = ["noir"]\n', "noir.signals"),
            ('[noir]\nwords = ["x"]\nsignals = [{ signal = "smell", from = 1, to = 2 }]\n', "noir.signals"),
        ],
    )
    def test_a_mistake_is_told(self, text: str, told: str) -> None:
        self.write(text)
        with pytest.raises(ConfigError, match=told):
            load_vocabulary()
