"""What people type most, for the end of each command's help."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "make": (
        "montage-ai make holiday/ --music song.mp3",
        "montage-ai make holiday/ -m song.mp3 -o film.mp4 --duration 1:30 --style travel",
        "montage-ai make holiday/ -m song.mp3 --aspect 9:16 --quality preview --pin beach.mp4@12.5",
    ),
    "render": ("montage-ai render film.otio -o again.mp4",),
    "stabilize": (
        "montage-ai stabilize walk.mp4",
        "montage-ai stabilize clips/ -o steady/ --smoothing 30",
    ),
    "analyze": ("montage-ai analyze holiday/", "montage-ai analyze walk.mp4 --json"),
    "index": ("montage-ai index holiday/",),
    "search": (
        'montage-ai search "sunset over water"',
        'montage-ai search "people, a dog" --without blurry -n 5',
    ),
    "tags": ("montage-ai tags holiday/",),
    "beats": ("montage-ai beats song.mp3",),
    "styles": ("montage-ai styles",),
    "doctor": ("montage-ai doctor",),
    "storage": ("montage-ai storage",),
    "clean": ("montage-ai clean", "montage-ai clean --library"),
    "completion": ("montage-ai completion bash > ~/.local/share/bash-completion/completions/montage-ai",),
    "offload": (
        "montage-ai offload add studio host=studio.local",
        "montage-ai offload enable studio",
        "montage-ai offload plan make holiday/ -m song.mp3",
    ),
    "jobs": ("montage-ai jobs list", "montage-ai jobs watch"),
}


def epilog(command: str) -> str | None:
    """The end of a command's help; None where there are no examples."""
    examples = EXAMPLES.get(command)
    # Click leaves the lines of a paragraph that begins with this letter as they are.
    return "\n".join(["\b", "Examples:", *(f"  {example}" for example in examples)]) if examples else None
