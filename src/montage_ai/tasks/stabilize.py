"""Stabilising a stretch of a clip with vid.stab: its camera motion, or the steadied clip.

Inside a film the motion is enough: the film's one encode applies it. Only for ``stabilize CLIP`` a clip is written.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from montage_ai.errors import TaskError
from montage_ai.media import vidstab
from montage_ai.media.camera_path import SHAKY, Motions, correct, shake
from montage_ai.media.ffmpeg import run_ffmpeg
from montage_ai.media.filters import square_pixels, square_size, to_sdr, whole_frames
from montage_ai.media.probe import MediaInfo, probe
from montage_ai.media.stretch import Stretch, seek_margin
from montage_ai.tasks.task import InputFile, Needs, OnFraction, Payload, Task, Variant, Work

MOTIONS = "motions.json"
CLIP = "clip.mp4"

_EVEN = "crop=trunc(iw/2)*2:trunc(ih/2)*2"
_DETECT_SHARE = 0.4  # of the time that a whole clip takes


class Stabilize(Task):
    """Find how the camera of ``source`` moves from ``start`` on, for ``seconds``; ``deliver`` that, or a steady clip.

    Times are in the clip's own, from its first frame; ``seconds`` 0 means to the end. ``smoothing`` is in frames. Of a
    stretch that does not shake no clip is written.
    """

    name: ClassVar = "stabilize"
    version: ClassVar = 2
    needs: ClassVar = Needs(filters=frozenset({"vidstabdetect", "vidstabtransform"}))

    source: InputFile
    start: Fraction = Field(Fraction(0), ge=0)
    seconds: Fraction = Field(Fraction(0), ge=0)
    smoothing: int = Field(15, ge=1, le=100)
    deliver: Literal["motion", "clip"] = "motion"
    always: bool = False
    """Also write a clip of what does not shake."""

    def variants(self) -> tuple[Variant, ...]:
        return (Here(self),)

    def inputs(self) -> tuple[InputFile, ...]:
        return (self.source,)

    def stretch(self, info: MediaInfo) -> Stretch:
        """The stretch of the clip: detection and rendering must see the same frames."""
        return Stretch(info, self.start, self.seconds or None, seek_margin(info, self.start))


class Here(Variant):
    """Detection, and for a clip the transform, on the original file."""

    name = "here"

    def __init__(self, task: Stabilize) -> None:
        self.task = task

    @property
    def work(self) -> Work:
        info = probe(self.task.source.path)
        seconds = float(self.task.seconds) or info.duration
        megapixels = info.picture.width * info.picture.height / 1e6
        units = seconds * float(info.picture.fps) * megapixels * (1.0 if self.task.deliver == "motion" else 3.5)
        size = self.task.source.path.stat().st_size
        return Work(up=size, units=units, down=size if self.task.deliver == "clip" else int(40 * seconds * 30))

    def prepare(self, folder: Path) -> Payload:
        return Payload(files={"source": self.task.source.path})

    def compute(self, payload: Payload, folder: Path, on_fraction: OnFraction) -> Payload:
        info = probe(payload.files["source"])
        whole = self.task.deliver == "clip"
        motions = detect_motions(self.task, info, folder, _part_of(on_fraction, 0, _DETECT_SHARE if whole else 1))
        path = folder / MOTIONS
        path.write_text(motions.to_json(), encoding="ascii")
        files = {MOTIONS: path}
        shaking = shake(motions, float(info.picture.fps))
        if whole and (self.task.always or shaking > SHAKY):
            files[CLIP] = write_steady_clip(self.task, info, motions, folder, _part_of(on_fraction, _DETECT_SHARE, 1))
        data = {"frames": len(motions.steps), "shake": shaking, "missing": _missing(self.task, info, motions)}
        return Payload(files=files, data=data)

    def finish(self, payload: Payload, folder: Path) -> Payload:
        return payload


def detect_motions(task: Stabilize, info: MediaInfo, folder: Path, on_fraction: OnFraction) -> Motions:
    """How the camera moves from frame to frame of the stretch, in square pixels of the picture's full size.

    Writes into ``folder``.
    """
    seconds = float(task.seconds) or info.duration or 1.0
    stretch = task.stretch(info)
    filters = ",".join([*_before(stretch), vidstab.detect_filter()])
    run_ffmpeg(
        [
            *("-loglevel", "error", *stretch.input_arguments(), "-map", "0:V:0", "-an", "-sn", "-dn"),
            *("-fps_mode", "passthrough", "-vf", filters, "-f", "null", "-"),
        ],
        cwd=folder,
        on_seconds=lambda done: on_fraction(min(done / seconds, 1.0)),
        about=info.path,
    )
    trf = folder / vidstab.MOTIONS_FILE
    with trf.open(encoding="ascii") as lines:
        motions = vidstab.read_motions(lines, *square_size(info.picture))
    trf.unlink()
    if not len(motions.steps):
        raise TaskError("holds no picture in the stretch to stabilise.", file=info.path)
    return motions


def write_steady_clip(
    task: Stabilize, info: MediaInfo, motions: Motions, folder: Path, on_fraction: OnFraction
) -> Path:
    """Encode the steadied stretch, with the clip's own sound, as ``folder / CLIP``."""
    corrections = correct(motions, smoothing=task.smoothing)
    (folder / vidstab.CORRECTIONS_FILE).write_text(vidstab.corrections_text(corrections), encoding="ascii")
    seconds = float(task.seconds) or info.duration or 1.0
    stretch = task.stretch(info)
    filters = ",".join([*_before(stretch), vidstab.transform_filter(), *to_sdr(info.picture), _EVEN, "format=yuv420p"])
    output = folder / CLIP
    run_ffmpeg(
        [
            *("-loglevel", "error", *stretch.input_arguments(), "-map", "0:V:0", "-map", "0:a:0?", "-sn", "-dn"),
            *("-fps_mode", "passthrough", "-vf", filters),
            *("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-c:a", "aac", "-b:a", "192k"),
            *("-movflags", "+faststart", "-f", "mp4", f"file:{output}"),
        ],
        cwd=folder,
        on_seconds=lambda done: on_fraction(min(done / seconds, 1.0)),
        about=info.path,
    )
    (folder / vidstab.CORRECTIONS_FILE).unlink()
    return output


def _missing(task: Stabilize, info: MediaInfo, motions: Motions) -> float:
    """Seconds at the end of a whole clip that its file promises and does not hold."""
    listed = info.picture.frames
    lacking = listed - len(motions.steps)
    if task.start or task.seconds or lacking <= 0.02 * listed + 2:
        return 0.0
    return float(lacking / info.picture.fps)


def _before(stretch: Stretch) -> list[str]:
    """What comes before vid.stab's filters, in detection and rendering alike."""
    picture = stretch.info.picture
    return [*stretch.filters(), *whole_frames(picture), *square_pixels(picture)]


def _part_of(on_fraction: OnFraction, low: float, high: float) -> OnFraction:
    return lambda fraction: on_fraction(low + fraction * (high - low))
