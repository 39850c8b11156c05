"""What people have on their disks: small files that other programs fail on, each alone and beside a good clip."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

import montage_ai
from montage_ai.api import montage
from montage_ai.api.montage import Film
from montage_ai.edit.brief import Brief
from montage_ai.edit.styles import load_style
from montage_ai.errors import MontageError, UserError
from montage_ai.events import Event, Notice
from montage_ai.media.probe import probe

FFmpeg = Callable[..., Path]

PLAIN = """summary = "Nothing done."
match_neighbours = 0.0
photo_move = 0.0
[pacing]
slow = 4
fast = 4
min_seconds = 1.0
max_seconds = 4.0
variation = 0.0
[transitions]
opening_fade = 0.0
closing_fade = 0.0
"""


@dataclass
class Told:
    """What the program told."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def warnings(self) -> dict[str, str]:
        """Of files, by name."""
        notices = [e for e in self.events if isinstance(e, Notice) and e.file is not None and e.level == "warning"]
        return {notice.file.name: notice.text for notice in notices if notice.file}


Make = Callable[..., tuple[Film, Told]]


@pytest.fixture(scope="session")
def faults() -> Path:
    folder = Path(__file__).parents[3] / "shared" / "faults"
    if not folder.is_dir():
        pytest.skip("needs ../shared/faults")
    return folder


@pytest.fixture
def film(tmp_path: Path, music: Path) -> Make:
    """Make a small film, plain and without a shot that is steadied, of some places."""
    style = tmp_path / "plain.toml"
    style.write_text(PLAIN)

    def make(*places: Path, **wishes: object) -> tuple[Film, Told]:
        told = Told()
        fields = {"aspect": "source", "quality": "preview", "stabilize": "never", "duration": 12.0} | wishes
        brief = Brief(style=load_style(str(style)), **fields)  # type: ignore[arg-type]
        output = tmp_path / "film.mp4"
        return montage_ai.make_montage(list(places), music, output, brief=brief, emit=told, force=True), told

    return make


def pictures(path: Path, size: tuple[int, int] = (96, 54), stream: int = 0) -> np.ndarray:
    """All frames, grey, small, each of mean 0 and length 1: (frames, pixels)."""
    import av

    with av.open(f"file:{path}") as container:
        frames = [f.reformat(*size, "gray").to_ndarray() for f in container.decode(container.streams.video[stream])]
    rows = np.array(frames, np.float32).reshape(len(frames), -1)
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def shown(made: Film, source: np.ndarray) -> list[int]:
    """The number of the source's frame that each frame of the film shows."""
    return [int(best) for best in (pictures(made.output) @ source.T).argmax(axis=1)]


def as_planned(made: Film, source: np.ndarray, fps: float) -> bool:
    """Whether every item shows what was planned."""
    numbers, position = shown(made, source), 0
    for item in made.timeline.items:
        first = round(float(item.start) * fps)
        if numbers[position : position + item.frames] != list(range(first, first + item.frames)):
            return False
        position += item.frames
    return True


# Each gives a film, alone and beside a good clip.

FILMS = [
    *("odd_shaky.webm", "hlg_transfer_only.mp4", "matrix_ycgco.mp4", "pcm_7_1.mov", "iphone_like_grid.heic"),
    *("chrome_mediarecorder.webm", "sticker_alpha.png", "pi_camera.h264", "sound_apac.mp4"),
]


@pytest.mark.parametrize("name", FILMS)
def test_it_gives_a_film(faults: Path, film: Make, name: str) -> None:
    made, told = film(faults / name, stabilize="auto")
    assert made.rendered is not None
    assert float(made.timeline.duration) > 0.9
    assert name not in told.warnings or name == "sound_apac.mp4"


def test_no_fault_ends_a_film_of_all(faults: Path, plain: Path, film: Make, tmp_path: Path) -> None:
    folder = tmp_path / "card"
    shutil.copytree(faults, folder, ignore=shutil.ignore_patterns("*.md", "*.toml"))
    shutil.copy(plain, folder)
    made, told = film(folder, sound="mix")
    assert made.rendered is not None
    assert {path.name for path in (one.path for one in made.footage.skipped)} == {"damaged_in_the_middle.jpg"}
    assert "part of the picture is missing" in told.warnings["damaged_in_the_middle.jpg"]
    assert "sound is of a kind" in told.warnings["sound_apac.mp4"]


@pytest.mark.parametrize("name", ["sound_first.ts", "two_recordings_appended.ts", "pi_camera.h264"])
def test_every_frame_is_the_one_that_was_planned(faults: Path, film: Make, name: str) -> None:
    made, _ = film(faults / name)
    frames = pictures(faults / name)
    assert as_planned(made, frames, 30)
    assert made.timeline.frames > 0.9 * len(frames)


def test_parts_of_another_shape_keep_it(faults: Path, film: Make) -> None:
    made, _ = film(faults / "phone_turned_while_recording.ts")
    clip = made.footage.clips[0]
    assert [(shape.coded_width, shape.coded_height) for shape in clip.info.shapes] == [(480, 270), (270, 480)]
    import av

    with av.open(str(made.output)) as container:
        frames = [f.to_ndarray(format="gray") for f in container.decode(video=0)]
    position = 0
    for item in made.timeline.items:
        middle = frames[position + item.frames // 2].astype(np.float32)
        detail = np.abs(np.diff(middle, axis=1)).mean(axis=0)
        is_upright = item.start >= clip.info.shapes[1].start
        assert (detail[:100].mean() < 0.4 * detail[180:300].mean()) == is_upright  # at the sides it is blurred
        position += item.frames


def test_the_default_picture_and_sound_are_shown_and_heard(faults: Path, film: Make) -> None:
    made, _ = film(faults / "second_picture_is_default.mp4")
    assert made.timeline.width == made.timeline.height * 16 / 9
    assert as_planned(made, pictures(faults / "second_picture_is_default.mp4", stream=1), 30)
    assert probe(faults / "second_sound_is_default.mp4").audio is not None
    assert probe(faults / "second_sound_is_default.mp4").audio.index == 2  # type: ignore[union-attr]


def test_holes_are_no_footage(faults: Path, film: Make) -> None:
    made, _ = film(faults / "screen_recording_hole.mp4", duration=10.0)
    assert made.timeline.fps == 30
    spans = [(float(item.start), float(item.end(made.timeline.fps))) for item in made.timeline.items]
    assert all(end <= 6.1 or start >= 25.9 for start, end in spans)


def test_proxies_on_a_card_are_left_out(faults: Path, film: Make) -> None:
    made, _ = film(faults / "gopro_card")
    assert [clip.name for clip in made.footage.clips] == ["GX010001.MP4"]
    assert as_planned(made, pictures(faults / "gopro_card" / "DCIM" / "100GOPRO" / "GX010001.MP4"), 30)


def test_a_clean_aperture_is_one_crop_in_the_analysis_and_in_the_film(faults: Path, film: Make) -> None:
    picture = probe(faults / "clean_aperture.mov").picture
    assert (picture.crop, picture.width, picture.height) == ((45, 45, 0, 0), 390, 360)
    made, _ = film(faults / "clean_aperture.mov")
    assert made.timeline.width / made.timeline.height == pytest.approx(390 / 360, abs=0.01)


def test_a_steadied_clip_keeps_its_date_and_all_its_sound(faults: Path, tmp_path: Path) -> None:
    import av

    service = montage_ai.StabilizationService(always=True)
    service.stabilize([faults / "dated_two_tracks.mov"], [tmp_path / "steady.mp4"])
    with av.open(str(tmp_path / "steady.mp4")) as container:
        assert container.metadata["creation_time"] == "2021-05-06T07:08:09.000000Z"
        assert len(container.streams.audio) == 2


def test_music_whose_sides_cancel_out_is_heard(faults: Path) -> None:
    assert montage_ai.beats(faults / "inverted_stereo.flac").tempo == pytest.approx(120, rel=0.02)


# Drawn here


def test_a_screenshot_with_a_colour_profile_is_a_photo(tmp_path: Path, film: Make) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
    Image.fromarray(noise).resize((640, 360)).save(tmp_path / "Screenshot.png", icc_profile=profile)
    made, _ = film(tmp_path / "Screenshot.png")
    assert made.rendered is not None


@pytest.mark.parametrize("size", ["161x121", "321x241", "33x19"])
def test_odd_sizes_are_steadied(make: FFmpeg, tmp_path: Path, film: Make, size: str) -> None:
    vp9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "300k")
    clip = make("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25:d=2", *vp9, "-pix_fmt", "yuv420p", f"odd{size}.webm")
    made, _ = film(clip, stabilize="always")
    assert made.rendered is not None
    assert montage_ai.stabilize_clip(clip, tmp_path / "steady.mp4").is_file()


def test_a_huge_photo_takes_no_more_memory_than_others(tmp_path: Path, plain: Path, film: Make) -> None:
    cv2.imwrite(str(tmp_path / "huge.png"), np.zeros((16_000, 16_000), np.uint8))
    made, told = film(tmp_path / "huge.png", plain)
    assert made.rendered is not None
    assert "256 megapixels" in told.warnings["huge.png"]


def test_a_playlist_is_never_footage(tmp_path: Path, plain: Path, film: Make) -> None:
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{plain}\n#EXT-X-ENDLIST\n")
    (tmp_path / "concat.mp4").write_text(f"ffconcat version 1.0\nfile '{plain}'\n")
    with pytest.raises(UserError, match="no footage that can be used"):
        film(tmp_path / "list.mp4", tmp_path / "concat.mp4")


def test_three_thousand_bad_files_are_not_three_thousand_lines(tmp_path: Path, plain: Path, film: Make) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number}.mp4").write_bytes(b"no film %d" % number)
    shutil.copy(plain, folder / "good.mp4")
    made, told = film(folder)
    assert len(made.footage.skipped) == 60
    assert len(told.warnings) == 10
    assert any(isinstance(e, Notice) and "50 more files" in e.text for e in told.events)


def test_a_clip_without_sound_streams_of_a_known_kind_is_not_lost(faults: Path) -> None:
    info = probe(faults / "sound_apac.mp4")
    assert info.audio is None
    assert info.notes


@pytest.mark.parametrize("kind", ["style", "output"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, plain: Path, music: Path, kind: str) -> None:
    import os

    pipe = tmp_path / ("a.toml" if kind == "style" else "film.mp4")
    os.mkfifo(pipe)
    style = str(pipe) if kind == "style" else "dynamic"

    def make() -> None:
        montage_ai.make_montage([plain], music, tmp_path / "film.mp4", brief=Brief(style=load_style(style)))

    with pytest.raises(MontageError, match="not a file"):
        make()


def test_a_program_that_ends_before_its_report_leaves_files_that_it_may_replace(
    plain: Path, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    film, brief = tmp_path / "film.mp4", Brief(style=load_style("dynamic"), quality="preview")
    with monkeypatch.context() as ending:
        ending.setattr(montage, "write_report", interrupted)
        with pytest.raises(KeyboardInterrupt):
            montage_ai.make_montage([plain], music, film, brief=brief)
    assert film.with_suffix(".otio").is_file()
    assert montage_ai.make_montage([plain], music, film, brief=brief).rendered is not None
