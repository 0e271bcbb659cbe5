"""One call of a diffusers pipeline: watched at every step, and checked before its pictures are believed."""

from __future__ import annotations

import copy
import functools
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from numbers import Integral, Real
from typing import Any, Final

import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image
from torch import Tensor

from genllava.errors import Cancelled, CheckpointError, InvalidRequest, NonFiniteError
from genllava.image_decoder.conditioning import ENCODING, call_parameters

_OURS: Final = {
    "prompt": "prompts are an argument of their own",
    "generator": "give seeds",
    "output_type": "pictures come back as PIL images",
    "return_dict": "pictures come back as PIL images",
    "callback": "use callback_on_step_end",
    "callback_steps": "use callback_on_step_end",
    "prompt_embeds": "they are an argument of their own",
    "pooled_prompt_embeds": "they belong to prompt_embeds",
}
_EMULATED: Final = ("callback_on_step_end", "callback_on_step_end_tensor_inputs")
"""Options that every pipeline gets, whether its call takes them or not."""
_COUNTS: Final = ("num_inference_steps", "num_images_per_prompt", "height", "width")
_SCALES: Final = ("guidance_scale", "image_guidance_scale", "true_cfg_scale", "strength")
_ENCODERS: Final = ("encode_prompt", "_encode_prompt", "rewire_prompt")
OFFLOADED: Final = threading.RLock()
"""Held by a call whose weights move between devices: another one would move them away."""
_rows: ContextVar[list[int] | None] = ContextVar("rows of the denoiser in this call", default=None)


def check_options(pipeline: Any, options: Mapping[str, Any]) -> None:
    """See that a pipeline's call takes all of `options`.

    Raises:
        InvalidRequest: it does not; the message names what it takes.
    """
    name, parameters = type(pipeline).__name__, call_parameters(pipeline)
    for option in options:
        if option in _OURS:
            raise InvalidRequest(f"{option} is no option: {_OURS[option]}")
        if option not in parameters and option not in _EMULATED:
            takes = ", ".join(sorted(parameters.keys() - _OURS.keys()))
            raise InvalidRequest(f"{name} takes no {option}; it takes {takes}")
    _check_values(options)
    others = set(options.get(_EMULATED[1], ())) - {"latents"}
    if others and _EMULATED[1] not in parameters:
        raise InvalidRequest(f"{name} gives callbacks nothing but latents, not {', '.join(sorted(others))}")


def _check_values(options: Mapping[str, Any]) -> None:
    """See that values can be meant: pipelines take some that cannot, and draw noise or another size without a word."""
    if ("height" in options) != ("width" in options):  # some pipelines then take neither
        raise InvalidRequest("give height and width together")
    for name in _COUNTS:
        if name in options and (not isinstance(options[name], Integral) or options[name] < 1):
            raise InvalidRequest(f"{name} must be a whole number from 1, not {options[name]!r}")
    for name in _SCALES:
        value = options.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise InvalidRequest(f"{name} must be a number, not {value!r}")
    if not callable(options.get(_EMULATED[0], print)):
        raise InvalidRequest(f"{_EMULATED[0]} must be a function of (pipeline, step, timestep, callback_kwargs)")


def run(
    pipeline: Any,
    arguments: dict[str, Any],
    *,
    generators: list[torch.Generator],
    cancel: Callable[[], bool] | None = None,
    count: Callable[[int], None] | None = None,
) -> list[Image.Image]:
    """The pictures of one call of `pipeline`.

    The pipeline's scheduler and its other state are copied for the call, so that calls from several threads do not
    disturb each other; its weights are not.

    Args:
        arguments: of the call. `callback_on_step_end` is called by every pipeline, also by those that know no such
            argument; those give it nothing but the latents.
        generators: one for each prompt. The pictures of one prompt grow from it one after the other.
        cancel: asked before the call and after every step.
        count: told how many rows went through the denoiser.

    Raises:
        Cancelled: `cancel` said so.
        NonFiniteError: NaN or infinity in the latents or in the pictures.
        InvalidRequest: the pipeline refused its arguments, its safety checker refused a picture, or memory ran out.
    """
    name = type(pipeline).__name__
    if cancel is not None and cancel():
        raise Cancelled("cancelled before the first step")
    offloaded = bool(getattr(pipeline, "_all_hooks", None))
    with OFFLOADED if offloaded else nullcontext(), _counting(pipeline, count):
        copied = copy.copy(pipeline)
        copied.scheduler = copy.deepcopy(pipeline.scheduler)
        if not hasattr(copied, "_progress_bar_config"):
            copied.set_progress_bar_config(disable=True)
        if "prompt_embeds" in arguments and type(pipeline).__name__.startswith("LongCatImage"):
            _take_no_prompt(copied)
        for method in filter(functools.partial(hasattr, copied), _ENCODERS):
            _hold(copied, method)
        watch = _Watch(copied, arguments, cancel)
        per_prompt = int(arguments.get("num_images_per_prompt") or 1)
        drawn_as = "np" if arguments.get("padding_mask_crop") is None else "pil"  # crops are put back in PIL only
        finished = False
        try:
            output = copied(
                **watch.arguments,
                generator=generators[0] if len(generators) == 1 else [g for g in generators for _ in range(per_prompt)],
                output_type=drawn_as,
            )
            finished = True
        except torch.OutOfMemoryError as error:
            remedy = "give a smaller height and width, or call enable_model_cpu_offload()"
            raise InvalidRequest(f"{name}: the device's memory ran out; {remedy}") from error
        except (ValueError, TypeError) as error:
            if watch.steps:  # its arguments were right
                raise
            raise InvalidRequest(f"{name}: {error}") from error
        finally:
            if not finished:  # what the call itself would have done at its end
                copied.maybe_free_model_hooks()
    return _pictures(name, output)


class _Watch:
    """Listens at the scheduler, which every pipeline asks once a step for the latents to go on with.

    Attributes:
        arguments: of the call, without what only this listener serves.
        steps: steps done.
    """

    def __init__(self, pipeline: Any, arguments: dict[str, Any], cancel: Callable[[], bool] | None) -> None:
        self.steps = 0
        self._pipeline, self._cancel = pipeline, cancel
        parameters = call_parameters(pipeline)
        native = "callback_on_step_end" in parameters
        self.arguments = {k: v for k, v in arguments.items() if k in parameters or k not in _EMULATED}
        callback = arguments.get("callback_on_step_end")
        self._callback = None if native else callback
        if native and callback is not None:  # one that returns nothing changes nothing
            self.arguments["callback_on_step_end"] = lambda *told: callback(*told) or {}
        step = pipeline.scheduler.step

        @functools.wraps(step)  # pipelines look at its signature
        def watched(*args: Any, **kwargs: Any) -> Any:
            result = step(*args, **kwargs)
            latents = result[0] if isinstance(result, tuple) else result.prev_sample
            changed = self._after_step(args[1] if len(args) > 1 else kwargs.get("timestep"), latents)
            if changed is latents:
                return result
            return (changed, *result[1:]) if isinstance(result, tuple) else type(result)(changed)

        pipeline.scheduler.step = watched

    def _after_step(self, timestep: Any, latents: Tensor) -> Tensor:
        index, self.steps = self.steps, self.steps + 1
        if not bool(torch.isfinite(latents).all()):
            raise NonFiniteError(
                f"{type(self._pipeline).__name__}: NaN or infinity in the latents after step {self.steps}: its weights"
                " are damaged, or its precision is too low (try torch_dtype=torch.bfloat16 or torch.float32)"
            )
        if self._callback is not None:
            outputs = self._callback(self._pipeline, index, timestep, {"latents": latents}) or {}
            latents = outputs.get("latents", latents)
        if self._cancel is not None and self._cancel():
            raise Cancelled(f"cancelled after step {self.steps}")
        return latents


@contextmanager
def _counting(pipeline: Any, count: Callable[[int], None] | None) -> Iterator[None]:
    for name in ("unet", "transformer", "transformer_2"):
        module = getattr(pipeline, name, None)
        if isinstance(module, torch.nn.Module) and _count_rows not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(_count_rows, with_kwargs=True)
    tally: list[int] = []
    token = _rows.set(tally)
    try:
        yield
    finally:
        _rows.reset(token)
        if count is not None:
            count(sum(tally))


def _count_rows(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    tally = _rows.get()
    if tally is not None:
        rows = args[0] if args else kwargs.get("hidden_states", kwargs.get("sample"))
        tally.append(0 if rows is None else len(rows))


def _hold(pipeline: Any, name: str) -> None:
    """Let a method of a pipeline encode prompts while no other thread does."""
    method = getattr(pipeline, name)

    @functools.wraps(method)
    def held(*args: Any, **kwargs: Any) -> Any:
        with ENCODING:
            return method(*args, **kwargs)

    setattr(pipeline, name, held)


def _take_no_prompt(pipeline: Any) -> None:
    """LongCat-Image takes the batch from its prompts even where it gets `prompt_embeds` in their place."""
    encode = pipeline.encode_prompt

    def encode_prompt(prompt: Any = None, prompt_embeds: Any = None, **options: Any) -> Any:
        prompt = prompt if prompt_embeds is None else [""] * len(prompt_embeds)
        return encode(prompt=prompt, prompt_embeds=prompt_embeds, **options)

    pipeline.encode_prompt = encode_prompt


def _pictures(name: str, output: Any) -> list[Image.Image]:
    images = getattr(output, "images", None)
    if images is None or not len(images):
        raise CheckpointError(f"{name} gave no pictures: it cannot be an image decoder")
    for index, refused in enumerate(getattr(output, "nsfw_content_detected", None) or ()):
        if refused:
            remedy = "ask in other words or with another seed, or load the pipeline with safety_checker=None"
            raise InvalidRequest(f"the safety checker of {name} blacked out picture {index + 1}: {remedy}")
    if isinstance(images[0], Image.Image):
        return list(images)
    array = np.stack([np.asarray(image) for image in images])
    if not np.isfinite(array).all():
        raise NonFiniteError(
            f"{name}: NaN or infinity from its autoencoder: its weights are damaged, or its precision is too low"
            " (try a VAE in torch.float32)"
        )
    pictures: list[Image.Image] = VaeImageProcessor.numpy_to_pil(array)
    return pictures
