"""What a pipeline's denoiser is conditioned on, where it does not come from words: `prompt_embeds`."""

from __future__ import annotations

import inspect
import threading
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

import torch
from PIL import Image

from genllava.errors import CheckpointError, InvalidRequest

if TYPE_CHECKING:
    from torch import Tensor

_MASKS: Final = ("prompt_attention_mask", "prompt_embeds_mask")
"""What pipelines call the mask over `prompt_embeds`."""
ENCODING: Final = threading.RLock()
"""Held while prompts are encoded: a tokenizer keeps how the last caller wanted texts padded and truncated."""
_FREE_LENGTH: Final = 77
"""Rows we suggest where a pipeline takes any number of them; as many as a CLIP text encoder gives."""


@dataclass(frozen=True, slots=True)
class ConditioningSpec:
    """The `prompt_embeds` that a pipeline takes.

    Attributes:
        length: rows, L. As many as the pipeline's own text encoders give.
        dim: numbers in a row, D.
        pooled_dim: numbers in the pooled embedding that goes with them; None where the pipeline takes none.
        mask: whether the pipeline takes a mask that says which rows count.
        variable_length: any number of rows will do, and `length` is a suggestion.
    """

    length: int
    dim: int
    pooled_dim: int | None = None
    mask: bool = False
    variable_length: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PromptEmbeds:
    """Conditioning for B pictures, in place of prompts; any device and precision.

    Attributes:
        embeds: [B, L, D].
        pooled: [B, P], where the pipeline takes a pooled embedding.
        mask: [B, L], 1 at the rows that count; without one all of them do.
        negative_embeds, negative_pooled, negative_mask: likewise, for what guidance leads away from. Where they are
            not given, the pipeline encodes `negative_prompt` or the empty prompt, if it guides at all.
    """

    embeds: Tensor
    pooled: Tensor | None = None
    mask: Tensor | None = None
    negative_embeds: Tensor | None = None
    negative_pooled: Tensor | None = None
    negative_mask: Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeds)

    def __getitem__(self, rows: slice) -> PromptEmbeds:
        """The conditioning of some of the pictures."""
        tensors = {part.name: getattr(self, part.name) for part in fields(self)}
        return replace(self, **{name: tensor[rows] for name, tensor in tensors.items() if tensor is not None})


def call_parameters(pipeline: Any) -> dict[str, inspect.Parameter]:
    """What the call of a pipeline (or of a pipeline's class) takes, by name."""
    kind = pipeline if isinstance(pipeline, type) else type(pipeline)
    parameters = inspect.signature(kind.__call__).parameters
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {name: p for name, p in parameters.items() if name != "self" and p.kind not in kinds}


def denoiser_of(pipeline: Any) -> Any:
    """The network that denoises: a pipeline's `unet` or `transformer`."""
    names = ("unet", "transformer")
    return next((getattr(pipeline, name) for name in names if getattr(pipeline, name, None) is not None), None)


def read_spec(pipeline: Any) -> ConditioningSpec:
    """What `prompt_embeds` a pipeline takes: measured, by encoding an empty prompt once.

    Raises:
        CheckpointError: the pipeline takes none.
    """
    parameters, name = call_parameters(pipeline), type(pipeline).__name__
    if "prompt_embeds" not in parameters:
        raise CheckpointError(f"{name} takes no prompt_embeds: give it prompts (bridge='caption')")
    mask = any(mask in parameters for mask in _MASKS)
    if not hasattr(pipeline, "encode_prompt"):  # InstructPix2Pix: one CLIP text encoder
        dim = denoiser_of(pipeline).config.cross_attention_dim
        return ConditioningSpec(int(pipeline.tokenizer.model_max_length), int(dim), mask=mask)
    embeds, pooled = encode_nothing(pipeline)
    pooled_dim = None if pooled is None else pooled.shape[1]
    free = "prompt_embeds_mask" in parameters  # Qwen-Image: no padding, so the empty prompt is only its template
    length = _FREE_LENGTH if free else embeds.shape[1]
    return ConditioningSpec(length, embeds.shape[2], pooled_dim, mask, variable_length=free)


@torch.no_grad()
def encode_nothing(pipeline: Any) -> tuple[Tensor, Tensor | None]:
    """What a pipeline's own text encoders make of an empty prompt: embeddings [1, L, D], and pooled ones [1, P] if it
    takes any."""
    wanted: dict[str, Any] = {"prompt": "", "prompt_2": None, "prompt_3": None, "device": pipeline._execution_device}
    wanted |= {"num_images_per_prompt": 1, "do_classifier_free_guidance": False}
    wanted["image"] = Image.new("RGB", (64, 64))  # of editors whose text encoder looks at the source
    call, takes = call_parameters(pipeline), inspect.signature(pipeline.encode_prompt).parameters
    for name in ("max_sequence_length", "complex_human_instruction"):  # the call passes them on by its own defaults
        if name in call:
            wanted[name] = call[name].default
    with ENCODING:
        encoded = pipeline.encode_prompt(**{n: v for n, v in wanted.items() if n in takes})
    tensors = [x for x in (encoded if isinstance(encoded, tuple) else [encoded]) if isinstance(x, torch.Tensor)]
    pooled = None
    if "pooled_prompt_embeds" in call:
        pooled = next(x for x in tensors if x.ndim == 2 and len(x) == 1 and x.is_floating_point())
    return next(x for x in tensors if x.ndim == 3), pooled


def embeds_arguments(pipeline: Any, given: PromptEmbeds, spec: ConditioningSpec) -> dict[str, Any]:
    """`given` as arguments of the pipeline's call, on its device and in its precision.

    Raises:
        InvalidRequest: it is not what the pipeline takes; the message says what it takes.
    """
    parameters, name = call_parameters(pipeline), type(pipeline).__name__
    _check(name, given, spec)
    device, dtype = pipeline._execution_device, denoiser_of(pipeline).dtype
    arguments: dict[str, Any] = {}
    for sign, embeds, pooled, mask in (
        ("", given.embeds, given.pooled, given.mask),
        ("negative_", given.negative_embeds, given.negative_pooled, given.negative_mask),
    ):
        if embeds is None:
            continue
        arguments[f"{sign}prompt_embeds"] = embeds.to(device, dtype)
        if pooled is not None:
            arguments[f"{sign}pooled_prompt_embeds"] = pooled.to(device, dtype)
        for mask_name in filter(parameters.__contains__, _MASKS):
            mask = torch.ones(embeds.shape[:2]) if mask is None else mask
            arguments[sign + mask_name] = mask.to(device, torch.long)
    if unknown := arguments.keys() - parameters.keys():
        raise InvalidRequest(f"{name} takes no {', '.join(sorted(unknown))}")
    if given.negative_embeds is not None and "negative_prompt" in parameters:
        arguments["negative_prompt"] = None  # PixArt's default "" would stand against them
    if "enable_prompt_rewrite" in parameters:
        arguments["enable_prompt_rewrite"] = False  # LongCat-Image: there is no prompt to rewrite
    return arguments


def _check(name: str, given: PromptEmbeds, spec: ConditioningSpec) -> None:
    shape = tuple(given.embeds.shape)
    length: int | str = "any" if spec.variable_length or given.negative_embeds is not None else spec.length
    if len(shape) != 3 or shape[2] != spec.dim or length not in ("any", shape[1]):
        raise InvalidRequest(f"{name} takes prompt_embeds of shape [B, {length}, {spec.dim}], not {list(shape)}")
    if given.negative_embeds is not None and given.negative_embeds.shape != given.embeds.shape:
        raise InvalidRequest(f"{name}: negative_embeds must have the shape of embeds, {list(shape)}")
    pooled = None if given.pooled is None else given.pooled.shape[-1]
    if pooled != spec.pooled_dim:
        raise InvalidRequest(f"{name} takes pooled embeddings of {spec.pooled_dim} numbers, not {pooled}")
    if not bool(torch.isfinite(given.embeds).all()):
        raise InvalidRequest(f"{name}: there is NaN or infinity in prompt_embeds")
