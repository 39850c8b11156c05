"""Transitions as FFmpeg filters: what happens to the leaving picture, to the coming one, and how they are joined."""

from __future__ import annotations

from montage_ai.edit.choices import TransitionKind
from montage_ai.render.layers import Canvas

_XFADE = {"dissolve": "fade", "wipe_left": "wipeleft", "slide_left": "slideleft", "zoom": "fade", "whip": "hblur"}
_FADE_COLOURS = {"fade_black": "black", "fade_white": "white"}
_NEAR = 0.35  # how much further a zoom comes


def transition_filters(kind: TransitionKind, frames: int, canvas: Canvas) -> tuple[str, str, str]:
    """For the leaving picture and for the coming one (each a suffix to its chain), and the filter that joins them.

    Both pictures have ``frames`` frames; the cut that the transition takes the place of is in their middle.
    """
    if kind in _FADE_COLOURS:
        return _through_colour(_FADE_COLOURS[kind], frames, canvas)
    leave, come = (_zoom(0, _NEAR, frames, canvas), _zoom(_NEAR, 0, frames, canvas)) if kind == "zoom" else ("", "")
    seconds = f"{float(frames / canvas.fps):.6f}"
    return leave, come, f"xfade=transition={_XFADE[kind]}:duration={seconds}:offset=0"


def _through_colour(colour: str, frames: int, canvas: Canvas) -> tuple[str, str, str]:
    """One picture goes before the cut and the other comes after it: the colour is reached on the beat.

    (The transitions of that name in xfade reach it early.)
    """
    cut = frames // 2
    leave = f",trim=end_frame={cut},fade=type=out:start_frame=0:nb_frames={cut}:color={colour}"
    come = f",trim=start_frame={cut},setpts=PTS-STARTPTS"
    come += f",fade=type=in:start_frame=0:nb_frames={frames - cut}:color={colour}"
    return leave, come, f"concat=n=2:v=1,fps={canvas.fps.numerator}/{canvas.fps.denominator}"


def _zoom(start: float, end: float, frames: int, canvas: Canvas) -> str:
    """Enlarged by ``start`` at first and by ``end`` at last."""
    factor = f"(1+{start}+({end - start})*n/{max(frames - 1, 1)})"
    width, height = (f"2*ceil({length}*{factor}/2)" for length in (canvas.width, canvas.height))
    return f",scale=w='{width}':h='{height}':eval=frame:flags=bicubic,crop={canvas.width}:{canvas.height},setsar=1"
