"""The detectors of controlnet-aux: imported when the first one is used, loaded once, run one at a time and in silence.

That package is no longer maintained, and its detectors are not used as they come: importing it takes many seconds,
warns thirteen times and changes the environment; some print while they load, which would break whoever speaks a
protocol over standard output; several keep what they compute in their networks, so that two threads mix their pictures
up. Its weights are pickles: it reads them with `torch.load`, which since torch 2.6 (the oldest that this package
installs with) takes tensors from a pickle and runs no code of it.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, TextIO, cast

from genllava.errors import CheckpointError
from genllava_tools.errors import ToolUnavailable
from genllava_tools.models import Model, device
from genllava_tools.tool import Need

_CALLS: Final = threading.RLock()
"""Held by the one call of a detector that runs; others load meanwhile."""
_WARNINGS: Final = threading.RLock()
_STREAM: Final = threading.Lock()
_silent: Final = Counter[int]()
"""How deep each thread is in what is not to print."""
_stream: Any = None
_OWN_SETTING: Final = "KMP_DUPLICATE_LIB_OK"
"""An environment variable that the package sets for the whole process when it is imported."""


@dataclass(frozen=True, slots=True)
class AuxDetector:
    """A detector of controlnet-aux with weights.

    Attributes:
        model: its files: all of them have to be in its folder.
        load: makes it from the package and the folder.
        networks: where its modules are, as attributes of it.
        warns: whether it warns when it runs.
    """

    model: Model
    load: Callable[[Any, Path], Any]
    networks: tuple[str, ...] = ("model",)
    warns: bool = False

    def need(self) -> Need:
        """For a tool that cannot run without it."""
        return self.model.need()

    @contextmanager
    def ready(self) -> Iterator[Any]:
        """It, loaded, for this thread alone and in silence.

        Raises:
            ToolUnavailable: its files are not here, or the package cannot be imported.
            CheckpointError: they are damaged or not of this detector.
        """
        detector, *_ = self.model.loaded(self._load)
        with _CALLS, quietly() if self.warns else _muted():
            yield detector

    def _load(self, folder: Path) -> tuple[Any, ...]:
        """The detector, and its modules, so that their weights are checked."""
        if lacking := [name for name in self.model.files if not (folder / name).is_file()]:
            raise CheckpointError(f"the file {lacking[0]} is missing")
        with quietly():
            detector = self.load(controlnet_aux(), folder)
        modules = [attrgetter(name)(detector) for name in self.networks]
        return detector, *(module.to(device()) for module in modules)


def controlnet_aux() -> Any:
    """The package, imported.

    Raises:
        ToolUnavailable: it is not installed, or fails to be imported beside what is.
    """
    before = os.environ.get(_OWN_SETTING)
    with quietly():
        try:
            return import_module("controlnet_aux")
        except Exception as error:  # of its dependencies: a mediapipe that has moved on, torchvision of another torch
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ToolUnavailable(
                f"this needs controlnet-aux, which cannot be imported here ({reason}): install versions of it, torch, "
                "torchvision and timm that belong together, and no mediapipe"
            ) from error
        finally:
            if before is None:
                os.environ.pop(_OWN_SETTING, None)


@contextmanager
def quietly() -> Iterator[None]:
    """Nothing that this thread prints is shown, and nothing that is warned of.

    Warnings of other threads are not shown meanwhile: it is for what is short or happens once.
    """
    with _WARNINGS, warnings.catch_warnings(), _muted():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _muted() -> Iterator[None]:
    """Nothing that this thread prints is shown; what other threads print is."""
    global _stream
    with _STREAM:
        if not _silent:
            _stream = _Stream(sys.stdout)
            sys.stdout = cast(TextIO, _stream)
        _silent[threading.get_ident()] += 1
    try:
        yield
    finally:
        with _STREAM:
            _silent[threading.get_ident()] -= 1
            if not _silent[threading.get_ident()]:
                del _silent[threading.get_ident()]
            if not _silent and cast(Any, sys.stdout) is _stream:
                sys.stdout = _stream.shown


class _Stream:
    """A stream that takes nothing from threads that are silent."""

    def __init__(self, shown: TextIO) -> None:
        self.shown = shown

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() in _silent else self.shown.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.shown, name)
