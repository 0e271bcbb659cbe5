"""What a saved model is made of, read from its configs and the heads of its files: no weights are loaded for it."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, Final

from genllava.checkpoints import CONTROLNETS, INDEX, PICKLES, is_part, reading, resolve
from genllava.errors import CheckpointError

NOT_STATED: Final = "not stated"
PRECISIONS: Final = ("float32", "bfloat16", "int8", "4-bit")
_SHARD: Final = re.compile(r"-\d{5}-of-\d{5}")
_BASES: Final = ("model", "diffusion_pytorch_model")
"""What transformers and diffusers call their weights. Others beside them are the same weights in other layouts."""
_TABLES: Final = ("embed", "lm_head", "shared", "wte")
"""In the names of modules that are embeddings, or their transposes."""
_FLOATS: Final = ("F", "BF")
_QUANTISED_BYTES: Final = {"int8": 1.0, "4-bit": 0.5625}
"""Of a weight of a linear layer, scales counted: bitsandbytes keeps one float32 for 64 weights of 4 bits."""

_Tensors = Iterable[tuple[str, tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class PartInfo:
    """One part of a model.

    Attributes:
        name: its folder, `decoder/unet` for a part of a part; `model` where the model has one folder only.
        class_name: that it is loaded as.
        licence: as its own model card says, or that of the model, which may name one for each part under
            `part_licenses`; "not stated" where none does.
        parameters: 0 for a tokenizer, a scheduler and the like.
        linear: how many of them quantisation reaches: the matrices, but for the embeddings.
        stored: bytes of its weights' files, or by its config what they will be where they are not here.
        note: what a user should know of it, or None.
    """

    name: str
    class_name: str
    licence: str
    parameters: int = 0
    linear: int = 0
    stored: int = 0
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A saved model.

    Attributes:
        source: as it was named.
        folder: where it is on this machine.
        parts: those of nested pipelines by themselves.
    """

    source: str
    folder: Path
    parts: tuple[PartInfo, ...] = field(default=())

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts)

    @property
    def bytes(self) -> dict[str, int]:
        """Memory for the weights alone, by precision; "auto" is as the files have them.

        `int8` and `4-bit` are bitsandbytes': linear layers quantised, everything else in bfloat16.
        """
        sizes = {
            "auto": sum(part.stored for part in self.parts),
            "float32": 4 * self.parameters,
            "bfloat16": 2 * self.parameters,
        }
        linear = sum(part.linear for part in self.parts)
        for name, each in _QUANTISED_BYTES.items():
            sizes[name] = round(each * linear) + 2 * (self.parameters - linear)
        return sizes


def model_info(source: str | PathLike[str] | None = None, *, variant: str | None = None) -> ModelInfo:
    """The parts of a saved model, their sizes and licences.

    Args:
        source: folder or hub id of a `GenLlavaPipeline`, a vision-language model of transformers or a pipeline of
            diffusers; None is the model that ships. Of a hub id, only what has been downloaded before is read.
        variant: of the files that are counted, such as "fp16".

    Raises:
        CheckpointError: there is no such model on this machine, its download is incomplete, or a file is damaged.
    """
    folder = _folder(source)
    with reading(folder):
        if (folder / INDEX).is_file():
            parts = list(_pipeline_parts(folder, "", stated_licence(folder), variant))
        elif (folder / "config.json").is_file():
            config = _json(folder / "config.json")
            class_name = str((config.get("architectures") or [config.get("_class_name")])[0] or config["model_type"])
            library = "diffusers" if "_class_name" in config else "transformers"
            parts = [_part(folder, "model", library, class_name, stated_licence(folder) or NOT_STATED, variant)]
        else:
            raise CheckpointError(f"{folder} is not a saved model: it has neither {INDEX} nor config.json")
    return ModelInfo("the shipped model" if source is None else str(source), folder, tuple(parts))


def stated_licence(folder: Path) -> str | None:
    """The licence that the model card in `folder` states: an identifier, or a name with where to read it."""
    head = _card_head(folder)
    if not head.get("license"):
        return None
    named = head.get("license_name") if head["license"] == "other" else head["license"]
    names = named if isinstance(named, list) else [named]
    return ", ".join(str(word) for word in (*names, head.get("license_link")) if word) or str(head["license"])


def _folder(source: str | PathLike[str] | None) -> Path:
    try:
        return resolve(source, {"local_files_only": True})
    except CheckpointError as error:
        if error.__cause__ is None:
            raise
        raise CheckpointError(
            f"{source} has not been downloaded to this machine, and nothing is downloaded to describe it: "
            f"get it with `hf download {source}`, or give a folder"
        ) from error


def _pipeline_parts(folder: Path, prefix: str, licence: str | None, variant: str | None) -> Iterator[PartInfo]:
    named, index = _card_head(folder).get("part_licenses") or {}, _json(folder / INDEX)
    for name, value in sorted(index.items()):
        if name.startswith("_") or not is_part(value) or not isinstance(value[0], str):
            continue  # a setting may be a list of two numbers
        own = stated_licence(folder / name) or named.get(name) or licence
        if (folder / name / INDEX).is_file():
            yield from _pipeline_parts(folder / name, f"{prefix}{name}/", own, variant)
        else:
            yield _part(folder / name, f"{prefix}{name}", str(value[0]), str(value[1]), own or NOT_STATED, variant)
    for name, class_name in sorted(dict(index.get("controlnets") or {}).items()):
        own = stated_licence(folder / CONTROLNETS / name) or named.get(f"{CONTROLNETS}/{name}") or licence
        place = folder / CONTROLNETS / name, f"{prefix}{CONTROLNETS}/{name}"
        yield _part(*place, "diffusers", str(class_name), own or NOT_STATED, variant)


def _part(folder: Path, name: str, library: str, class_name: str, licence: str, variant: str | None) -> PartInfo:
    files = _weight_files(folder, variant)
    config = _json(folder / "config.json") if (folder / "config.json").is_file() else None
    if files and not (config or {}).get("quantization_config"):
        parameters, linear = _count(tensor for file in files for tensor in _stored_tensors(file))
        return PartInfo(name, class_name, licence, parameters, linear, sum(file.stat().st_size for file in files))
    if config is None:
        return PartInfo(name, class_name, licence)
    notes = []
    if files:
        notes.append(f"saved quantised ({config['quantization_config'].get('quant_method')})")
    elif any(path.suffix in PICKLES for path in folder.glob("*")):
        notes.append("its weights are pickled, which are not read: convert them to safetensors")
    else:
        notes.append("its weights are not here")
    parameters = linear = 0
    try:
        parameters, linear = _count(_built_tensors(folder, library, class_name))
    except Exception as error:  # whatever a class raises on a config that it cannot be built from without weights
        notes.append(f"not counted: {(str(error).strip().splitlines() or [type(error).__name__])[0]}")
    each = 2 if str(config.get("dtype") or config.get("torch_dtype")) in ("float16", "bfloat16") else 4
    stored = sum(file.stat().st_size for file in files) if files else each * parameters
    return PartInfo(name, class_name, licence, parameters, linear, stored, "; ".join(notes))


def _weight_files(folder: Path, variant: str | None) -> list[Path]:
    """The safetensors files of one set of weights: those of `variant` where there are any, else the plain ones.

    Raises:
        CheckpointError: one that the index names is not there.
    """
    sets: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        base, _, kind = _SHARD.sub("", path.name.removesuffix(".safetensors")).partition(".")
        sets.setdefault((base, kind), []).append(path)
    known = {key: files for key, files in sets.items() if key[0] in _BASES} or sets
    if not known:
        return []
    base, kind = min(known, key=lambda key: (key[1] != (variant or ""), key[1], key[0]))
    index = folder / (f"{base}.safetensors.index.{kind}.json" if kind else f"{base}.safetensors.index.json")
    for name in sorted(set(_json(index)["weight_map"].values())) if index.is_file() else []:
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} is incomplete, {name} is missing: download or save it again")
    return known[base, kind]


def _stored_tensors(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the numbers in a safetensors file, from its head."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > path.stat().st_size:
            raise CheckpointError(f"{path} is damaged or no safetensors file: download or save it again")
        header = json.loads(file.read(length))
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"].startswith(_FLOATS):
            yield name, tuple(entry["shape"])


def _built_tensors(folder: Path, library: str, class_name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the parameters of a part whose weights are not here: it is built without memory for them."""
    import torch

    if library.split(".")[0] not in ("transformers", "diffusers", "genllava"):
        raise CheckpointError(f"it is of {library}, which is not loaded")
    kind: Any = getattr(import_module(library), class_name)
    with torch.device("meta"):
        if library == "transformers":
            module = kind(kind.config_class.from_pretrained(folder))
        else:
            module = kind.from_config(kind.load_config(folder))
    for name, parameter in module.named_parameters():
        yield name, tuple(parameter.shape)


def _count(tensors: _Tensors) -> tuple[int, int]:
    """(numbers, those in the matrices of linear layers)."""
    parameters = linear = 0
    for name, shape in tensors:
        size = math.prod(shape)
        parameters += size
        *_, owner, own_name = ("", *name.split("."))
        if len(shape) == 2 and own_name == "weight" and not any(word in owner for word in _TABLES):
            linear += size
    return parameters, linear


def _card_head(folder: Path) -> Mapping[str, Any]:
    """The YAML head of the model card in `folder`; empty where there is none."""
    card = folder / "README.md"
    if not card.is_file():
        return {}
    import yaml

    before, *rest = card.read_text(encoding="utf-8", errors="replace").split("---\n", 2)
    head = yaml.safe_load(rest[0]) if len(rest) == 2 and not before.strip() else None
    return head if isinstance(head, Mapping) else {}


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
