"""Pictures are described, and what comes back is believed only where it can be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.random_models import save_random
from montage_ai.errors import TaskError, UnsuitedError, VerificationError
from montage_ai.tasks.caption import Caption, read_captions
from montage_ai.tasks.pictures import write_pack
from montage_ai.tasks.ready import ready
from montage_ai.tasks.task import Payload
from tests.tasks.test_embed import jpegs, weights


def described(model: Path, count: int, claimed: int, folder: Path, told: list[float]) -> Payload:
    pack = write_pack(folder, jpegs(count))
    task = Caption(pack=pack, count=claimed, weights=weights(model), effort=0.1)
    (only,) = task.variants()
    work = folder / f"work {len(list(folder.iterdir()))}"
    work.mkdir()
    return only.finish(only.compute(only.prepare(work), work, told.append), work)


def test_a_caption_for_each_picture_in_order(tmp_path: Path) -> None:
    save_random("blip", tmp_path / "model")
    told = list[float]()
    captions = read_captions(described(tmp_path / "model", 11, 11, tmp_path, told), 11)
    assert len(captions) == 11
    assert captions[0] == captions[10]  # the same colour again
    assert len(set(captions)) > 1
    assert (told, told[-1]) == (sorted(told), 1.0)
    with pytest.raises(TaskError, match="not 12"):
        described(tmp_path / "model", 11, 12, tmp_path, told)


def test_a_model_that_sees_nothing_is_refused(tmp_path: Path) -> None:
    import torch
    from transformers import BlipForConditionalGeneration

    save_random("blip", tmp_path / "model")
    model = BlipForConditionalGeneration.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        model.vision_model.embeddings.patch_embedding.weight.zero_()
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(UnsuitedError, match="the same vector"):
        described(tmp_path / "model", 1, 1, tmp_path, [])


def test_a_model_that_says_the_same_of_everything_is_refused(tmp_path: Path) -> None:
    import torch
    from transformers import BlipForConditionalGeneration

    save_random("blip", tmp_path / "model")
    model = BlipForConditionalGeneration.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        for layer in model.text_decoder.bert.encoder.layer:
            layer.crossattention.output.dense.weight.zero_()
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(UnsuitedError, match="of every picture"):
        described(tmp_path / "model", 1, 1, tmp_path, [])


def test_each_task_checks_its_model_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[ready.__module__], "_loaded", {})
    save_random("blip", tmp_path / "model")
    checked = list[str]()

    def check(place: Path, device: object) -> None:
        checked.append(place.parent.name)

    files = weights(tmp_path / "model").payload()
    for number, task in enumerate(("caption", "embed", "caption")):
        folder = tmp_path / f"{task} {number}"
        folder.mkdir()
        made = ready(task, weights(tmp_path / "model"), files, folder, load=lambda place, device: place, check=check)
        assert made.parent == folder
    assert checked == ["caption 0", "embed 1"]


@pytest.mark.parametrize("found", [None, "a dog", ["one"], ["one", 2], ["one", None], ["one", "x" * 2000]])
def test_captions_that_are_none_are_refused(found: Any) -> None:
    """They may come from another machine."""
    with pytest.raises(VerificationError):
        read_captions(Payload(data={"captions": found}), 2)


def test_a_caption_is_one_printable_line() -> None:
    said = ["  two\n dogs\t", "\x1b[31mred\x1b[0m \ud800"]
    assert read_captions(Payload(data={"captions": said}), 2) == ["two dogs", r"\x1b[31mred\x1b[0m \ud800"]
