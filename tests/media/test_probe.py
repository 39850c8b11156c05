"""What a file is: upright size, exact times, colour, and a clear word on what cannot be used."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from montage_ai.errors import MediaError
from montage_ai.media.probe import MediaInfo, probe
from tests.conftest import MOVING

FFmpeg = Callable[..., Path]


def test_a_plain_clip(plain: Path) -> None:
    info = probe(plain)
    picture = info.picture
    assert (info.kind, info.duration) == ("video", 2.0)
    assert (picture.codec, picture.width, picture.height, picture.fps, picture.frames) == ("h264", 320, 180, 30, 60)
    assert (picture.rotation, picture.sample_aspect, picture.bit_depth, picture.colour.hdr) == (0, 1, 8, False)
    assert info.audio is not None
    assert (info.audio.codec, info.audio.sample_rate) == ("aac", 48000)


def test_a_rotated_clip_has_the_size_it_is_shown_in(rotated: Path) -> None:
    picture = probe(rotated).picture
    assert (picture.rotation, picture.width, picture.height) == (90, 180, 320)
    assert (picture.coded_width, picture.coded_height) == (320, 180)


@pytest.mark.parametrize(("turn", "rotation"), [("-90", 270), ("180", 180), ("89", 90)])
def test_rotations_are_quarter_turns_counter_clockwise(make: FFmpeg, plain: Path, turn: str, rotation: int) -> None:
    turned = make("-display_rotation", turn, "-i", plain, "-t", "0.2", "-c", "copy", f"turned{turn}.mp4")
    assert probe(turned).picture.rotation == rotation


def test_an_anamorphic_clip_has_square_pixels_when_shown(anamorphic: Path) -> None:
    picture = probe(anamorphic).picture
    assert (picture.sample_aspect, picture.coded_width, picture.width, picture.height) == (2, 160, 320, 180)


def test_the_colour_tags_of_hdr_are_read(hdr: Path) -> None:
    picture = probe(hdr).picture
    assert (picture.codec, picture.bit_depth) == ("hevc", 10)
    assert (picture.colour.primaries, picture.colour.transfer, picture.colour.matrix) == (9, 16, 9)
    assert picture.colour.hdr
    assert not picture.colour.full_range


def test_the_usual_frame_rate_of_a_variable_one(vfr: Path) -> None:
    """A second at 30 and a second at 15: half of a film of 22.5 frames a second would be shown too slowly."""
    assert probe(vfr).picture.fps == 30


def test_a_clip_without_sound(silent: Path) -> None:
    info = probe(silent)
    assert info.audio is None
    assert info.video is not None


def test_a_clip_of_one_frame(one_frame: Path) -> None:
    assert probe(one_frame).duration == pytest.approx(1 / 30)


def test_the_cover_of_a_piece_of_music_is_no_picture(covered_music: Path) -> None:
    info = probe(covered_music)
    assert (info.kind, info.video) == ("audio", None)
    with pytest.raises(MediaError, match="no picture"):
        _ = info.picture


def test_photos_are_photos(photo: Path, turned_photo: Path) -> None:
    for path in (photo, turned_photo):
        info = probe(path)
        assert (info.kind, info.duration) == ("photo", 0.0)


def test_a_photo_is_a_photo_whatever_its_name_means_to_ffmpeg(tmp_path: Path) -> None:
    for name in ("a%d.png", "50%03d.png", "a*b.png"):
        cv2.imencode(".png", np.zeros((20, 30, 3), np.uint8))[1].tofile(tmp_path / name)
        assert probe(tmp_path / name).kind == "photo"


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mp4"])
def test_times_count_from_the_first_frame_wherever_the_container_begins(make: FFmpeg, plain: Path, suffix: str) -> None:
    late = make("-i", plain, "-c", "copy", "-output_ts_offset", "5", f"late.{suffix}")
    picture = probe(late).picture
    assert float(picture.first_pts * picture.time_base) == pytest.approx(5, abs=1.5)
    assert abs(picture.offset) < Fraction(1, 10)


def test_interlaced_pictures_are_known(make: FFmpeg) -> None:
    fields = make(*MOVING, "-vf", "interlace", "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "fields.mpg")
    whole = make(*MOVING, "-t", "0.2", "-c:v", "mpeg2video", "whole.mpg")
    assert probe(fields).picture.interlaced
    assert not probe(whole).picture.interlaced


def test_what_is_known_survives_json(hdr: Path, vfr: Path) -> None:
    for path in (hdr, vfr):
        info = probe(path)
        assert MediaInfo.model_validate_json(info.model_dump_json()) == info


def test_the_index_of_a_truncated_clip_is_read(truncated: Path) -> None:
    assert probe(truncated).duration == 2.0


@pytest.mark.parametrize("kind", ["corrupt", "empty"])
def test_what_cannot_be_read_is_named(request: pytest.FixtureRequest, kind: str) -> None:
    path: Path = request.getfixturevalue(kind)
    with pytest.raises(MediaError, match="cannot be read as media") as caught:
        probe(path)
    assert caught.value.file == str(path)
    assert caught.value.hint


def test_what_is_not_there_or_not_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="does not exist"):
        probe(tmp_path / "missing.mp4")
    with pytest.raises(MediaError, match="not a file"):
        probe(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="not a file"):
        probe(tmp_path / "pipe.mp4")


def test_text_is_not_media(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("shopping list\n" * 200)
    with pytest.raises(MediaError, match=r"notes\.mp4"):
        probe(tmp_path / "notes.mp4")


def test_subtitles_alone_are_neither_picture_nor_sound(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n\n")
    with pytest.raises(MediaError, match="neither picture nor sound"):
        probe(tmp_path / "a.srt")


def test_odd_names_are_names(plain: Path, tmp_path: Path, odd_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(plain, tmp_path / odd_name)
    monkeypatch.chdir(tmp_path)
    assert probe(Path(odd_name)).duration == 2.0
    assert probe(tmp_path / odd_name).duration == 2.0


def test_a_name_that_is_not_text_is_a_name(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe.mp4")
    try:
        shutil.copy(plain, path)
    except OSError:
        pytest.skip("not a file name on this system")
    assert probe(path).duration == 2.0


def test_real_phone_clips(shared: Path) -> None:
    turned = probe(shared / "video" / "phone_rot90_vfr_short.mp4").picture
    assert turned.rotation in (90, 270)
    assert turned.height > turned.width
    assert (turned.width, turned.height) == (turned.coded_height, turned.coded_width)
