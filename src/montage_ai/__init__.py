"""A folder of raw footage and a piece of music in; a film cut on the beat out.

    import montage_ai
    brief = montage_ai.Brief(style=montage_ai.load_style("travel"), duration=30)
    film = montage_ai.make_montage(["footage"], music="track.mp3", output="film.mp4", brief=brief)

Names are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own is not worth its import here
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

__all__ = [
    "Brief",
    "Film",
    "MontageError",
    "Offloader",
    "StabilizationService",
    "__version__",
    "analyze",
    "beats",
    "index",
    "is_cgpu_available",
    "load_style",
    "make_montage",
    "render_timeline",
    "search",
    "stabilize_clip",
    "tags",
    "write_reel",
]

if TYPE_CHECKING:
    from montage_ai.api.indexing import index
    from montage_ai.api.montage import Film, analyze, beats, make_montage
    from montage_ai.api.offloading import is_cgpu_available
    from montage_ai.api.rendering import render_timeline, write_reel
    from montage_ai.api.search import search, tags
    from montage_ai.api.stabilization import StabilizationService, stabilize_clip
    from montage_ai.edit.brief import Brief
    from montage_ai.edit.styles import load_style
    from montage_ai.errors import MontageError
    from montage_ai.offload.offloader import Offloader

_HOMES = {
    "Brief": "montage_ai.edit.brief",
    "Film": "montage_ai.api.montage",
    "MontageError": "montage_ai.errors",
    "Offloader": "montage_ai.offload.offloader",
    "StabilizationService": "montage_ai.api.stabilization",
    "analyze": "montage_ai.api.montage",
    "beats": "montage_ai.api.montage",
    "index": "montage_ai.api.indexing",
    "is_cgpu_available": "montage_ai.api.offloading",
    "load_style": "montage_ai.edit.styles",
    "make_montage": "montage_ai.api.montage",
    "render_timeline": "montage_ai.api.rendering",
    "search": "montage_ai.api.search",
    "stabilize_clip": "montage_ai.api.stabilization",
    "tags": "montage_ai.api.search",
    "write_reel": "montage_ai.api.rendering",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
