"""What pictures show, in words."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from montage_ai.errors import TaskError, VerificationError, printable
from montage_ai.models.captions import CaptionModel
from montage_ai.models.library import PACKAGES
from montage_ai.models.self_check import check_captions
from montage_ai.tasks.pictures import AGAIN, FRAMES, PackTravels, PictureTask, read_pictures
from montage_ai.tasks.ready import ready
from montage_ai.tasks.task import Line, Needs, OnFraction, Payload, Prior, Promise, Variant

_CAPTIONS = "captions"
_LONGEST = 1000  # characters of one that is believed
_AT_ONCE = 8  # pictures between two words of how far it is


class Caption(PictureTask):
    """A caption of each picture. The output is ``data["captions"]``, in their order."""

    name: ClassVar = "caption"
    version: ClassVar = 1
    needs: ClassVar = Needs(packages=PACKAGES, processors=2, memory=3.0)

    bytes_each: ClassVar = 100

    @classmethod
    def priors(cls) -> dict[str, Prior]:
        return {Only.name: Only.prior}

    def variants(self) -> tuple[Variant, ...]:
        return (Only(self),)


class Only(PackTravels):
    """The one way to do it."""

    prior = Prior(Line(8.0, 0.05))

    def compute(self, payload: Payload, folder: Path, on_fraction: OnFraction) -> Payload:
        model = ready(
            self.task.name,
            self.task.weights,
            payload.files,
            folder,
            load=CaptionModel,
            check=lambda place, device: check_captions(CaptionModel(place, device)),
        )
        captions = list[str]()
        for pictures in read_pictures(payload.files[FRAMES], _AT_ONCE):
            captions += model.captions(pictures)
            on_fraction(min(len(captions) / self.task.count, 1.0))
        if len(captions) != self.task.count:
            raise TaskError(f"There are {len(captions)} pictures, not {self.task.count}.", hint=AGAIN)
        return Payload(data={_CAPTIONS: captions})

    @property
    def promise(self) -> Promise:
        return Promise(frozenset(), 0)

    def check(self, computed: Payload) -> None:
        read_captions(computed, self.task.count)

    def finish(self, payload: Payload, folder: Path) -> Payload:
        return payload


def read_captions(payload: Payload, count: int) -> list[str]:
    """The captions of ``count`` pictures, from the task's outputs: one line each, maybe empty.

    They may come from another machine: raises ``VerificationError`` for what is not that.
    """
    found = payload.data.get(_CAPTIONS)
    if not isinstance(found, list) or len(found) != count:
        raise VerificationError(f"The captions are not those of {count} pictures.")
    if not all(isinstance(one, str) and len(one) <= _LONGEST for one in found):
        raise VerificationError("The captions are not words.")
    return [printable(" ".join(one.split())) for one in found]
