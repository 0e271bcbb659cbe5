"""The models that tools run: which checkpoint each is, whether it is on this machine, and one loaded copy for all.

    from genllava_tools import use_model
    use_model("depth", "my/own-depth-model")          # a folder, or owner/name on the hub; or GENLLAVA_DEPTH_MODEL=...

Nothing is downloaded by a tool: what is missing is said, with the command that downloads it.
"""

from __future__ import annotations

import gc
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from genllava.errors import InvalidRequest
from genllava_tools.errors import ToolUnavailable
from genllava_tools.tool import Need

_INDEXES: Final = ("config.json", "model_index.json")
_WEIGHTS: Final = (".safetensors", ".bin", ".pth", ".pt", ".onnx")
_ROOM: Final = 1.5
"""Memory that a model takes while it is loaded and works, in sizes of its files."""

Loaded = TypeVar("Loaded")


@dataclass(frozen=True, slots=True)
class Model:
    """A model that tools run.

    Attributes:
        name: of what it does: "depth".
        default: its checkpoint, where the user names no other: owner/name on the hub.
        files: those of which one must be there; a checkpoint of transformers or diffusers, where nothing is said.
    """

    name: str
    default: str
    files: tuple[str, ...] = _INDEXES

    @property
    def setting(self) -> str:
        """The environment variable that names another checkpoint."""
        return f"GENLLAVA_{self.name.upper()}_MODEL"

    @property
    def source(self) -> str:
        """The checkpoint in use: a folder, or owner/name."""
        return _chosen.get(self.name) or os.environ.get(self.setting) or self.default

    def folder(self) -> Path | None:
        """Where its files are on this machine; None where they are not."""
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        source = Path(self.source).expanduser()
        if source.is_dir():
            return source if any((source / name).is_file() for name in self.files) else None
        for name in self.files:
            try:
                found = try_to_load_from_cache(self.source, name)
            except HFValidationError:
                return None
            if isinstance(found, str):
                return Path(found).parents[name.count("/")]
        return None

    def need(self) -> Need:
        """For a tool that cannot run without it."""
        remedy = (
            f"run `hf download {self.default}`, or name a folder or another checkpoint that you have: "
            f"genllava_tools.use_model({self.name!r}, ...) or {self.setting}=..."
        )
        return Need(f"the {self.name} model", remedy, lambda: self.folder() is not None)

    def loaded(self, load: Callable[[Path], Loaded], purpose: str = "") -> Loaded:
        """It, loaded: by the first that asks, and for all who ask after that.

        Where memory is short, models that have not been used for longest are let go before another is loaded.

        Args:
            load: makes it from its folder.
            purpose: tells what is made of one checkpoint in several ways apart.

        Raises:
            ToolUnavailable: its files are not here.
        """
        folder = self.folder()
        if folder is None:
            need = self.need()
            raise ToolUnavailable(f"needs {need.name}: {need.remedy}")
        return shared((self.name, str(folder), purpose), lambda: load(folder), _size(folder))


_models: Final[dict[str, Model]] = {}
_chosen: Final[dict[str, str]] = {}
_lock: Final = threading.RLock()
_loaded: Final[OrderedDict[tuple[str, ...], Any]] = OrderedDict()


def model(name: str, default: str, files: tuple[str, ...] = _INDEXES) -> Model:
    """Say that tools run a model; the arguments are those of `Model`."""
    made = Model(name, default, files)
    _models[name] = made
    return made


def models() -> list[Model]:
    """The models that tools run."""
    from genllava_tools.registry import tools

    tools()  # their modules say which
    return list(_models.values())


def use_model(name: str, checkpoint: str | os.PathLike[str] | None) -> None:
    """Choose the checkpoint of a model, for all tools that run it.

    Args:
        name: of the model: "depth", "detection" ...; `docs/tools.md` lists them.
        checkpoint: a folder, or owner/name on the hub; None: the default again.

    Raises:
        InvalidRequest: tools run no model of that name.
    """
    known = {each.name for each in models()}
    if name not in known:
        raise InvalidRequest(f"tools run no model {name!r}: there are {', '.join(sorted(known))}")
    if checkpoint is None:
        _chosen.pop(name, None)
    else:
        _chosen[name] = os.fspath(checkpoint)


def shared(key: tuple[str, ...], load: Callable[[], Loaded], size: int) -> Loaded:
    """What `load` makes, made once for each key.

    Args:
        key: names it; the first word is what it does.
        load: makes it.
        size: of its files, in bytes; others are let go where there is no room for it.
    """
    with _lock:
        if key in _loaded:
            _loaded.move_to_end(key)
            found: Loaded = _loaded[key]
            return found
        while _loaded and not _fits(size):
            _loaded.popitem(last=False)
            gc.collect()
        _loaded[key] = made = load()
        return made


def release_models() -> None:
    """Let all loaded models go, and the memory that they hold."""
    with _lock:
        _loaded.clear()
        gc.collect()


def _fits(size: int) -> bool:
    import torch

    from genllava.memory import free_memory

    free = free_memory(torch.device("cpu"))
    return free is None or size * _ROOM <= free


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.suffix in _WEIGHTS)
