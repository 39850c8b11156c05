"""Which files in a folder are footage, and which are kept beside it by cameras, systems and other programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from montage_ai.footage.files import find_files


def lay_out(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_files([folder]).files]


@pytest.mark.parametrize(
    ("proxy", "original"),
    [
        ("GL010001.LRV", "GX010001.MP4"),
        ("GOPR0001.LRV", "GOPR0001.MP4"),
        ("DJI_0001.LRF", "DJI_0001.MP4"),
        ("LRV_20260101_120000_01_001.mp4", "VID_20260101_120000_00_001.mp4"),
        ("C0001_Proxy.MP4", "C0001.MP4"),
        ("SUB/C0001S03.MP4", "CLIP/C0001.MP4"),
        ("Proxy/A001.mov", "A001.mov"),
    ],
)
def test_a_proxy_is_left_out_where_its_original_is_there(tmp_path: Path, proxy: str, original: str) -> None:
    both, alone = lay_out(tmp_path / "both", proxy, original), lay_out(tmp_path / "alone", proxy)
    found = find_files([both])
    assert names(both) == [original]
    assert found.proxies == 1
    assert names(alone) == [proxy]


@pytest.mark.parametrize(
    "kept",
    [
        "@eaDir/a.mp4/SYNOPHOTO_THUMB_XL.jpg",
        "$RECYCLE.BIN/S-1-5/$R123.mp4",
        "__MACOSX/._a.mp4",
        "._a.mp4",
        ".Trashes/a.mp4",
        "M4ROOT/THMBNL/C0001T01.JPG",
        "Photos.photoslibrary/resources/derivatives/a.jpeg",
        "Catalog Previews.lrdata/a/b.jpg",
        "Film.fcpbundle/Event/Transcoded Media/Proxy Media/a.mov",
        "Adobe Premiere Pro Video Previews/a.mpeg",
        "CacheClip/a.mov",
    ],
)
def test_what_other_programs_keep_is_no_footage(tmp_path: Path, kept: str) -> None:
    lay_out(tmp_path, kept, "good.mp4")
    assert names(tmp_path) == ["good.mp4"]


def test_the_originals_in_a_library_are_footage(tmp_path: Path) -> None:
    lay_out(tmp_path, "Photos.photoslibrary/originals/A/1.heic", "Film.fcpbundle/Event/Original Media/a.mov")
    assert len(names(tmp_path)) == 2


def test_other_kinds_of_files_are_counted(tmp_path: Path) -> None:
    found = find_files([lay_out(tmp_path, "a.mp4", "notes.txt", "b.xmp", "c.XMP", "song.mp3")])
    assert dict(found.other_kinds) == {".txt": 1, ".xmp": 2}


@pytest.mark.parametrize("suffix", [".m2t", ".dv", ".f4v", ".h264", ".qt", ".M2TS"])
def test_rarer_suffixes_are_footage(tmp_path: Path, suffix: str) -> None:
    assert names(lay_out(tmp_path, f"a{suffix}")) == [f"a{suffix}"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    lay_out(tmp_path / "card", "a.mp4")
    folder = lay_out(tmp_path / "footage", "b.mp4")
    (folder / "card").symlink_to(tmp_path / "card")
    (folder / "again").symlink_to(folder)
    assert sorted(path.name for path in find_files([folder]).files) == ["a.mp4", "b.mp4"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path: Path) -> None:
    lay_out(tmp_path, "locked/a.mp4", "b.mp4")
    (tmp_path / "locked").chmod(0)
    found = find_files([tmp_path])
    (tmp_path / "locked").chmod(0o700)
    assert [one.path.name for one in found.skipped] == ["locked"]


@pytest.mark.skipif(sys.platform == "win32", reason="paths are shorter there")
def test_a_deep_folder_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, "good.mp4")
    monkeypatch.chdir(tmp_path)
    depth = 1200
    for _ in range(depth):
        Path("deeper").mkdir()
        os.chdir("deeper")
    deepest = os.open(".", os.O_RDONLY)
    try:
        os.chdir(tmp_path)
        found = find_files([tmp_path])
    finally:  # what removes folders by recursion, as pytest does, would fail at it
        os.chdir(deepest)
        os.close(deepest)
        for _ in range(depth):
            os.chdir("..")
            Path("deeper").rmdir()
    assert [path.name for path in found.files] == ["good.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_in_a_circle_costs_no_other_file(tmp_path: Path) -> None:
    lay_out(tmp_path, "a.mp4", "more/b.mp4")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    assert names(tmp_path) == ["a.mp4", "more/b.mp4"]
