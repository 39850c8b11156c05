"""The files of a film: what may be replaced, and what may not.

The report beside a film holds marks: digests of files that this program made. A film or a timeline that bears none of
them is someone's own work, or was edited, and is only replaced when ``force`` says so.
"""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from montage_ai.errors import OutputExistsError, UserError
from montage_ai.media.files import remove_abandoned_drafts, sha256, telling_disk_errors, write_atomically

_MARK = re.compile(r'<script type="application/json" class="montage-ai">(.*?)</script>', re.DOTALL)
_SUFFIXES = (".mp4", ".mov", ".m4v")


@dataclass(frozen=True)
class FilmFiles:
    """The ``film``, and what stands beside it."""

    film: Path

    @property
    def timeline(self) -> Path:
        return self.film.with_suffix(".otio")

    @property
    def report(self) -> Path:
        return self.film.with_suffix(".report.html")

    def check(self, *, force: bool, sources: Sequence[Path], with_timeline: bool = True) -> None:
        """Make sure that they may be written: no source, the folder there and writable, nothing of someone else's.

        Raises ``UserError`` or ``OutputExistsError``.
        """
        check_target(self.film, sources)
        for file in (self.timeline, self.report):
            check_writable(file)
        if not force:
            self._check_ours([self.film, self.timeline] if with_timeline else [self.film])

    def _check_ours(self, files: Sequence[Path]) -> None:
        marks = self._marks()
        hint = "Choose another name, or use --force to replace it."
        if self.report.exists() and not marks:
            raise OutputExistsError("exists and was not made by this program.", file=self.report, hint=hint)
        for file in files:
            if file.exists() and _mark_of(file) not in marks:
                what = "exists and was not made by this program" + (", or was edited." if marks else ".")
                raise OutputExistsError(what, file=file, hint=hint)

    def film_is_ours(self) -> bool:
        """Whether the report beside it says that we made exactly this film."""
        return self.report.is_file() and _mark_of(self.film) in self._marks()

    def claim(self, draft: Path) -> None:
        """Say in the report that ``draft``, which is about to become the film or its timeline, is ours too.

        So a program that ends between the two leaves files that may be replaced.
        """
        mark = _as_html([*self._marks(), _mark_of(draft)])
        page = self._page() if self._marks() else ""
        text = (
            _MARK.sub(lambda _: mark, page) if page else f"<!doctype html><title>{escape(self.film.stem)}</title>{mark}"
        )
        write_atomically(self.report, text)

    def mark(self, *, with_timeline: bool = True) -> str:
        """What the report holds so that these files are known again; without ``with_timeline``, that one as before."""
        marks = [_mark_of(self.film)]
        if self.timeline.is_file():
            timeline = _mark_of(self.timeline)
            marks += [timeline] if with_timeline or timeline in self._marks() else []
        return _as_html(marks)

    def _marks(self) -> list[list[object]]:
        match = _MARK.search(self._page())
        try:
            marks = json.loads(match[1]) if match else []
        except json.JSONDecodeError:
            return []
        return marks if isinstance(marks, list) else []

    def _page(self) -> str:
        try:
            return self.report.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""


def check_target(path: Path, sources: Sequence[Path]) -> None:
    """Make sure that ``path`` is the name of a film, none of the ``sources``, and can be written.

    Its folder is made. Raises ``UserError``.
    """
    with telling_disk_errors(path):
        path.exists()  # a name may be too long
    if path.is_dir():
        raise UserError("is a folder.", file=path, hint="Name a file, like film.mp4.")
    if path.exists() and not path.is_file():
        raise UserError("is not a file, but a pipe or a device.", file=path, hint="Name a file, like film.mp4.")
    if path.suffix.lower() not in _SUFFIXES:
        raise UserError("is not the name of a film.", file=path, hint="Name an .mp4 file.")
    if path.exists() and any(source.exists() and path.samefile(source) for source in sources):
        raise UserError("is one of the sources, which are never written.", file=path, hint="Choose another name.")
    check_writable(path)


def check_writable(path: Path) -> None:
    """Make the folder, and try whether a file of this name can be written there. Raises ``UserError``."""
    with telling_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.exists()  # a name may be too long
        trial = path.with_name(f".{uuid.uuid4().hex[:8]}.part")
        try:
            trial.touch()
        finally:
            with contextlib.suppress(OSError):
                trial.unlink()
    remove_abandoned_drafts(path.parent)


def _mark_of(file: Path) -> list[object]:
    return [file.stat().st_size, sha256(file)]


def _as_html(marks: Sequence[list[object]]) -> str:
    return f'<script type="application/json" class="montage-ai">{json.dumps(marks)}</script>'
