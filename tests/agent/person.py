"""A person at a terminal: `genllava chat` in a pseudo-terminal, and other commands in this process."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from genllava_agent import cli

if TYPE_CHECKING:
    import pexpect

REPOSITORY = Path(__file__).resolve().parents[2]
ROOTS = [str(REPOSITORY), str(REPOSITORY / "agent"), str(REPOSITORY / "finetune")]


def environment(**more: str) -> dict[str, str]:
    """Of a plain terminal, whatever the tests run in."""
    terminals = ("KITTY", "TERM", "LC_", "TMUX", "STY", "NO_COLOR", "COLORTERM")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(terminals)}
    return kept | {"PYTHONPATH": os.pathsep.join(ROOTS), "LANG": "C.UTF-8", "TERM": "xterm-256color"} | more


@dataclass
class Done:
    """What came of a command."""

    exit_code: object
    stdout: str
    stderr: str


def command(arguments: Sequence[str], input: bytes = b"") -> Done:
    """Run `genllava` with these arguments, in this process."""
    out, err, typed = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(input))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as left:
            cli.main(arguments)
    finally:
        sys.stdin = typed
    return Done(left.value.code, out.getvalue(), err.getvalue())


class Terminal:
    """A person at a pseudo-terminal."""

    def __init__(self, *args: str, **more: str) -> None:
        pexpect = pytest.importorskip("pexpect")
        self.process: pexpect.spawn[str] = pexpect.spawn(
            sys.executable,
            ["-m", "genllava_agent.cli", "chat", *args],
            env=environment(**more),
            dimensions=(40, 200),
            encoding="utf-8",
            timeout=120,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background ignore it
            cwd=str(REPOSITORY),
        )

    def prompt(self, ends_with: str = "> ") -> str:
        """Wait for the prompt; what was written before it, as it came."""
        self.process.expect(r"(?:\n|\A|\x1b\[2K)(?:\x1b\[\?2004h)?" + re.escape(ends_with))
        return str(self.process.before)

    def type(self, line: str, ends_with: str = "> ") -> str:
        """Type a line, and wait for the next prompt; what was written in between."""
        self.process.sendline(line)
        return self.prompt(ends_with).partition("\n")[2]

    def see(self, text: str) -> None:
        self.process.expect_exact(text)

    def interrupt(self, seen: Any) -> None:
        """Ctrl-C at a prompt, again if nothing happens, until something is seen.

        Python's line editor overlooks a signal that comes just before it begins to wait for a key.
        """
        import pexpect

        for _ in range(12):
            self.process.sendintr()
            if self.process.expect_exact([seen, pexpect.TIMEOUT], timeout=10) == 0:
                return
        raise AssertionError(f"Ctrl-C does not lead to {seen!r}")

    def leave(self) -> str:
        """Ctrl-D at the prompt; what the program says last."""
        import pexpect

        self.process.sendeof()
        self.process.expect(pexpect.EOF)
        self.process.wait()
        assert self.process.exitstatus == 0
        return str(self.process.before)
