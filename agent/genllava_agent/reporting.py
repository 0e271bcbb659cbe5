"""What the command line says on stderr: how far it is, what the user should know, and in one line what went wrong."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

DECLINED, BAD_INPUT, INTERRUPTED = 1, 2, 130
"""Exit codes: words and no picture, or a fault of ours; what the caller can put right; Ctrl-C, as shells have it."""
_TRACEBACK: Final = "GENLLAVA_TRACEBACK"
"""Environment variable that, when set, has unexpected errors print their traceback before the one line."""


def one_line(message: str) -> str:
    """`message` without line breaks and control characters; a long one keeps its beginning and its end."""
    line = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    return line if len(line) <= 400 else f"{line[:240]} … {line[-160:]}"


def note(*messages: str) -> None:
    """Write what the user should know, and what is no error, as a line each on stderr; empty ones are left out."""
    for message in filter(None, messages):
        print(f"note: {one_line(message)}", file=sys.stderr, flush=True)


def unexpected(error: BaseException) -> str:
    """An error that nobody foresaw in a line, after its traceback if the user wants that."""
    if os.environ.get(_TRACEBACK):
        traceback.print_exception(error)
    return f"{type(error).__name__}: {error} (set {_TRACEBACK}=1 for the traceback)"


def explained(error: BaseException) -> tuple[str, int]:
    """What to say of an error that ends a command, and the exit code."""
    from genllava.errors import CheckpointError, GenLlavaError, ImageRejected, InvalidRequest, NotEnoughMemory
    from genllava_finetune.data.errors import DataError

    chain: list[BaseException] = []  # lazy importers wrap a KeyboardInterrupt in an error of their own
    behind: BaseException | None = error
    while behind is not None and behind not in chain:
        chain.append(behind)
        behind = behind.__cause__ or behind.__context__
    if any(isinstance(each, KeyboardInterrupt) for each in chain):
        return "interrupted", INTERRUPTED
    if isinstance(error, (CheckpointError, DataError, ImageRejected, InvalidRequest, NotEnoughMemory)):
        return f"error: {error}", BAD_INPUT
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("genllava"):
        return f"error: {error.name} is not installed; try: pip install 'genllava[train]'", BAD_INPUT
    text = unexpected(error)
    return (f"error: {error}" if isinstance(error, GenLlavaError) else f"unexpected error: {text}"), DECLINED


@contextmanager
def progress() -> Iterator[Callable[..., None]]:
    """A line on a terminal that says what is being done and how far it is: call it with a text, and where there are
    steps with the number that is done and the number of all."""
    if not sys.stderr.isatty():
        yield lambda text, done=0, total=None: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda text, done=0, total=None: bar.update(task, description=text, completed=done, total=total)
