"""Progress on stderr while the model works; silent where stderr is not a terminal."""

from __future__ import annotations

import sys
from typing import Any


class Progress:
    """One line that says what is happening and how far it is; use it as a context manager."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
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
