"""Lines that a user types, with editing and with those of earlier runs; or lines of a file or a pipe."""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genllava_agent.stores import MEMORY


def read_line(prompt: str, typed: bool) -> str:
    """The next line, without its end; `EOFError` where there are no more. `typed` by a person, it has a prompt."""
    if typed and not sys.stdout.isatty():
        print(prompt, end="", file=sys.stderr, flush=True)  # what the program says goes elsewhere
    return input(prompt if typed and sys.stdout.isatty() else "").rstrip("\r")


def remember(file: Path | None) -> None:
    """Let typed lines be edited; bring back those of earlier runs from `file`, and keep those of this one there."""
    try:
        import readline  # which `input` uses once it is there
    except ImportError:  # the system has no line editor
        return
    if file is not None:
        with contextlib.suppress(OSError, ValueError):  # there is none yet, or it is not readable
            readline.read_history_file(file)
        readline.set_history_length(1000)
        atexit.register(_keep, file)


def _keep(file: Path) -> None:
    import readline

    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        readline.write_history_file(file)


@contextlib.contextmanager
def held_back(typed: bool) -> Iterator[None]:
    """Meanwhile what is typed waits unseen for `read_line`, and Ctrl-C does not drop what is being written."""
    if not typed or sys.platform == "win32":
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin)
    held: list[Any] = list(before)
    held[3] = held[3] & ~termios.ECHO | termios.NOFLSH
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, held)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def history_file(store: str | None) -> Path | None:
    """Where typed lines are remembered for threads in `store`: beside them; nowhere if they are not kept either."""
    if store == MEMORY:
        return None
    if store is not None and not store.startswith(("postgresql://", "postgres://")):
        return Path(store).expanduser() / "typed"
    from platformdirs import user_data_path

    return user_data_path("genllava", appauthor=False) / "typed"
