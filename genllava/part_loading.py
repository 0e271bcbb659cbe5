"""How weights are loaded, the generation head among them, and where parts are while they do not work."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import torch

from genllava.checkpoints import check_files, is_part, read_index, reading
from genllava.errors import CheckpointError, InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.memory import check_fits, precision_name
from genllava.model_info import model_info
from genllava.own_classes import own_component
from genllava.weights import check_weights, saved_dtype, weight_files

_DTYPES: Final = ("float32", "bfloat16", "float16")


@dataclass(slots=True)
class How:
    """How weights are loaded; as the keyword arguments of `GenLlavaPipeline.from_pretrained`.

    Attributes:
        device: where the pipeline is put afterwards; without one, and without a device map, an accelerator where there
            is one.
    """

    torch_dtype: Any = None
    device: Any = None
    device_map: Any = None
    quantization_config: Any = None
    variant: str | None = None

    def dtype(self, small: bool) -> Any:
        """The dtype of the weights, unless said otherwise: as they were saved.

        Args:
            small: it is the shapes model or a pipeline of this package. They are saved in half precision to be small
                files, and computed in float32: on CPUs that is faster as well.
        """
        if self.torch_dtype is not None:
            return self.torch_dtype
        return torch.float32 if small else "auto"

    @property
    def pipeline_map(self) -> str | None:
        """The device map of diffusers pipelines: modules that a dict names are the language model's."""
        return self.device_map if isinstance(self.device_map, str) else None


@dataclass(slots=True)
class Loaded:
    """What a pipeline is made of.

    Attributes:
        parts, settings: keyword arguments of `GenLlavaPipeline`.
        device: where it is to be put; None: it stays where it is.
        own: names of the parts that the caller gave.
    """

    parts: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    device: Any = None
    own: tuple[str, ...] = ()


def take_how(options: dict[str, Any]) -> How:
    """Take what says how weights are loaded out of keyword arguments; `dtype` is taken as `torch_dtype`.

    Raises:
        InvalidRequest: a dtype that does not exist, or both a device and a device map.
    """
    if "dtype" in options:
        options["torch_dtype"] = options.pop("dtype")
    how = How(**{name: options.pop(name) for name in inspect.signature(How).parameters if name in options})
    name = str(how.torch_dtype).removeprefix("torch.")
    if name in _DTYPES:
        how.torch_dtype = getattr(torch, name)
    elif name not in ("auto", "None"):
        raise InvalidRequest(f"unknown torch_dtype {how.torch_dtype!r}: {', '.join(_DTYPES)} or auto")
    if how.device is not None and how.device_map is not None:
        raise InvalidRequest("give device= or device_map=, not both")
    if how.device is None and how.device_map is None and how.quantization_config is None:
        how.device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return how


def beside(vlm: Any, pipelines: Sequence[Any], how: How) -> None:
    """Move diffusers pipelines to where a quantised language model is: it went there by itself while it was loaded."""
    if how.quantization_config is not None and how.device is None and how.device_map is None:
        for pipeline in filter(None, pipelines):
            pipeline.to(vlm.device)


def check_room(what: str, folders: Mapping[str, Path], how: How, dtype: Any) -> None:
    """See that weights fit into the memory of the device that they go to.

    Where a device map spreads them over several, the libraries see to that by themselves.

    Args:
        what: is loaded, for the message.
        folders: of the parts, by name; `quantization_config` is that of `vlm`.
        dtype: that they are loaded as.

    Raises:
        NotEnoughMemory: they do not.
        CheckpointError: a part is not there, or damaged.
    """
    if not folders:
        return
    spread = how.device_map is not None and how.device_map not in ("cpu", "cuda", "mps", "xpu")
    if spread and torch.accelerator.is_available():
        return
    quantised = ""
    if how.quantization_config is not None:
        quantised = "int8" if getattr(how.quantization_config, "load_in_8bit", False) else "4-bit"
    sizes = Counter[str]()
    for name, folder in folders.items():
        try:
            own = model_info(folder, variant=how.variant).bytes
        except CheckpointError as error:
            raise CheckpointError(f"{name}: {error}") from error
        if name != "vlm":  # only the language model is quantised
            own |= dict.fromkeys(("int8", "4-bit"), own[precision_name(dtype)])
        sizes.update(own if name != "vlm" or not quantised else dict.fromkeys(own, own[quantised]))
    place = how.device or (None if spread else how.device_map)
    if place is None:
        place = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    check_fits(sizes, place or "cpu", dtype, what=what)


def own_variant(folder: Path, variant: str | None) -> str | None:
    """`variant`, if a part has files of it; its plain files are read otherwise."""
    return variant if variant and weight_files(folder, variant) else None


def load_head(folder: Path, dtype: Any, variant: str | None) -> GenerationHead:
    """A saved generation head.

    Raises:
        CheckpointError: it cannot be read, or tensors are missing.
    """
    check_files(folder, f"generation_head {folder}")
    variant = own_variant(folder, variant)
    with reading(f"generation_head {folder}"):
        asked = saved_dtype(weight_files(folder, variant)) if dtype == "auto" else dtype
        head: GenerationHead = GenerationHead.from_pretrained(
            folder, torch_dtype=asked, use_safetensors=True, variant=variant
        )
    check_weights("generation_head", head, folder, variant=variant)
    return head.eval()


def load_own_pipeline(kind: Any, folder: Path, dtype: Any, variant: str | None, given: Mapping[str, Any]) -> Any:
    """A pipeline of this package, which diffusers does not know.

    Args:
        kind: its class, see `own_pipeline`.
        dtype: of the weights; "auto": as they were saved.
        given: components that are not loaded, and settings in the place of the saved ones.

    Raises:
        CheckpointError: a component is not there, cannot be read or lacks tensors.
        InvalidRequest: it has no component or setting that is given.
    """
    index, wanted = read_index(folder), inspect.signature(kind).parameters
    if unknown := sorted(given.keys() - wanted):
        raise InvalidRequest(f"{kind.__name__} has no {', '.join(unknown)}: {', '.join(wanted)}")
    settings = {name: index[name] for name in wanted if name in index and not isinstance(index[name], list)}
    names = [name for name in wanted if isinstance(index.get(name), list) or name in given]
    made = settings | load_components(folder, index, names, dtype, given, variant)
    for name, parameter in wanted.items():
        if parameter.default is parameter.empty and made.get(name) is None:
            raise CheckpointError(f"{folder}: its index names no {name}; download or save it again")
    with reading(folder):
        return kind(**made)


def load_components(
    folder: Path,
    index: Mapping[str, Any],
    names: Sequence[str],
    dtype: Any,
    given: Mapping[str, Any],
    variant: str | None = None,
) -> dict[str, Any]:
    """Components of a diffusers pipeline, each from its own folder; None for those that the index has not.

    Args:
        index: library and class of each, by name.
        dtype: of the weights; "auto": as they were saved.
        given: components that are not loaded.
        variant: of the files, such as "fp16", where there are files of it.

    Raises:
        CheckpointError: one cannot be read, or tensors are missing.
    """
    loaded = {name: _load(folder / name, index.get(name), dtype, variant) for name in names if name not in given}
    return {name: given[name] if name in given else loaded[name] for name in names}


def _load(folder: Path, entry: Any, dtype: Any, variant: str | None) -> Any:
    if not is_part(entry):
        return None
    library, class_name = entry
    with reading(folder):
        own = str(library).split(".")[0] == "genllava"
        made = own_component(class_name) if own else getattr(import_module(library), class_name)
        if made is None:
            raise CheckpointError(f"this version of genllava has no {class_name} that {folder.name} could be")
        if not issubclass(made, torch.nn.Module):
            return made.from_pretrained(folder)
        variant = own_variant(folder, variant)
        asked = saved_dtype(weight_files(folder, variant)) if dtype == "auto" else dtype
        part = made.from_pretrained(folder, use_safetensors=True, torch_dtype=asked, variant=variant)
    check_weights(folder.name, part, folder, variant=variant)
    return part.eval()


def offload(vlm: Any, nested: Sequence[Any], gpu_id: int | None = None, device: Any = None) -> None:
    """Keep parts on the CPU, and move each to the accelerator while it works.

    Raises:
        InvalidRequest: there is no accelerator.
    """
    if device is None:
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        if found is None:
            raise InvalidRequest("there is no accelerator to move parts to: leave out enable_model_cpu_offload()")
        device = torch.device(found.type, gpu_id or 0)
    from accelerate import cpu_offload_with_hook

    cpu_offload_with_hook(vlm, device)
    for pipeline in filter(None, nested):
        pipeline.enable_model_cpu_offload(device=device)
