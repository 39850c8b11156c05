"""Settings from the environment: what is wrong in them is said, not stumbled over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from montage_ai import config
from montage_ai.errors import UserError


def test_all_that_is_kept_lies_under_the_one_home(home: Path) -> None:
    for folder in (config.data_dir(), config.cache_dir()):
        assert folder.is_dir()
        assert folder.is_relative_to(home)
    assert config.data_dir() != config.cache_dir()


def test_a_relative_home_means_the_same_folder_after_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MONTAGE_AI_HOME", "here")
    assert config.data_dir() == tmp_path / "here" / "data"


@pytest.mark.skipif(sys.platform != "linux", reason="the folders are those of Linux")
def test_without_a_home_the_platforms_folders_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONTAGE_AI_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert config.data_dir() == tmp_path / "data" / "montage-ai"
    assert config.cache_dir() == tmp_path / "cache" / "montage-ai"


def test_a_home_that_cannot_be_made_is_the_users_to_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MONTAGE_AI_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="MONTAGE_AI_HOME") as caught:
        config.data_dir()
    assert str(tmp_path / "file") in str(caught.value)


@pytest.mark.parametrize(("text", "limit"), [("10", 10**10), ("0.5", 5 * 10**8), ("0", 0), (" 2 ", 2 * 10**9)])
def test_the_cache_limit_is_in_gigabytes(monkeypatch: pytest.MonkeyPatch, text: str, limit: int) -> None:
    monkeypatch.setenv("MONTAGE_AI_CACHE_GB", text)
    assert config.cache_limit() == limit


@pytest.mark.parametrize("text", ["ten", "", "10 GB", "nan", "inf", "-1"])
def test_a_cache_limit_that_is_no_size_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("MONTAGE_AI_CACHE_GB", text)
    with pytest.raises(UserError, match="MONTAGE_AI_CACHE_GB"):
        config.cache_limit()


def test_importing_the_package_costs_no_heavy_module() -> None:
    code = "import sys, montage_ai, montage_ai.config; print(*{'numpy', 'cv2', 'av', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.split() == []
