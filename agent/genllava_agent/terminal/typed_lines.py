"""Lines that a user types, with editing and with those of earlier runs; or lines of a file or a pipe."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from genllava_agent.stores import MEMORY

_KEPT: Final = 1000
"""Lines remembered from earlier runs."""


class TypedLines:
    """Where requests come from.

    Args:
        typed: by a person at a terminal.
        history: the file that remembers what was typed; None remembers nothing.

    Attributes:
        typed: as given.
    """

    def __init__(self, typed: bool, history: Path | None = None) -> None:
        self.typed = typed
        self._history = history
        self._editor: Any = None
        if typed:
            with contextlib.suppress(ImportError):  # the system has no line editor
                import readline  # which `input` uses once it is there

                self._editor = readline
        if self._editor and history is not None:
            with contextlib.suppress(OSError, ValueError):  # there is none yet, or it is not readable
                self._editor.read_history_file(str(history))
            self._editor.set_history_length(_KEPT)

    def read(self, prompt: str) -> str:
        """The next line, without its end.

        Raises:
            EOFError: there are no more.
            KeyboardInterrupt: Ctrl-C.
        """
        if self.typed and sys.stdout.isatty():
            return input(prompt)
        if self.typed:
            print(prompt, end="", file=sys.stderr, flush=True)  # what the program says goes elsewhere
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """Meanwhile what is typed waits unseen for `read`, and Ctrl-C does not drop what is being written."""
        if not self.typed or sys.platform == "win32":
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

    def close(self) -> None:
        """Remember what was typed; where that cannot be written, it is forgotten."""
        if self._editor and self._history is not None:
            with contextlib.suppress(OSError):
                self._history.parent.mkdir(parents=True, exist_ok=True)
                self._editor.write_history_file(str(self._history))


def history_file(store: str | None) -> Path | None:
    """Where typed lines are remembered for threads in `store`: beside them; nowhere if they are not kept either."""
    if store == MEMORY:
        return None
    if store is not None and not store.startswith(("postgresql://", "postgres://")):
        return Path(store).expanduser() / "typed"
    from platformdirs import user_data_path

    return user_data_path("genllava", appauthor=False) / "typed"
