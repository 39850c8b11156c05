"""Tables on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from montage_ai.errors import printable

_NUMBERS = ("score", "from", "to", "size")
_WITHOUT_TERMINAL = 120  # columns
_NARROW = 12  # columns for each column of a table: with fewer, words would break into letters


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print ``rows``, whose cells may hold anything; on a narrow terminal a cell a line."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else _WITHOUT_TERMINAL)
    cells = [[printable(cell) for cell in row] for row in rows]
    if console.width < _NARROW * len(columns):
        widest = max(map(len, columns))
        for row in cells:
            for column, cell in zip(columns, row, strict=True):
                if cell:
                    console.print(f"{column:<{widest}}  {cell}", markup=False, highlight=False, soft_wrap=True)
            console.print()
        return
    table = Table()
    for column in columns:
        table.add_column(column, justify="right" if column in _NUMBERS else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(escape, row))
    console.print(table)
