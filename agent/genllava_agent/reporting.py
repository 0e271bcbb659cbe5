"""What the command line says on stderr: how far it is, what the user should know, and in one line what went wrong."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, Final

DECLINED: Final = 1
"""Exit code when the model answered with words instead of a picture, and of our own faults."""
BAD_INPUT: Final = 2
"""Exit code of everything the caller can put right."""
INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as shells expect."""
TRACEBACK_VARIABLE: Final = "GENLLAVA_TRACEBACK"
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
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exception(error)
    return f"{type(error).__name__}: {error} (set {TRACEBACK_VARIABLE}=1 for the traceback)"


def explained(error: BaseException) -> tuple[str, int]:
    """What to say of an error that ends a command, and the exit code."""
    from genllava.errors import CheckpointError, GenLlavaError, ImageRejected, InvalidRequest, NotEnoughMemory

    chain: list[BaseException] = []  # lazy importers wrap a KeyboardInterrupt in an error of their own
    behind: BaseException | None = error
    while behind is not None and behind not in chain:
        chain.append(behind)
        behind = behind.__cause__ or behind.__context__
    if any(isinstance(each, KeyboardInterrupt) for each in chain):
        return "interrupted", INTERRUPTED
    if isinstance(error, (CheckpointError, ImageRejected, InvalidRequest, NotEnoughMemory)):
        return f"error: {error}", BAD_INPUT
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("genllava"):
        return f"error: {error.name} is not installed; try: pip install 'genllava[train]'", BAD_INPUT
    text = unexpected(error)
    return (f"error: {error}" if isinstance(error, GenLlavaError) else f"unexpected error: {text}"), DECLINED


class Progress:
    """One line that says what is happening and how far it is, on a terminal; use it as a context manager."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn()
        quiet = not sys.stderr.isatty()
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet)
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._bar.disable:  # Rich 13 would write an empty line
            self._bar.stop()

    def stage(self, text: str) -> None:
        """Say what is being done now."""
        self._bar.update(self._task, description=text, total=None, completed=0)

    def on_step(self, pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """A step of drawing has ended: a `callback_on_step_end`, as diffusers calls it."""
        total = getattr(pipeline, "num_timesteps", None)
        self._bar.update(self._task, description="drawing", total=total, completed=step + 1)
        return tensors
