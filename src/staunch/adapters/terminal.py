"""Carrying characters between our terminal and one made for a process."""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import termios
import threading
import time
import tty
from contextlib import ExitStack, suppress

_PIECE = 1 << 16
_TICK_S = 0.5


def carry(terminal: int, deadline: float | None = None, *, keys: int = 0, screen: int = 1) -> bool:
    """Carry until nobody has the other end open any more; False when time ran out.

    Our own terminal is raw meanwhile (Ctrl-C goes to the process) and restored afterwards; a new
    size of the window is passed on.

    Args:
        terminal: our end of the pseudo-terminal.
        deadline: by the monotonic clock.
        keys: where characters come from; it need not be a terminal.
        screen: where they go to.
    """
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        if os.isatty(keys):
            before = termios.tcgetattr(keys)
            stack.callback(termios.tcsetattr, keys, termios.TCSANOW, before)
            tty.setraw(keys, termios.TCSANOW)  # what was typed ahead is not lost
            _resize(keys, terminal)
            if threading.current_thread() is threading.main_thread():
                handler = signal.signal(signal.SIGWINCH, lambda *_: _resize(keys, terminal))
                stack.callback(signal.signal, signal.SIGWINCH, handler)
        selector.register(terminal, selectors.EVENT_READ)
        with suppress(PermissionError):  # a plain file is always ready, and cannot be waited for
            selector.register(keys, selectors.EVENT_READ)
        while deadline is None or time.monotonic() < deadline:
            for key, _ in selector.select(_TICK_S):
                if key.fd == terminal:
                    if not (piece := _read(terminal)):
                        return True
                    _write(screen, piece)
                elif piece := _read(keys):
                    _write(terminal, piece)
                else:
                    selector.unregister(keys)
                    _write(terminal, b"\x04")  # end of file, as a person would type it
    return False


def _read(fd: int) -> bytes:
    """What is there; nothing once the other end is closed (EIO on Linux)."""
    try:
        return os.read(fd, _PIECE)
    except OSError:
        return b""


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _resize(source: int, target: int) -> None:
    with suppress(OSError):
        size = fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(target, termios.TIOCSWINSZ, size)
