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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from genllava.errors import CheckpointError, GenLlavaError, InvalidRequest, NotEnoughMemory
from genllava_tools.errors import ToolDeclarationError, ToolUnavailable
from genllava_tools.tool import Need

if TYPE_CHECKING:
    import torch

_PIPELINE: Final = "model_index.json"
_INDEXES: Final = ("config.json", _PIPELINE)
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
        helps: names of tools that run without it and do more, or do it better, with it.
    """

    name: str
    default: str
    files: tuple[str, ...] = _INDEXES
    helps: tuple[str, ...] = ()

    @property
    def setting(self) -> str:
        """The environment variable that names another checkpoint."""
        return f"GENLLAVA_{self.name.upper()}_MODEL"

    @property
    def source(self) -> str:
        """The checkpoint in use: a folder, or owner/name."""
        return _chosen.get(self.name) or os.environ.get(self.setting) or self.default

    @property
    def title(self) -> str:
        """The checkpoint in use in words that may be shown: owner/name, or the last part of a folder's path."""
        return self.source if _is_id(self.source) else Path(self.source).name

    @property
    def present(self) -> bool:
        """Whether its files are on this machine."""
        return self.folder() is not None

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
        return Need(f"the {self.name} model", self._get(self.default), lambda: self.present, self.remedy)

    def remedy(self) -> str:
        """How to get the checkpoint in use, or another one, in one line."""
        if _is_id(self.source):
            return self._get(self.source)
        return f"there is no checkpoint in the folder {self.source}, which was chosen: {self._choose()}"

    def loaded(self, load: Callable[[Path], Loaded], purpose: str = "") -> Loaded:
        """It, loaded: by the first that asks, and for all who ask after that.

        Where memory is short, models that have not been used for longest are let go before another is loaded.

        Args:
            load: makes it from its folder.
            purpose: tells what is made of one checkpoint in several ways apart.

        Raises:
            ToolUnavailable: its files are not here, or a package that they need.
            CheckpointError: they are damaged or of another kind of model, or weights are NaN.
            NotEnoughMemory: it does not fit.
        """
        folder = self.folder()
        if folder is None:
            raise ToolUnavailable(f"this needs the {self.name} model: {self.remedy()}")
        return shared((self.name, str(folder), purpose), lambda: self._load(load, folder), self._size(folder))

    def _load(self, load: Callable[[Path], Loaded], folder: Path) -> Loaded:
        def refuse(reason: str) -> CheckpointError:
            return CheckpointError(f"the {self.name} model, {self.title}: {reason}; {self._again()}")

        try:
            made = load(folder)
            bad = next(_not_finite(made), None)
        except (CheckpointError, InvalidRequest) as error:
            raise refuse(str(error)) from error
        except GenLlavaError:
            raise
        except ImportError as error:
            raise ToolUnavailable(f"the {self.name} model, {self.title}, needs a package: {_line(error)}") from error
        except Exception as error:  # a dozen unrelated types, from JSON to safetensors
            if _out_of_memory(error):
                raise NotEnoughMemory(f"the {self.name} model, {self.title}, does not fit: {_line(error)}") from error
            raise refuse(f"cannot be read: {_line(error)}") from error
        if bad is not None:
            raise refuse(f"the weight {bad} has numbers that are not finite (NaN)")
        return made

    def _size(self, folder: Path) -> int:
        """Of the weights that are read, in bytes: safetensors rather than pickles, and one variant of them."""
        named = [folder / name for name in self.files if (folder / name).suffix in _WEIGHTS]
        parts = "*/*" if (folder / _PIPELINE).is_file() else "*"
        found = named or [file for file in folder.glob(parts) if file.suffix in _WEIGHTS]
        safe = [file for file in found if file.suffix == ".safetensors"] or found
        plain = [file for file in safe if "." not in file.stem] or safe
        return sum(file.stat().st_size for file in plain if file.is_file())

    def _get(self, source: str) -> str:
        files = [file for file in self.files if file not in _INDEXES]  # of a repository that has many others
        return f"run `{' '.join(('hf download', source, *files))}`, or {self._choose()}"

    def _again(self) -> str:
        return f"download it again, or {self._choose()}" if _is_id(self.source) else self._choose()

    def _choose(self) -> str:
        choice = f"genllava_tools.use_model({self.name!r}, ...) or {self.setting}=..."
        return f"name a folder or another checkpoint that you have: {choice}"


_models: Final[dict[str, Model]] = {}
_chosen: Final[dict[str, str]] = {}
_lock: Final = threading.RLock()
_loaded: Final[OrderedDict[tuple[str, ...], Any]] = OrderedDict()


def model(name: str, default: str, files: tuple[str, ...] = _INDEXES, helps: tuple[str, ...] = ()) -> Model:
    """Say that tools run a model; the arguments are those of `Model`.

    Raises:
        ToolDeclarationError: there is another one of that name.
    """
    made = Model(name, default, files, helps)
    if _models.setdefault(name, made) != made:
        raise ToolDeclarationError(f"there is a model {name!r} already, {_models[name].default}")
    return made


def models() -> list[Model]:
    """The models that tools run."""
    from genllava_tools.registry import tools

    tools()  # their modules say which
    return sorted(_models.values(), key=lambda each: each.name)


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


def device() -> torch.device:
    """Where models run: the accelerator, where there is one, and the CPU otherwise."""
    import torch

    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


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
        if _loaded:
            _loaded.clear()
            gc.collect()


def _fits(size: int) -> bool:
    from genllava.memory import free_memory

    free = free_memory(device())
    return free is None or size * _ROOM <= free


def _not_finite(made: Any) -> Iterator[str]:
    """The names of weights that have NaN or infinity in them."""
    import torch

    for part in _modules(made):
        for name, weight in part.named_parameters():
            if not weight.is_meta and weight.dtype in (torch.float32, torch.float16, torch.bfloat16) and weight.numel():
                low, high = torch.aminmax(weight.detach())
                if not (torch.isfinite(low) and torch.isfinite(high)):
                    yield name


def _modules(made: Any) -> Iterator[torch.nn.Module]:
    """The modules of what was loaded: itself, or those in a tuple, a pipeline of diffusers or one of transformers."""
    import torch

    if isinstance(made, torch.nn.Module):
        yield made
        return
    parts = made.values() if isinstance(made, Mapping) else made if isinstance(made, (tuple, list)) else ()
    components = getattr(made, "components", None)
    for part in (*parts, *(components.values() if isinstance(components, Mapping) else ()), getattr(made, "model", 0)):
        if isinstance(part, torch.nn.Module):
            yield part


def _out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, (MemoryError, torch.OutOfMemoryError))


def _is_id(source: str) -> bool:
    """Whether a checkpoint is owner/name on the hub, as far as its words say."""
    parts = source.split("/")
    return len(parts) == 2 and all(parts) and parts[0] not in (".", "..", "~") and not Path(source).is_dir()


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] if lines else type(error).__name__
