"""ControlNets: which layouts have them, whether one fits, and the pipelines of diffusers that work with them."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal

import diffusers
import torch
from diffusers.pipelines.auto_pipeline import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
)

from genllava.checkpoints import DOWNLOAD_OPTIONS, check_files, reading
from genllava.errors import CheckpointError, InvalidRequest
from genllava.image_decoder.call import OFFLOADED
from genllava.image_decoder.conditioning import denoiser_of
from genllava.weights import check_weights, weight_files

Use = Literal["draw", "edit", "inpaint"]
_FAMILIES: Final[dict[Use, Any]] = {
    "draw": AutoPipelineForText2Image,
    "edit": AutoPipelineForImage2Image,
    "inpaint": AutoPipelineForInpainting,
}
_WEIGHTS: Final = "diffusion_pytorch_model"
_SETS: Final = (".safetensors", "-?????-of-?????.safetensors", ".safetensors.index*.json")


@dataclass(frozen=True, slots=True)
class ControlLayout:
    """What ControlNets are for pipelines of one kind.

    Attributes:
        kind: their class in diffusers.
        fields: settings in which one agrees with the network that it steers.
    """

    kind: str
    fields: tuple[str, ...]


_OF_UNETS: Final = ControlLayout(
    "ControlNetModel",
    ("cross_attention_dim", "block_out_channels", "layers_per_block", "in_channels", "addition_embed_type"),
)
_OF_FLUX: Final = ControlLayout(
    "FluxControlNetModel",
    ("in_channels", "attention_head_dim", "num_attention_heads", "joint_attention_dim", "pooled_projection_dim"),
)
_LAYOUTS: Final = {
    "StableDiffusionPipeline": _OF_UNETS,
    "StableDiffusionControlNetPipeline": _OF_UNETS,
    "StableDiffusionXLPipeline": _OF_UNETS,
    "StableDiffusionXLControlNetPipeline": _OF_UNETS,
    "FluxPipeline": _OF_FLUX,
    "FluxControlNetPipeline": _OF_FLUX,
    "ShapesDecoderPipeline": _OF_UNETS,
}


def control_layout(pipeline: Any) -> ControlLayout:
    """What ControlNets are for a pipeline that draws.

    Raises:
        InvalidRequest: there are none for it.
    """
    name = type(pipeline).__name__
    if name not in _LAYOUTS:
        raise InvalidRequest(
            f"there are no ControlNets for {name if pipeline is not None else 'a model that does not draw'}: they "
            "steer Stable Diffusion 1.5 and 2.1, SDXL and Flux (StableDiffusionPipeline, StableDiffusionXLPipeline, "
            "FluxPipeline), and the model that ships with this package"
        )
    return _LAYOUTS[name]


def check_controlnet(name: object, controlnet: Any, pipeline: Any) -> None:
    """See that a ControlNet fits the pipeline that draws, and that it has a name that can be a folder's.

    Raises:
        CheckpointError: it does not.
    """
    check_name(name)
    layout = _layout_of(name, pipeline)
    kind, config = type(controlnet).__name__, getattr(controlnet, "config", {})
    if kind != layout.kind:
        raise CheckpointError(f"the ControlNet {name!r} is a {kind}: {type(pipeline).__name__} takes a {layout.kind}")
    _check_fields(name, config, layout, pipeline)


def _check_fields(name: object, config: Mapping[str, Any], layout: ControlLayout, pipeline: Any) -> None:
    wanted = denoiser_of(pipeline).config
    for field in layout.fields:
        has, needs = (_plain(each.get(field)) for each in (config, wanted))
        if has != needs:
            raise CheckpointError(
                f"the ControlNet {name!r} was made for another layout than this {type(pipeline).__name__}: its {field} "
                f"is {has}, where {needs} is needed; leave it out (controlnets={{}}), or give one that was made for it"
            )


def check_name(name: object) -> None:
    """See that the name of a ControlNet can be that of a folder.

    Raises:
        CheckpointError: it cannot.
    """
    plain = isinstance(name, str) and name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    if not plain:
        raise CheckpointError(f"a ControlNet cannot be called {name!r}: use letters, digits, _ and -, such as 'canny'")


def controlnet_folders(
    sources: Mapping[str, Any], variant: str | None = None, hub: Mapping[str, Any] | None = None
) -> dict[str, Path | torch.nn.Module]:
    """Where ControlNets are, downloaded if they are hub ids; those that are loaded already are left as they are.

    Args:
        sources: folders, hub ids or loaded ControlNets, by name.
        variant: of the weight files, such as "fp16"; the plain files are taken where there are none of it.
        hub: options of downloads.

    Raises:
        CheckpointError: there is no such ControlNet, or it cannot have that name.
    """
    found = dict[str, Path | torch.nn.Module]()
    for name, source in sources.items():
        check_name(name)
        with reading(f"ControlNet {name!r} from {source}"):
            found[name] = source if isinstance(source, torch.nn.Module) else _folder(name, source, variant, hub or {})
    return found


def load_controlnets(
    sources: Mapping[str, Path | torch.nn.Module], pipeline: Any, variant: str | None = None
) -> dict[str, Any]:
    """ControlNets for a pipeline that draws, in its precision and on its device.

    Args:
        sources: as `controlnet_folders` found them.
        variant: of the weight files; the plain files are read where there are none of it.

    Raises:
        CheckpointError: one cannot be read, or does not fit the pipeline.
    """
    made = dict[str, Any]()
    for name, source in sources.items():
        made[name] = _load(name, source, pipeline, variant) if isinstance(source, Path) else source
        check_controlnet(name, made[name], pipeline)
        follow(pipeline, [made[name]])
    return made


def load_controlnet(
    name: str, source: str | PathLike[str] | torch.nn.Module, pipeline: Any, *, variant: str | None = None, **hub: Any
) -> Any:
    """One ControlNet, as `load_controlnets`.

    Raises:
        CheckpointError: as there.
        InvalidRequest: `hub` has more than options of downloads.
    """
    if unknown := sorted(set(hub) - set(DOWNLOAD_OPTIONS)):
        raise InvalidRequest(f"load_controlnet has no option {unknown[0]}: variant, and those of downloads")
    return load_controlnets(controlnet_folders({name: source}, variant, hub), pipeline, variant)[name]


def follow(pipeline: Any, controlnets: Any) -> None:
    """Put ControlNets where the network is that they steer, in its precision."""
    denoiser = denoiser_of(pipeline)
    for each in controlnets:
        if denoiser is not None and (each.device, each.dtype) != (denoiser.device, denoiser.dtype):
            each.to(device=denoiser.device, dtype=denoiser.dtype)


@dataclass(frozen=True, slots=True)
class Unread:
    """A saved ControlNet that is read when it is first used.

    Attributes:
        variant: of the weight files; the plain files are read where there are none of it.
    """

    folder: Path
    variant: str | None = None


class ControlNets(MutableMapping[str, Any]):
    """ControlNets by name; what is asked for and has not been read yet is read then.

    Args:
        given: loaded ControlNets, or `Unread`.
        pipeline: the one that draws.

    Raises:
        CheckpointError: one does not fit the pipeline; of those that are read later, it is said then.
    """

    def __init__(self, given: Mapping[str, Any], pipeline: Any) -> None:
        self._pipeline = pipeline
        self._nets: dict[str, Any] = dict(given._nets if isinstance(given, ControlNets) else given)
        for name, net in self._nets.items():
            if not isinstance(net, Unread):
                check_controlnet(name, net, pipeline)

    @property
    def loaded(self) -> list[Any]:
        """Those that have been read."""
        return [net for net in self._nets.values() if not isinstance(net, Unread)]

    def __getitem__(self, name: str) -> Any:
        net = self._nets[name]
        if isinstance(net, Unread):
            net = self._nets[name] = load_controlnet(name, net.folder, self._pipeline, variant=net.variant)
        return net

    def __setitem__(self, name: str, net: Any) -> None:
        self._nets[name] = net

    def __delitem__(self, name: str) -> None:
        del self._nets[name]

    def __contains__(self, name: object) -> bool:
        return name in self._nets

    def __iter__(self) -> Iterator[str]:
        return iter(self._nets)

    def __len__(self) -> int:
        return len(self._nets)


class ControlledPipelines:
    """Pipelines of diffusers that draw and edit with ControlNets, made of the components of the one that draws.

    Nothing is loaded or copied for them. Each is kept until a component of the pipeline it was made of is replaced.

    Args:
        controlnets: by name; the caller may add some later.
    """

    def __init__(self, controlnets: Mapping[str, Any]) -> None:
        self._controlnets = controlnets
        self._made: dict[tuple[Use, tuple[str, ...]], tuple[list[object], Any]] = {}

    def of(self, pipeline: Any, names: tuple[str, ...], use: Use) -> Any:
        """The pipeline that draws, edits or inpaints with some of the ControlNets.

        Args:
            pipeline: the one that draws without.

        Raises:
            InvalidRequest: diffusers has none for it.
            CheckpointError: a ControlNet does not fit.
        """
        nets = [self._controlnets[name] for name in names]
        parts = [pipeline, *pipeline.components.values(), *nets]
        kept = self._made.get((use, names))
        if kept is not None and len(kept[0]) == len(parts) and all(map(operator.is_, kept[0], parts)):
            made = kept[1]
        else:
            for name, net in zip(names, nets, strict=True):
                check_controlnet(name, net, pipeline)
            try:
                made = _FAMILIES[use].from_pipe(pipeline, controlnet=nets[0] if len(nets) == 1 else nets)
            except ValueError as error:  # it has no sibling of this kind
                raise InvalidRequest(f"diffusers has no pipeline to {use} with ControlNets: {error}") from error
            self._made[use, names] = parts, made
        if getattr(pipeline, "_all_hooks", None):
            if not getattr(made, "_all_hooks", None):
                with OFFLOADED:
                    made.enable_model_cpu_offload(device=pipeline._offload_device)
        else:
            follow(pipeline, nets)
        return made


def _load(name: str, folder: Path, pipeline: Any, variant: str | None) -> Any:
    kind = _check_config(name, folder, pipeline)
    with reading(f"ControlNet {name!r} from {folder}"):
        variant = variant if variant and weight_files(folder, variant) else None
        check_weights(f"ControlNet {name!r}", kind, folder, variant=variant)
        dtype = denoiser_of(pipeline).dtype
        return kind.from_pretrained(folder, use_safetensors=True, variant=variant, torch_dtype=dtype).eval()


def _check_config(name: str, folder: Path, pipeline: Any) -> Any:
    """The class of a saved ControlNet, which by its config fits the pipeline."""
    layout = _layout_of(name, pipeline)
    with reading(f"ControlNet {name!r} from {folder}"):
        kind: Any = getattr(diffusers, layout.kind)
        config = kind.load_config(folder)
        if (found := config.get("_class_name")) != layout.kind:
            takes = f"{type(pipeline).__name__} takes a {layout.kind}"
            raise CheckpointError(f"the ControlNet {name!r} in {folder} is a {found}: {takes}")
        _check_fields(name, config, layout, pipeline)
    return kind


def _layout_of(name: object, pipeline: Any) -> ControlLayout:
    try:
        return control_layout(pipeline)
    except InvalidRequest as error:
        raise CheckpointError(f"the ControlNet {name!r} cannot be used here: {error}") from None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _folder(name: str, source: str | PathLike[str], variant: str | None, hub: Mapping[str, Any]) -> Path:
    """Where a ControlNet is, downloaded if it is a hub id: its config, its card and one set of its weights."""
    folder, part = Path(source), f"ControlNet {name!r}"
    if not folder.is_dir():
        if folder.is_absolute() or len(folder.parts) != 2:
            raise CheckpointError(f"{part}: there is no folder {source}, and it is no id of the form owner/name")
        for kind in [f".{variant}", ""] if variant else [""]:
            folder = _downloaded(str(source), [f"{_WEIGHTS}{kind}{rest}" for rest in _SETS], hub)
            if any(folder.glob(f"{_WEIGHTS}{kind}*.safetensors")):
                break
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{part}: {source} is not a saved ControlNet: it has no config.json")
    if not any(folder.glob(f"{_WEIGHTS}*.safetensors")):
        check_files(folder, part)
        raise CheckpointError(f"{part}: {source} has no weights ({_WEIGHTS}.safetensors): download or save it again")
    return folder


def _downloaded(source: str, weights: list[str], hub: Mapping[str, Any]) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(source, allow_patterns=["config.json", "README.md", *weights], **hub))
