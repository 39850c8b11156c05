"""Stabilising a stretch of a clip with vid.stab: its camera motion, or the steadied clip.

Inside a film the motion is enough: the film's one encode applies it. Only for ``stabilize CLIP`` a clip is written.

    here    all of it, on the original file
    there   all of it, on another machine: the file travels, or the packets of the stretch
    proxy   detection on another machine, on a small copy of the pictures; its motions are applied here
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from montage_ai.errors import TaskError, VerificationError
from montage_ai.media import vidstab
from montage_ai.media.camera_path import SHAKY, Motions, correct, shake
from montage_ai.media.cut import cut_pictures
from montage_ai.media.ffmpeg import ffmpeg_with, first_run_that_works, run_ffmpeg
from montage_ai.media.filters import square_pixels, square_size, to_sdr, whole_frames
from montage_ai.media.likeness import check_alike, check_decodes, count_pictures
from montage_ai.media.probe import MediaInfo, probe
from montage_ai.media.stretch import Stretch, origin_arguments, seek_margin, sound_maps
from montage_ai.tasks.task import InputFile, Line, Needs, OnFraction, Payload, Prior, Promise, Task, Variant, Work

MOTIONS = "motions.json"
CLIP = "clip.mp4"

_EVEN = "crop=trunc(iw/2)*2:trunc(ih/2)*2"
_DETECT_SHARE = 0.4  # of the time that a whole clip takes
_WHOLE = 3.5  # times the work of detection is a whole clip's
_PACE = Line(0.1, 0.004)  # seconds a frame and megapixel
_A_FRAME = 60  # bytes of a frame's motion
_MOST_A_FRAME = 200  # bytes of a frame's motion, at most
_MOST_A_MEGAPIXEL = 1_500_000  # bytes of a frame and megapixel of a steadied clip, at most: as much as it has undone
_MARGIN = 1_000_000  # bytes
_COUNTED = 0.05  # of a clip's frames: how far what is counted and what is decoded may be apart
_CUT, _PROXY = "cut.mov", "proxy.mp4"
_PROXY_WIDTH = 960  # pixels: at 640 twice as much jitter is left
_PROXY_BYTES = 12_000  # of a proxy's frame and megapixel


class Stabilize(Task):
    """Find how the camera of ``source`` moves from ``start`` on, for ``seconds``; ``deliver`` that, or a steady clip.

    Times are in the clip's own, from its first frame; ``seconds`` 0 means to the end. ``smoothing`` is in frames. Of a
    stretch that does not shake no clip is written.
    """

    name: ClassVar = "stabilize"
    version: ClassVar = 3
    needs: ClassVar = Needs(filters=vidstab.FILTERS, processors=2)

    source: InputFile
    start: Fraction = Field(Fraction(0), ge=0)
    seconds: Fraction = Field(Fraction(0), ge=0)
    smoothing: int = Field(15, ge=1, le=100)
    deliver: Literal["motion", "clip"] = "motion"
    always: bool = False
    """Also write a clip of what does not shake."""

    @classmethod
    def priors(cls) -> dict[str, Prior]:
        return {variant.name: variant.prior for variant in (Here, There, Proxy)}

    def variants(self) -> tuple[Variant, ...]:
        return Here(self), There(self), Proxy(self)

    def inputs(self) -> tuple[InputFile, ...]:
        return (self.source,)

    def stretch(self, info: MediaInfo) -> Stretch:
        """The stretch of the clip: detection and rendering must see the same frames."""
        return Stretch(info, self.start, self.seconds or None, seek_margin(info, self.start))


class _Stabilizing(Variant):
    def __init__(self, task: Stabilize) -> None:
        self.task = task

    def size(self) -> tuple[float, float, int]:
        """Seconds of the stretch, its frames times megapixels, and the share of the file's bytes that it has."""
        info = probe(self.task.source.path)
        seconds = float(self.task.seconds) or info.duration
        pixels = seconds * float(info.picture.fps) * info.picture.width * info.picture.height / 1e6
        share = min((seconds + 2) / info.duration, 1.0) if info.duration else 1.0  # from a key frame on
        return seconds, pixels, int(share * self.task.source.path.stat().st_size)

    @property
    def costs(self) -> float:
        """Units of work a frame and megapixel: a whole clip is transformed and encoded, too."""
        return 1.0 if self.task.deliver == "motion" else _WHOLE

    @property
    def promise(self) -> Promise:
        seconds, pixels, _ = self.size()
        motions = int(_MOST_A_FRAME * (seconds + 10) * float(probe(self.task.source.path).picture.fps))
        if self.task.deliver == "motion":
            return Promise(frozenset({MOTIONS}), _MARGIN + motions)
        largest = int(_MOST_A_MEGAPIXEL * pixels) + 2 * self.task.source.path.stat().st_size  # its sound is in it
        return Promise(frozenset({MOTIONS, CLIP}), _MARGIN + motions + largest, may_lack=frozenset({CLIP}))

    def check(self, computed: Payload) -> None:
        info = probe(self.task.source.path)
        motions = read_checked_motions(self.task, info, computed, square_size(info.picture))
        if (clip := computed.files.get(CLIP)) is not None:
            check_steady_clip(self.task, info, motions, clip)
        elif self.task.deliver == "clip" and _is_to_be_steadied(self.task, info, motions):
            raise VerificationError("It lacks the steadied clip.")

    def finish(self, payload: Payload, folder: Path) -> Payload:
        """What is said of the clip follows from its motions: it is not taken from another machine."""
        info = probe(self.task.source.path)
        motions = Motions.from_json(payload.files[MOTIONS].read_text(encoding="ascii"))
        return Payload(files=payload.files, data=_described(self.task, info, motions))


class Here(_Stabilizing):
    """Detection, and for a clip the transform, on the original file."""

    name = "here"
    there = False
    prior = Prior(compute=_PACE)

    @property
    def work(self) -> Work:
        _, pixels, _ = self.size()
        return Work(up=0, units=self.costs * pixels, down=0)

    def prepare(self, folder: Path) -> Payload:
        return Payload(files={"source": self.task.source.path})

    def compute(self, payload: Payload, folder: Path, on_fraction: OnFraction) -> Payload:
        return _stabilize(self.task, probe(payload.files["source"]), folder, on_fraction)


class There(_Stabilizing):
    """The same on another machine; of a stretch whose motion is wanted only its packets travel."""

    name = "there"
    here = False
    prior = Prior(compute=_PACE)

    @property
    def work(self) -> Work:
        seconds, pixels, size = self.size()
        whole = self.task.deliver == "clip"
        up = self.task.source.path.stat().st_size if whole else size
        return Work(up=up, units=self.costs * pixels, down=size if whole else int(_A_FRAME * 30 * seconds))

    def prepare(self, folder: Path) -> Payload:
        source = self.task.source.path
        if self.task.deliver == "motion" and self.task.seconds:
            cut = folder / _CUT
            start = cut_pictures(probe(source), self.task.start, self.task.seconds, cut)
            if start is not None:
                return Payload(files={"cut": cut}, data={"start": str(start)})
            cut.unlink(missing_ok=True)
        return Payload(files={"source": source})

    def compute(self, payload: Payload, folder: Path, on_fraction: OnFraction) -> Payload:
        if "cut" in payload.files:
            cut = self.task.model_copy(update={"start": Fraction(payload.data["start"])})
            return _stabilize(cut, probe(payload.files["cut"]), folder, on_fraction)
        return _stabilize(self.task, probe(payload.files["source"]), folder, on_fraction)


class Proxy(_Stabilizing):
    """Detection on another machine, on small pictures; the motions are scaled, and for a clip applied, here."""

    name = "proxy"
    here = False
    changes_result = True
    prior = Prior(compute=_PACE, prepare=Line(0.1, 0.002), finish=_PACE)

    @property
    def work(self) -> Work:
        seconds, pixels, _ = self.size()
        info = probe(self.task.source.path)
        width, height = _proxy_size(info)
        frames = seconds * float(info.picture.fps)
        small = width * height / 1e6 * frames
        finish = (_WHOLE - 1.0) * pixels if self.task.deliver == "clip" else 0.0
        up, down = int(_PROXY_BYTES * small), int(_A_FRAME * frames)
        return Work(up=up, units=small, down=down, prepare=pixels, finish=finish)

    def prepare(self, folder: Path) -> Payload:
        info = probe(self.task.source.path)
        proxy = folder / _PROXY
        stretch = self.task.stretch(info)
        width, height = _proxy_size(info)
        filters = [*_before(stretch), f"scale={width}:{height}:flags=area", "format=yuv420p", "setpts=N/(30*TB)"]
        run_ffmpeg(
            [
                *("-loglevel", "error", *stretch.input_arguments(), "-map", f"0:{stretch.stream}", "-an", "-sn", "-dn"),
                *("-vf", ",".join(filters), "-fps_mode", "passthrough"),
                *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "27", "-f", "mp4", f"file:{proxy}"),
            ],
            cwd=folder,
            about=info.path,
        )
        return Payload(files={"proxy": proxy})

    def compute(self, payload: Payload, folder: Path, on_fraction: OnFraction) -> Payload:
        all_of_it = self.task.model_copy(update={"start": Fraction(0), "seconds": Fraction(0)})
        motions = detect_motions(all_of_it, probe(payload.files["proxy"]), folder, on_fraction)
        (folder / MOTIONS).write_text(motions.to_json(), encoding="ascii")
        return Payload(files={MOTIONS: folder / MOTIONS})

    @property
    def promise(self) -> Promise:
        return Promise(frozenset({MOTIONS}), super().promise.most_bytes)

    def check(self, computed: Payload) -> None:
        info = probe(self.task.source.path)
        read_checked_motions(self.task, info, computed, _proxy_size(info))

    def finish(self, payload: Payload, folder: Path) -> Payload:
        info = probe(self.task.source.path)
        small = Motions.from_json(payload.files[MOTIONS].read_text(encoding="ascii"))
        return _deliver(self.task, info, small.scaled(*square_size(info.picture)), folder, lambda _: None)


def _stabilize(task: Stabilize, info: MediaInfo, folder: Path, on_fraction: OnFraction) -> Payload:
    share = 1.0 if task.deliver == "motion" else _DETECT_SHARE
    motions = detect_motions(task, info, folder, _part_of(on_fraction, 0, share))
    return _deliver(task, info, motions, folder, _part_of(on_fraction, share, 1))


def _deliver(task: Stabilize, info: MediaInfo, motions: Motions, folder: Path, on_fraction: OnFraction) -> Payload:
    """The task's outputs, once the motions are known."""
    path = folder / MOTIONS
    path.write_text(motions.to_json(), encoding="ascii")
    files = {MOTIONS: path}
    if task.deliver == "clip" and _is_to_be_steadied(task, info, motions):
        files[CLIP] = write_steady_clip(task, info, motions, folder, on_fraction)
    return Payload(files=files, data=_described(task, info, motions))


def _is_to_be_steadied(task: Stabilize, info: MediaInfo, motions: Motions) -> bool:
    return task.always or shake(motions, float(info.picture.fps)) > SHAKY


def _described(task: Stabilize, info: MediaInfo, motions: Motions) -> dict[str, Any]:
    """What is said of the stretch beside its motions."""
    shaking = shake(motions, float(info.picture.fps))
    return {"frames": len(motions.steps), "shake": shaking, "missing": _missing(task, info, motions)}


def read_checked_motions(task: Stabilize, info: MediaInfo, computed: Payload, size: tuple[int, int]) -> Motions:
    """The motions that another machine found in pictures of ``size``.

    Raises ``VerificationError`` where they cannot be those of the stretch.
    """
    try:
        text = computed.files[MOTIONS].read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise VerificationError("The camera's motions are no text.") from None
    motions = Motions.from_json(text)
    if (motions.width, motions.height) != size:
        seen = f"{motions.width} by {motions.height}"
        raise VerificationError(f"The camera's motions were seen in pictures of {seen}, not {size[0]} by {size[1]}.")
    there = count_pictures(info, task.start, task.seconds)
    apart = 0 if info.picture.interlaced else abs(len(motions.steps) - there)  # two fields may be two packets
    if apart > 3 + _COUNTED * there:
        raise VerificationError(f"There are motions of {len(motions.steps)} frames, and the clip has {there}.")
    return motions


def check_steady_clip(task: Stabilize, info: MediaInfo, motions: Motions, clip: Path) -> None:
    """Raise ``VerificationError`` where a clip cannot be the steadied stretch."""
    made = probe(clip)
    size = square_size(info.picture)
    if made.kind != "video" or (made.picture.width, made.picture.height) != size:
        raise VerificationError(f"The clip is not a video of {size[0]} by {size[1]} pixels.", file=clip)
    frames = count_pictures(made, Fraction(0), Fraction(0))
    if abs(frames - len(motions.steps)) > 1 + _COUNTED * frames:
        raise VerificationError(f"The clip has {frames} frames, not {len(motions.steps)}.", file=clip)
    if info.audio is not None and made.audio is None:
        raise VerificationError("The clip has lost its sound.", file=clip)
    check_decodes(clip)
    check_alike(clip, info, task.start)


def _proxy_size(info: MediaInfo) -> tuple[int, int]:
    """At most ``_PROXY_WIDTH`` pixels on the longer side, in whole pairs."""
    width, height = square_size(info.picture)
    scale = min(1.0, _PROXY_WIDTH / max(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def detect_motions(task: Stabilize, info: MediaInfo, folder: Path, on_fraction: OnFraction) -> Motions:
    """How the camera moves from frame to frame of the stretch, in square pixels of the picture's full size.

    Writes into ``folder``.
    """
    seconds = float(task.seconds) or info.duration or 1.0
    stretch = task.stretch(info)
    filters = ",".join([*_before(stretch), vidstab.detect_filter()])
    run_ffmpeg(
        [
            *("-loglevel", "error", *stretch.input_arguments(), "-map", f"0:{stretch.stream}", "-an", "-sn", "-dn"),
            *("-fps_mode", "passthrough", "-vf", filters, "-f", "null", "-"),
        ],
        cwd=folder,
        on_seconds=lambda done: on_fraction(min(done / seconds, 1.0)),
        about=info.path,
        program=ffmpeg_with(*vidstab.FILTERS),
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
    """Encode the steadied stretch, with the clip's own sound and its date, as ``folder / CLIP``."""
    corrections = correct(motions, smoothing=task.smoothing)
    (folder / vidstab.CORRECTIONS_FILE).write_text(vidstab.corrections_text(corrections), encoding="ascii")
    seconds = float(task.seconds) or info.duration or 1.0
    stretch = task.stretch(info)
    filters = ",".join([*_before(stretch), vidstab.transform_filter(), *to_sdr(info.picture), _EVEN, "format=yuv420p"])
    output = folder / CLIP
    head = ["-loglevel", "error", *stretch.input_arguments(), "-map", f"0:{stretch.stream}"]
    tail = [
        *("-sn", "-dn", *origin_arguments(info), "-fps_mode", "passthrough", "-vf", filters),
        *("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-c:a", "aac", "-b:a", "192k"),
        *("-movflags", "+faststart", "-f", "mp4", f"file:{output}"),
    ]
    first_run_that_works(
        [[*head, *sound, *tail] for sound in sound_maps(info)],
        cwd=folder,
        on_seconds=lambda done: on_fraction(min(done / seconds, 1.0)),
        about=info.path,
        program=ffmpeg_with(*vidstab.FILTERS),
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
