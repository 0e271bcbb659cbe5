"""How the command line fails: one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Final

DECLINED: Final = 1
"""Exit code when the model answered with words instead of a picture, and of our own faults."""
BAD_INPUT: Final = 2
"""Exit code of everything the caller can put right."""
INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as shells expect."""
TRACEBACK_VARIABLE: Final = "GENLLAVA_TRACEBACK"
"""Environment variable that, when set, has unexpected errors print their traceback before the one line."""
_LINE_START: Final = 240
_LINE_END: Final = 160


def one_line(message: str) -> str:
    """`message` without line breaks and control characters; a long one keeps its beginning and its end."""
    line = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    return line if len(line) <= _LINE_START + _LINE_END else f"{line[:_LINE_START]} … {line[-_LINE_END:]}"


def note(*messages: str) -> None:
    """Write what the user should know, and what is no error, as a line each on stderr; empty ones are left out."""
    for message in filter(None, messages):
        print(f"note: {one_line(message)}", file=sys.stderr, flush=True)


def unexpected(error: BaseException) -> str:
    """An error that nobody foresaw in a line, after its traceback if the user wants that."""
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exception(error)
    return f"{type(error).__name__}: {error} (set {TRACEBACK_VARIABLE}=1 for the traceback)"


def explained(error: BaseException) -> tuple[str, int]:
    """What to say of an error that ends a command, and the exit code."""
    from genllava.errors import CheckpointError, GenLlavaError, ImageRejected, InvalidRequest, NotEnoughMemory

    if _was_interrupted(error):
        return "interrupted", INTERRUPTED
    if isinstance(error, (CheckpointError, ImageRejected, InvalidRequest, NotEnoughMemory)):
        return f"error: {error}", BAD_INPUT
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("genllava"):
        return f"error: {error.name} is not installed; try: pip install 'genllava[train]'", BAD_INPUT
    text = unexpected(error)
    return (f"error: {error}" if isinstance(error, GenLlavaError) else f"unexpected error: {text}"), DECLINED


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind `error`: lazy importers wrap a KeyboardInterrupt in an error of their own."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
