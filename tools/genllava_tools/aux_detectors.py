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

_LOCK: Final = threading.RLock()
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
        with quietly() if self.warns else _alone():
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
    """For this thread alone, and neither what is printed nor what is warned of is shown.

    Warnings of other threads are not shown meanwhile: it is for what is short or happens once.
    """
    with _alone(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _alone() -> Iterator[None]:
    """For this thread alone among those that use the package, and nothing that it prints is shown."""
    with _LOCK:
        before = sys.stdout
        muted = cast(TextIO, _MutedHere(before))
        sys.stdout = muted
        try:
            yield
        finally:
            if sys.stdout is muted:
                sys.stdout = before


class _MutedHere:
    """A stream that takes nothing from the thread that made this, and passes on what other threads write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._thread else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
