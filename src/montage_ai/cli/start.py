"""Where the command starts. Until it can handle Ctrl-C it ends by it without a word: Python would print a traceback."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from montage_ai.cli import main

__all__ = ["main"]
