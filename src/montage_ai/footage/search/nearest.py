"""Exact search: the product of every kept vector with every vector that is asked for."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from montage_ai.errors import MissingExtraError
from montage_ai.models.library import EXTRA
from montage_ai.parallel import cores

Floats = NDArray[np.float32]

_MOST = 65_536  # rows of a thread's piece of work
_FEWEST = 2  # pieces of each thread: one that is disturbed leaves the rest to the others


def products(matrix: NDArray[np.float16], asked: Floats) -> Floats:
    """``matrix @ asked.T``, shape (rows, asked), computed where the matrix lies: it may be larger than the memory.

    ``matrix`` has shape (rows, width), ``asked`` (asked, width), in float16 precision. Raises ``MissingExtraError``.
    """
    try:
        import numkong
    except ImportError as error:
        raise MissingExtraError("Search needs numkong.", hint=EXTRA) from error
    found = np.empty((len(matrix), len(asked)), np.float32)
    if not found.size:
        return found
    narrow = np.ascontiguousarray(asked, np.float16)
    packed = numkong.dots_pack(narrow, dtype="float16") if len(narrow) > 1 else None

    def part(span: tuple[int, int]) -> None:
        rows = matrix[slice(*span)]  # one vector is compared a fifth faster without packing
        found[slice(*span)] = (
            numkong.cdist(rows, narrow, "dot") if packed is None else numkong.dots_packed(rows, packed)
        )

    workers = cores()
    pieces = workers * max(_FEWEST, math.ceil(len(matrix) / (workers * _MOST)))
    edges = dict.fromkeys(len(matrix) * number // pieces for number in range(pieces + 1))  # none is empty
    list(_threads().map(part, pairwise(edges)))
    return found


@cache
def _threads() -> ThreadPoolExecutor:
    """Kept: to start them takes as long as ten thousand rows."""
    return ThreadPoolExecutor(cores(), "products")
