"""The device that models run on, and batches that fit into its memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from montage_ai.models.library import torch

T = TypeVar("T")
R = TypeVar("R")

_CPU_BATCH = 8  # larger ones are not faster there
_LARGEST = 256
_SHARE = 0.5  # of the free memory


@dataclass(frozen=True)
class Device:
    """``kind`` is PyTorch's name for it, ``name`` says which one it is; ``half``: half precision is faster there."""

    kind: str
    name: str
    half: bool

    @property
    def dtype(self) -> Any:
        """The precision that models run in."""
        return torch().float16 if self.half else torch().float32


CPU = Device("cpu", "cpu", half=False)


def best_device() -> Device:
    """A GPU of NVIDIA (or AMD, which PyTorch calls the same) or Apple, else the processor."""
    if torch().cuda.is_available():
        return Device("cuda", torch().cuda.get_device_name(), half=True)
    if torch().backends.mps.is_available():
        return Device("mps", "mps", half=True)
    return CPU


def first_batch(device: Device, each: float) -> int:
    """How many pictures of ``each`` bytes of memory to try at once."""
    if device.kind == "cpu":
        return _CPU_BATCH
    if device.kind == "cuda":
        free, _ = torch().cuda.mem_get_info()
        return int(min(max(_SHARE * free / each, 1), _LARGEST))
    return 4 * _CPU_BATCH  # Apple's memory is the machine's


def in_batches(items: Sequence[T], size: int, run: Callable[[Sequence[T]], R]) -> Iterator[R]:
    """``run`` over ``items``, ``size`` at once at first, and half as many whenever memory runs out."""
    at = 0
    while at < len(items):
        try:
            made = run(items[at : at + size])
        except (MemoryError, RuntimeError) as error:
            if size == 1 or not _is_out_of_memory(error):
                raise
            size = max(1, min(size, len(items) - at) // 2)
        else:
            yield made
            at += size
            continue
        _free_memory()  # once the error, which holds on to what was computed, is gone


def _is_out_of_memory(error: BaseException) -> bool:
    """PyTorch has an error of its own only for GPUs."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in words or "can't allocate memory" in words


def _free_memory() -> None:
    gc.collect()
    if torch().cuda.is_available():
        torch().cuda.empty_cache()
