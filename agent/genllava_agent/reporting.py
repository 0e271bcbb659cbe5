"""How the command line fails: one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

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


def stop(message: str, code: int) -> NoReturn:
    """Write `message` as one line on stderr and leave with `code`."""
    line = one_line(message).encode("utf-8", "replace").decode("utf-8")
    typer.echo(line, err=True)
    sys.exit(code)


def note(message: str) -> None:
    """Write what the user should know, and what is no error, as one line on stderr."""
    typer.echo(f"note: {one_line(message)}", err=True)


class OneLineErrors(TyperGroup):
    """A command group that turns every exception of its commands into one line and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except (Exception, KeyboardInterrupt) as error:
            _stop_for(error)
        if code == INTERRUPTED:
            stop("interrupted", INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)


def _stop_for(error: BaseException) -> NoReturn:
    if _was_interrupted(error):
        stop("interrupted", INTERRUPTED)
    if isinstance(error, TyperException):
        stop(f"error: {error.format_message()}", error.exit_code)
    if isinstance(error, typer.Abort):
        stop("interrupted", INTERRUPTED)

    from genllava.errors import CheckpointError, GenLlavaError, ImageRejected, InvalidRequest, NotEnoughMemory

    if isinstance(error, (CheckpointError, ImageRejected, InvalidRequest, NotEnoughMemory)):
        stop(f"error: {error}", BAD_INPUT)
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exception(error)
    if isinstance(error, GenLlavaError):
        stop(f"error: {error}", DECLINED)
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("genllava"):
        stop(f"error: {error.name} is not installed; try: pip install 'genllava[train]'", BAD_INPUT)
    stop(
        f"unexpected error: {type(error).__name__}: {error} (set {TRACEBACK_VARIABLE}=1 for the traceback)",
        DECLINED,
    )


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind `error`: lazy importers wrap a KeyboardInterrupt in an error of their own."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
