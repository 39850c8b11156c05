"""Pictures become vectors, and what comes back is believed only where it can be."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from benchmarks.random_models import save_random
from benchmarks.tiny_clip import COLOURS
from montage_ai import config
from montage_ai.errors import MontageError, TaskError, UnsuitedError, VerificationError
from montage_ai.media.files import sha256
from montage_ai.media.stills import encode_jpeg
from montage_ai.models.image_text import ImageTextModel
from montage_ai.tasks.embed import VECTORS, Embed, read_vectors
from montage_ai.tasks.pictures import read_pack, read_picture, write_pack
from montage_ai.tasks.task import InputFile, Payload
from montage_ai.tasks.weights import WeightFile, Weights, loaded_names, model_config


def jpegs(count: int) -> list[bytes]:
    pictures = (np.full((90, 160, 3), list(COLOURS.values())[n % len(COLOURS)], np.uint8) for n in range(count))
    return [encode_jpeg(picture) for picture in pictures]


def weights(folder: Path) -> Weights:
    paths = sorted(folder.iterdir())
    files = [WeightFile(name=one.name, file=InputFile(path=one, sha256=sha256(one))) for one in paths]
    return Weights(files=tuple(files))


def embed(model: Path, pack: InputFile, count: int) -> Embed:
    return Embed(pack=pack, count=count, weights=weights(model), effort=0.1)


def through(task: Embed, folder: Path, told: list[float] | None = None) -> Payload:
    (only,) = task.variants()
    folder.mkdir()
    payload = only.prepare(folder)
    return only.finish(only.compute(payload, folder, (told if told is not None else []).append), folder)


def test_a_vector_for_each_picture_in_order(shapes_model: Path, tmp_path: Path) -> None:
    pack, told = write_pack(tmp_path, jpegs(37)), list[float]()
    outputs = through(embed(shapes_model, pack, 37), tmp_path / "work", told)
    vectors = read_vectors(outputs, 37)
    expected = ImageTextModel(shapes_model).embed_images([read_picture(one) for one in read_pack(pack.path)])
    assert np.abs(vectors - expected).max() < 1e-3
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_the_same_pictures_make_the_same_pack(tmp_path: Path) -> None:
    first, second = write_pack(tmp_path, jpegs(3)), write_pack(tmp_path, jpegs(3))
    assert first == second
    assert first.sha256 == sha256(first.path)
    assert list(read_pack(first.path)) == jpegs(3)


def test_a_model_that_fails_its_check_is_refused_and_asked_again(tmp_path: Path) -> None:
    save_random("clip", tmp_path / "model")
    pack = write_pack(tmp_path, jpegs(2))
    for number in range(2):
        with pytest.raises(UnsuitedError, match="does not work on cpu"):
            through(embed(tmp_path / "model", pack, 2), tmp_path / f"work{number}")


def test_a_model_is_checked_once_a_machine(shapes_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from montage_ai.tasks import embed as module
    from montage_ai.tasks import ready

    checked = list[ImageTextModel]()
    monkeypatch.setattr(module, "check", checked.append)
    pack = write_pack(tmp_path, jpegs(2))
    for number in range(3):
        ready._loaded.clear()  # as in a new process
        through(embed(shapes_model, pack, 2), tmp_path / f"work{number}")
    assert len(checked) == 1
    assert len(list((config.cache_dir() / "checked").iterdir())) == 1


def no_zip(folder: Path) -> Path:
    path = folder / "pack.zip"
    path.write_bytes(b"no zip")
    return path


def no_picture(folder: Path) -> Path:
    return write_pack(folder, [*jpegs(1), b"no picture"]).path


def too_few(folder: Path) -> Path:
    return write_pack(folder, jpegs(1)).path


def a_bomb(folder: Path) -> Path:
    path = folder / "pack.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("000000.jpg", bytes(50_000_000))
    return path


@pytest.mark.parametrize("make", [no_zip, no_picture, too_few, a_bomb])
def test_what_is_no_pack_is_told(make: object, shapes_model: Path, tmp_path: Path) -> None:
    assert callable(make)
    path = make(tmp_path)
    with pytest.raises(TaskError):
        through(embed(shapes_model, InputFile(path=path, sha256=sha256(path)), 2), tmp_path / "work")


@pytest.mark.parametrize(
    ("written", "width"),
    [
        (np.zeros((2, 8)), 8),
        (np.full((2, 8), np.nan), 8),
        (np.eye(8)[:3], 8),
        (np.eye(8)[:2], 4),
        (np.eye(8)[:2], 0),
        (np.eye(8)[:2], None),
        (np.eye(8)[:2], "8"),
        (np.eye(8)[:2], 1 << 40),
    ],
)
def test_vectors_that_are_none_are_refused(written: np.ndarray, width: object, tmp_path: Path) -> None:
    """They may come from another machine."""
    path = tmp_path / VECTORS
    path.write_bytes(written.astype(np.float16).tobytes())
    with pytest.raises(VerificationError):
        read_vectors(Payload(files={VECTORS: path}, data={} if width is None else {"width": width}), 2)


def test_vectors_that_are_not_there_are_missed() -> None:
    with pytest.raises(VerificationError):
        read_vectors(Payload(data={"width": 8}), 2)


class TestWeights:
    def test_files_are_known_by_content_and_name_wherever_they_lie(self, shapes_model: Path, tmp_path: Path) -> None:
        copy = tmp_path / "secret project"
        copy.mkdir()
        for path in shapes_model.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        here, there = weights(shapes_model), weights(copy)
        assert here.identity == there.identity
        (copy / "model.safetensors").write_bytes(b"x")
        assert weights(copy).identity != here.identity
        pack = write_pack(tmp_path, jpegs(1))
        task = Embed(pack=pack, count=1, weights=there, effort=1)
        assert "secret" not in str(task.travelling())
        assert Embed.model_validate_json(task.model_dump_json()) == task

    def test_a_commit_is_its_own_identity(self) -> None:
        one, other = (Weights(repository="a/b", revision=revision) for revision in ("1", "2"))
        assert one.identity != other.identity
        assert one.size == 0
        assert one.payload() == {}

    def test_pickles_are_loaded_only_where_nothing_else_is(self) -> None:
        names = ["config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5", "README.md", "tokenizer.json"]
        assert loaded_names(names) == ["config.json", "model.safetensors", "tokenizer.json"]
        assert "pytorch_model.bin" in loaded_names([name for name in names if "safetensors" not in name])

    @pytest.mark.parametrize("text", [None, "", "{", "[]", "\xff"])
    def test_a_folder_without_a_configuration_is_told(self, text: str | None, tmp_path: Path) -> None:
        if text is not None:
            (tmp_path / "config.json").write_text(text, "latin-1")
        with pytest.raises(MontageError, match=r"config\.json") as caught:
            model_config(tmp_path)
        assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"effort": 0}, {"effort": float("nan")}])
def test_parameters_are_checked(wrong: dict[str, float], shapes_model: Path, tmp_path: Path) -> None:
    good = {"pack": write_pack(tmp_path, jpegs(1)), "count": 1, "weights": weights(shapes_model), "effort": 1.0}
    with pytest.raises(ValidationError):
        Embed.model_validate(good | wrong)


def test_pictures_are_read_as_they_are_meant(tmp_path: Path) -> None:
    red = np.zeros((20, 20, 3), np.uint8)
    red[:, :, 0] = 250
    (jpeg,) = read_pack(write_pack(tmp_path, [encode_jpeg(cv2.cvtColor(red, cv2.COLOR_RGB2BGR))]).path)
    assert np.abs(read_picture(jpeg).astype(int) - red).max() < 12
