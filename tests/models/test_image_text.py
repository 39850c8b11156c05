"""Models of pictures and words: those of all families are loaded and run as the real ones are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.random_models import FAMILIES, save_random
from benchmarks.tiny_clip import HELD_OUT, Picture, described, draw
from montage_ai.errors import TaskError, UnsuitedError
from montage_ai.models.device import CPU, in_batches
from montage_ai.models.image_text import ImageTextModel, effort
from montage_ai.models.self_check import check, check_vectors


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """Of different sizes and shapes."""
    rng = np.random.default_rng(1)
    return [rng.integers(0, 255, (*size, 3), np.uint8) for size in ((48, 80), (256, 144), (33, 33), (1, 7))]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_loaded_and_run(family: str, pictures: list[Picture], tmp_path: Path) -> None:
    save_random(family, tmp_path)
    model = ImageTextModel(tmp_path)
    images, texts = model.embed_images(pictures), model.embed_texts(["a dog", "two dogs on a very long beach " * 20])
    assert images.shape == (4, texts.shape[1])
    assert np.linalg.norm(images, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(texts, axis=1) == pytest.approx(1, abs=1e-5)
    assert (images @ images.T)[~np.eye(4, dtype=bool)].max() < 0.9999
    assert model.scale > 0
    only_images, only_texts = (ImageTextModel(tmp_path, tower=tower) for tower in ("images", "texts"))
    assert np.allclose(only_images.embed_images(pictures), images, atol=1e-5)
    assert np.allclose(only_texts.embed_texts(["a dog"]), texts[:1], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_does_not_know_a_circle_from_a_square_is_refused(family: str, tmp_path: Path) -> None:
    """As one with random weights, or on a device that computes nonsense."""
    save_random(family, tmp_path)
    with pytest.raises(UnsuitedError, match="does not work on cpu"):
        check(ImageTextModel(tmp_path))


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (np.full((4, 8), np.nan, np.float32), "no vectors"),
        (np.zeros((4, 8), np.float32), "no vectors"),
        (np.tile(np.eye(8, dtype=np.float32)[:1], (4, 1)), "the same vector"),
    ],
    ids=["not numbers", "nothing", "constant"],
)
def test_a_device_that_says_the_same_of_everything_is_refused(broken: Any, told: str) -> None:
    with pytest.raises(UnsuitedError, match=told):
        check_vectors(broken, "a GPU")
    check_vectors(np.eye(8, dtype=np.float32)[:4], "a GPU")


def test_a_trained_model_passes_and_finds_what_it_has_never_seen(shapes_model: Path) -> None:
    model = ImageTextModel(shapes_model)
    check(model)
    drawn = []
    for colour, shape in HELD_OUT:
        picture = np.full((144, 256, 3), 128, np.uint8)
        draw(picture, colour, shape, (128, 72), 40)
        drawn.append(picture)
    products = model.embed_texts([described(*one) for one in HELD_OUT]) @ model.embed_images(drawn).T
    assert (products.argmax(axis=1) == np.arange(len(HELD_OUT))).mean() >= 0.85


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100), "cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text("{}"), "cannot be loaded"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "cannot be loaded"),
    ],
    ids=["no weights", "broken weights", "no kind", "no processor", "no words"],
)
def test_what_is_no_model_is_told(spoil: Callable[[Path], object], told: str, tmp_path: Path) -> None:
    save_random("clip", tmp_path)
    spoil(tmp_path)
    with pytest.raises(TaskError, match=told) as caught:
        ImageTextModel(tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"vision_config": {}}, 2e-9 * 12 * (4 * 768**2 + 2 * 768 * 3072) * 49),
        ({"vision_config": {"image_size": 256, "patch_size": 16}}, 2e-9 * 12 * (4 * 768**2 + 2 * 768 * 3072) * 256),
    ],
)
def test_the_effort_of_a_picture(config: dict[str, Any], expected: float) -> None:
    assert effort(config) == pytest.approx(expected)


@pytest.mark.parametrize("config", [{}, {"vision_config": 3}, {"vision_config": {"patch_size": 0}}])
def test_the_effort_of_something_else_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(TaskError):
        effort(config)


@given(items=st.lists(st.integers(), max_size=40), size=st.integers(1, 16), fits=st.integers(1, 16))
@pytest.mark.slow
def test_batches_shrink_until_they_fit_and_lose_nothing(items: list[int], size: int, fits: int) -> None:
    tried = list[int]()

    def run(batch: Any) -> list[int]:
        tried.append(len(batch))
        if len(batch) > fits:
            raise RuntimeError("CUDA error: out of memory")
        return list(batch)

    assert [one for batch in in_batches(items, size, run) for one in batch] == items
    assert sum(many > fits for many in tried) <= 5  # halved, and never tried again


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), MemoryError()])
def test_one_that_does_not_fit_alone_is_an_error(error: Exception) -> None:
    def run(batch: Any) -> None:
        raise error

    with pytest.raises(type(error)):
        list(in_batches([1, 2, 3], 2, run))


def test_other_errors_are_not_tried_again() -> None:
    tried = list[int]()

    def run(batch: Any) -> None:
        tried.append(len(batch))
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError):
        list(in_batches([1, 2, 3], 2, run))
    assert tried == [2]


def test_the_processor_is_asked_in_full_precision() -> None:
    assert not CPU.half
