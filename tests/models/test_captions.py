"""Models that describe pictures: those of the family BLIP are loaded and run as the real ones are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.random_models import save_random
from montage_ai.errors import TaskError
from montage_ai.models.captions import CaptionModel
from montage_ai.models.self_check import check_sight


@pytest.mark.slow
def test_every_picture_gets_its_own_caption_however_they_are_batched(tmp_path: Path) -> None:
    save_random("blip", tmp_path)
    model = CaptionModel(tmp_path)
    check_sight(model)
    rng = np.random.default_rng(2)
    pictures = [rng.integers(0, 255, (*size, 3), np.uint8) for size in ((48, 80), (200, 90), (1, 7)) * 4]
    together, apart = model.captions(pictures), [model.captions([one])[0] for one in pictures]
    assert together == apart
    assert len(set(together)) > 3
    assert all(word in ("a", "dog", "two", "dogs", "on", "beach", "red", "circle") for word in together[0].split())
    assert model.captions([]) == []


@pytest.mark.parametrize("family", ["clip", "siglip2"])
def test_a_model_of_another_kind_is_refused(family: str, tmp_path: Path) -> None:
    save_random(family, tmp_path)
    with pytest.raises(TaskError, match="captions"):
        CaptionModel(tmp_path)
