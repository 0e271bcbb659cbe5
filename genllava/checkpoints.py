"""Saved pipelines: where they are, and which of their files may be read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Final

from genllava.errors import CheckpointError, GenLlavaError, InvalidRequest

SHIPPED: Final = Path(__file__).parent / "shipped"
"""The model that comes with this package."""

INDEX: Final = "model_index.json"
CONTROLNETS: Final = "controlnets"
"""Folder of a saved pipeline that has a folder for each of its ControlNets, by name."""
PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")
_LIBRARIES: Final = ("transformers", "diffusers", "genllava")
DOWNLOAD_OPTIONS: Final = ("cache_dir", "force_download", "local_files_only", "token", "revision")
_PATTERNS: Final = ("*.json", "*.safetensors", "*.txt", "*.jinja", "*.model", "*.md", "*.gguf")
"""What is downloaded of a repository: no pickles and no code."""
_MODEL_PATTERNS: Final = (*(pattern for pattern in _PATTERNS if pattern != "*.safetensors"), "model*.safetensors")
"""The same of a model of transformers; some repositories have its weights a second time, in other layouts."""


def refuse_remote_code(options: dict[str, Any]) -> None:
    """Take `trust_remote_code` out of keyword arguments.

    Raises:
        InvalidRequest: it is on; no code is taken from a checkpoint.
    """
    if options.pop("trust_remote_code", False):
        raise InvalidRequest("code that comes with a checkpoint is not run: leave out trust_remote_code")


def find_index(source: str | PathLike[str], options: Mapping[str, Any]) -> Path | None:
    """The index of the pipeline that a folder or hub id holds; None for a model by itself, or none at all.

    Args:
        options: keyword arguments, of which those of downloads are used.
    """
    if Path(source).is_dir() or len(Path(source).parts) != 2:
        path = Path(source) / INDEX
        return path if path.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    known = {name: options[name] for name in DOWNLOAD_OPTIONS if name in options}
    try:
        return Path(hf_hub_download(str(source), INDEX, **known))
    except (EntryNotFoundError, OSError, ValueError):  # it has none; whatever else is wrong, its loader says
        return None


def resolve(path: str | PathLike[str] | None, options: Mapping[str, Any], *, model: bool = False) -> Path:
    """The folder of a saved model or pipeline (None: the shipped one), downloaded if it is a hub id.

    Args:
        options: keyword arguments, of which those of downloads are used.
        model: it is a model of transformers by itself.

    Raises:
        CheckpointError: there is no such model.
    """
    folder = SHIPPED if path is None else Path(path)
    if folder.is_dir():
        return folder
    if path is None:
        raise CheckpointError("this installation has no shipped model")
    if folder.is_absolute() or len(folder.parts) != 2:
        raise CheckpointError(f"there is no model folder {path}, and it is no id of the form owner/name")
    from huggingface_hub import snapshot_download

    known = {name: options[name] for name in DOWNLOAD_OPTIONS if name in options}
    patterns = list(_MODEL_PATTERNS if model else _PATTERNS)
    with reading(path):
        return Path(snapshot_download(str(path), allow_patterns=patterns, **known))


@contextmanager
def reading(what: object) -> Iterator[None]:
    """Turns what the libraries raise about unreadable files into `CheckpointError`."""
    try:
        yield
    except GenLlavaError:
        raise
    except Exception as error:  # a dozen unrelated types, from JSON to safetensors
        lines = str(error).strip().splitlines()
        raise CheckpointError(f"cannot read {what}: {lines[0] if lines else type(error).__name__}") from error


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a saved pipeline: its class, parts and settings; every part is checked to be safe to read.

    Raises:
        CheckpointError: there is none, it is damaged, or a part would be loaded from elsewhere than our libraries, from
            pickles, or with code of its own.
    """
    path = folder / INDEX
    if not path.is_file():
        raise CheckpointError(f"{folder} is not a saved pipeline: it has no {INDEX}")
    with reading(folder):
        index = dict(json.loads(path.read_text(encoding="utf-8")))
    for name, value in index.items():
        if name.startswith("_") or not is_part(value):
            continue
        nested = (folder / name / INDEX).is_file()  # its own loader looks at what is in it
        if not nested and str(value[0]).split(".")[0] not in _LIBRARIES:
            raise CheckpointError(f"{folder}: {name} would be loaded from {value[0]}, which is not allowed")
        check_files(folder / name, f"{folder}: {name}")
    return index


def check_files(folder: Path, what: str) -> None:
    """See that a part has no pickled weights and no code beside what is read.

    Raises:
        CheckpointError: it has.
    """
    for path in sorted(folder.glob("*")):
        if path.suffix in (*PICKLES, ".py"):
            raise CheckpointError(f"{what}/{path.name} is not a safetensors file, and is not read")


def is_part(value: object) -> bool:
    """Whether an entry of an index is a part, (library, class), that is there."""
    return isinstance(value, (list, tuple)) and len(value) == 2 and value[0] is not None and value[1] is not None
