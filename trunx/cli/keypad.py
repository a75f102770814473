"""The telephone's keys from standard input: a terminal gives each key at once, a pipe whatever it holds.

Bytes are read in a thread of its own, which is left behind when the call ends: a read of a terminal cannot
be cancelled. It reads the descriptor itself, as Python's buffered reader would be locked at the exit.
"""

import asyncio
import os
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

KEYS = "0123456789*#"
_HANG_UP = "hH"

PICTURE = """\
    1  2  3
    4  5  6
    7  8  9
    *  0  #     h or Ctrl-C hangs up
"""


@contextmanager
def keypad(press: Callable[[str], None], hang_up: Callable[[], None]) -> Iterator[None]:
    """Calls `press` and `hang_up` in the running loop as the keys come, until the block ends."""
    source = sys.stdin.fileno()
    before = termios.tcgetattr(source) if os.isatty(source) else None
    loop = asyncio.get_running_loop()

    def read() -> None:
        # The loop is closed when a key comes after the call's end.
        with suppress(OSError, RuntimeError):
            while data := os.read(source, 1):
                key = data.decode("latin-1")
                if key in KEYS:
                    loop.call_soon_threadsafe(press, key)
                elif key in _HANG_UP:
                    loop.call_soon_threadsafe(hang_up)

    try:
        if before is not None:
            tty.setcbreak(source)
        threading.Thread(target=read, name="keypad", daemon=True).start()
        yield
    finally:
        if before is not None:
            termios.tcsetattr(source, termios.TCSADRAIN, before)
