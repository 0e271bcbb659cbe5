"""The part of the model that draws and edits: any diffusers pipeline, and any editor beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
from PIL import Image
from torch import Tensor

from genllava.errors import InvalidRequest
from genllava.image_decoder.call import check_options, run
from genllava.image_decoder.conditioning import (
    ConditioningSpec,
    PromptEmbeds,
    call_parameters,
    denoiser_of,
    embeds_arguments,
    encode_nothing,
    read_spec,
)
from genllava.image_decoder.control import Control, check_proportions, drawing_size, read_control
from genllava.image_decoder.controlnets import ControlledPipelines, control_layout
from genllava.image_decoder.notes import notes_on
from genllava.image_decoder.preview import preview
from genllava.image_decoder.siblings import check_pipeline, drawer_of, editor_of, is_controlled
from genllava.image_decoder.sizes import SIZES_ITSELF, Canvas, canvas_for, grain_of
from genllava.pipeline_output import Counters

_INSTEAD: Final = {
    "control_image": "give all control maps in control",
    "image": "give all control maps in control",
    "controlnet_conditioning_scale": "give control_scale",
}
"""Arguments of diffusers' ControlNet pipelines that `control` and `control_scale` stand for."""
_PER_PROMPT: Final = ("negative_prompt", "source_prompt")
"""Texts that go with a prompt."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """A picture that a pipeline drew.

    Attributes:
        image: RGB.
        seed: the noise it grew from. Several pictures of one prompt grow from one seed, one after the other.
        pipeline: class of the pipeline that drew it, `"StableDiffusionImg2ImgPipeline"`.
        notes: what the pipeline left out: words beyond its text encoder's window, options without effect.
    """

    image: Image.Image
    seed: int
    pipeline: str
    notes: list[str] = field(default_factory=list)


class ImageDecoder:
    """Draws and edits with diffusers pipelines.

    Everything of diffusers stays in the caller's hands: LoRAs are loaded into `pipeline`, its scheduler is set there.

    Args:
        pipeline: draws; None if there is only an editor.
        editor: edits. Without one, `pipeline` edits if it takes pictures, else the image-to-image or inpainting
            pipeline that diffusers has for its components.
        controlnets: that steer `pipeline` where a call gives control maps, by name; some may be added later.

    Attributes:
        pipeline, editor, controlnets: as given.
        counters: work done since it was made or reset.

    Raises:
        CheckpointError: a pipeline that does not make pictures from text.
    """

    def __init__(self, pipeline: Any, editor: Any = None, controlnets: Mapping[str, Any] | None = None) -> None:
        for given, part in ((pipeline, "decoder"), (editor, "editor")):
            if given is not None:
                check_pipeline(type(given), part)
        self.pipeline, self.editor = pipeline, editor
        self.controlnets: Mapping[str, Any] = {} if controlnets is None else controlnets
        self._controlled = ControlledPipelines(self.controlnets)
        self.counters = Counters()
        self._counting = threading.Lock()
        self._specs: dict[tuple[type, int], ConditioningSpec] = {}

    @property
    def spec(self) -> ConditioningSpec:
        """What `prompt_embeds` the drawing pipeline takes.

        Raises:
            CheckpointError: it takes none.
            InvalidRequest: there is no pipeline that draws.
        """
        return self._spec_of(drawer_of(self.pipeline, self.editor))

    def encode_nothing(self) -> tuple[Tensor, Tensor | None]:
        """What the drawing pipeline's own text encoders make of an empty prompt: [1, L, D], and [1, P] if pooled."""
        return encode_nothing(drawer_of(self.pipeline, self.editor))

    def generate(
        self,
        prompts: Sequence[str] | None,
        *,
        seeds: Sequence[int],
        prompt_embeds: PromptEmbeds | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> list[DecodedImage]:
        """Pictures of prompts, or of `prompt_embeds` in their place.

        Args:
            prompts: one for each picture.
            seeds: likewise. The same seed and prompt give the picture that the pipeline by itself gives with
                `generator=torch.Generator().manual_seed(seed)`.
            prompt_embeds: conditioning from elsewhere, of the form that `spec` says.
            options: arguments of the pipeline's call (`negative_prompt`, `height`, `width`, `num_inference_steps`,
                `guidance_scale`, `num_images_per_prompt`, `callback_on_step_end`, ...; `control_image` where the
                pipeline itself has a ControlNet); `control` and `control_scale`, control maps for `controlnets` and how
                strongly they steer (see `read_control`): the picture then has the maps' proportions, which `height` and
                `width` must have, too; and `cancel`, a function that is asked at every step whether to stop.

        Returns:
            The pictures in the order of the prompts, `num_images_per_prompt` for each.

        Raises:
            InvalidRequest: an option that the pipeline does not take, or a value that it refuses.
            Cancelled: `cancel` said so.
            NonFiniteError: NaN or infinity in the weights; there is no picture then.
        """
        pipeline = drawer_of(self.pipeline, self.editor)
        arguments, cancel = _split(options)
        size = _batch_size(prompts, prompt_embeds, seeds)
        control = self._control(pipeline, arguments, size)
        if control is not None:
            pipeline = self._controlled.of(pipeline, control.names, "draw")
        elif is_controlled(pipeline) and "control_image" in arguments and "image" in call_parameters(pipeline):
            arguments["image"] = arguments.pop("control_image")
        if {"height", "width"} <= arguments.keys() and "max_area" in call_parameters(pipeline):
            arguments.setdefault("max_area", arguments["height"] * arguments["width"])  # Kontext scales to this area
        check_options(pipeline, arguments)
        apart = not _takes_lists(pipeline) or (control is not None and control.differs)
        each = 1 if apart else max(size, 1)
        drawn: list[DecodedImage] = []
        for start in range(0, size, each):
            rows = slice(start, start + each)
            texts = None if prompts is None else list(prompts[rows])
            embeds = None if prompt_embeds is None else prompt_embeds[rows]
            own = _rows_of(arguments, rows, size)
            if control is not None:
                sides = (own.get("width"), own.get("height"))
                own["width"], own["height"] = drawing_size(pipeline, control, start, *sides)
                own = {**control.arguments(pipeline, control.row(start)), **own}
            drawn += self._call(pipeline, texts, embeds, list(seeds[rows]), own, cancel)
        return drawn

    def edit(
        self,
        images: Sequence[Image.Image],
        instructions: Sequence[str] | None,
        *,
        seeds: Sequence[int],
        prompt_embeds: PromptEmbeds | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> list[DecodedImage]:
        """Pictures changed as instructed; each comes back at its own size.

        A picture much larger or smaller than those that the pipeline was trained on is scaled to their area and back.

        Args:
            images: RGB, of any sizes.
            instructions: one for each picture, as the prompts of `generate`.
            seeds: one for each picture.
            prompt_embeds: as in `generate`, a row for each picture.
            options: as in `generate`; `height` and `width` are the size to work at and to come back with. With
                `mask_image` (white where the picture may change) an inpainting pipeline edits. With `control` it is the
                drawing pipeline's sibling that edits, whether or not there is an editor.

        Returns:
            The pictures in order, `num_images_per_prompt` for each; `pipeline` says what edited them.

        Raises:
            InvalidRequest: as in `generate`, or there is no pipeline that edits.
            Cancelled, NonFiniteError: as in `generate`.
        """
        arguments, cancel = _split(options)
        size, masked = _batch_size(instructions, prompt_embeds, seeds), "mask_image" in arguments
        control = self._control(self.pipeline, arguments, size)
        if control is None:
            pipeline = editor_of(self.pipeline, self.editor, masked=masked)
        else:
            pipeline = self._controlled.of(self.pipeline, control.names, "inpaint" if masked else "edit")
        width, height = arguments.pop("width", None), arguments.pop("height", None)
        if "image" in arguments:
            raise InvalidRequest("image is no option of an edit: the pictures are an argument of their own")
        if control is None and is_controlled(pipeline) and "control_image" not in arguments:
            raise InvalidRequest(f"{type(pipeline).__name__} needs a control_image beside the picture to edit")
        check_options(pipeline, arguments)
        _check_strength(pipeline, arguments)
        if len(images) != size:
            raise InvalidRequest(f"{len(images)} pictures do not go with {size} seeds")
        edited: list[DecodedImage] = []
        for i, image in enumerate(images):
            canvas = canvas_for(pipeline, image.size, width, height)
            own = _rows_of(arguments, slice(i, i + 1), size)
            if type(pipeline).__name__ in SIZES_ITSELF:
                sides = {"width": width, "height": height}
                own |= {"image": image, **{k: v for k, v in sides.items() if v and k in call_parameters(pipeline)}}
            else:
                own |= _laid_out(pipeline, image, canvas, arguments)
            if control is not None:
                for name, each in zip(control.names, control.row(i), strict=True):
                    check_proportions(name, each.size, image.size, grain_of(pipeline))
                own = {**control.arguments(pipeline, tuple(map(canvas.lay, control.row(i)))), **own}
            texts = None if instructions is None else [instructions[i]]
            embeds = None if prompt_embeds is None else prompt_embeds[i : i + 1]
            for drawn in self._call(pipeline, texts, embeds, [seeds[i]], own, cancel):
                edited.append(replace(drawn, image=canvas.take(drawn.image)))
            with self._counting:
                self.counters.vae_encodes += 1
        return edited

    def preview(self, pipe: Any, latents: Tensor, aspect: float = 1.0) -> Image.Image | None:
        """A small picture of what a step has come to; its cost is a fraction of a step's.

        Args:
            pipe: what `callback_on_step_end` got as its first argument.
            latents: `callback_kwargs["latents"]`; the first of the batch is shown.
            aspect: width by height of the picture that is being drawn.

        Returns:
            None where the pipeline's latents are in a form that is not known here.
        """
        return preview(pipe, latents, aspect)

    def enable_model_cpu_offload(self, **options: Any) -> None:
        """Keeps each model of both pipelines on the device only while it runs, as diffusers does.

        Raises:
            InvalidRequest: there is no accelerator, or the pipelines are placed by a device map already.
        """
        for pipeline in filter(None, (self.pipeline, self.editor)):
            try:
                pipeline.enable_model_cpu_offload(**options)
            except (RuntimeError, ValueError, ImportError) as error:
                raise InvalidRequest(f"{type(pipeline).__name__} cannot be offloaded: {error}") from error

    def _control(self, pipeline: Any, arguments: dict[str, Any], size: int) -> Control | None:
        """What steers a call besides words; taken out of `arguments`."""
        given, scale = arguments.pop("control", None), arguments.pop("control_scale", None)
        if given is not None:
            control_layout(pipeline)
            for name, remedy in _INSTEAD.items():
                if name in arguments:
                    raise InvalidRequest(f"control and {name} do not go together: {remedy}")
        return read_control(given, scale, self.controlnets, size)

    def _call(
        self,
        pipeline: Any,
        prompts: list[str] | None,
        embeds: PromptEmbeds | None,
        seeds: list[int],
        arguments: dict[str, Any],
        cancel: Callable[[], bool] | None,
    ) -> list[DecodedImage]:
        notes = [notes_on(pipeline, prompt, arguments) for prompt in prompts or [""] * len(seeds)]
        arguments = dict(arguments)
        if prompts is not None:
            arguments["prompt"] = prompts[0] if len(prompts) == 1 else prompts
        elif embeds is not None:
            if embeds.negative_embeds is not None and arguments.get("negative_prompt") is not None:
                raise InvalidRequest("give a negative_prompt or negative_embeds, not both")
            arguments |= embeds_arguments(pipeline, embeds, self._spec_of(pipeline))
        times = 1
        if not _takes_lists(pipeline):  # nor does DreamLite draw several pictures of one prompt
            times = int(arguments.pop("num_images_per_prompt", None) or 1)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        how: dict[str, Any] = {"generators": generators, "cancel": cancel, "count": self._count}
        images = [image for _ in range(times) for image in run(pipeline, arguments, **how)]
        each, name = len(images) // len(seeds), type(pipeline).__name__
        return [DecodedImage(image, seeds[i // each], name, notes[i // each]) for i, image in enumerate(images)]

    def _spec_of(self, pipeline: Any) -> ConditioningSpec:
        key = (type(pipeline), id(denoiser_of(pipeline)))
        if key not in self._specs:
            self._specs[key] = read_spec(pipeline)
        return self._specs[key]

    def _count(self, rows: int) -> None:
        with self._counting:
            self.counters.unet_rows += rows


def _split(options: Mapping[str, Any] | None) -> tuple[dict[str, Any], Callable[[], bool] | None]:
    """The arguments of a pipeline's call, and `cancel`."""
    arguments = dict(options or {})
    return arguments, arguments.pop("cancel", None)


def _batch_size(prompts: Sequence[str] | None, embeds: PromptEmbeds | None, seeds: Sequence[int]) -> int:
    if (prompts is None) == (embeds is None):
        raise InvalidRequest("give either prompts or prompt_embeds")
    size = len(prompts if prompts is not None else embeds or ())
    if isinstance(prompts, str) or size != len(seeds):
        raise InvalidRequest(f"give a list with one prompt for each seed, not {size} for {len(seeds)}")
    return size


def _rows_of(arguments: Mapping[str, Any], rows: slice, size: int) -> dict[str, Any]:
    """`arguments` for some prompts of a batch of `size`: texts of `_PER_PROMPT` may be one for all or one for each."""
    own, some = dict(arguments), len(range(size)[rows])
    for name in _PER_PROMPT:
        given = arguments.get(name)
        if given is None:
            continue
        if not isinstance(given, str) and len(given) != size:
            raise InvalidRequest(f"give one {name} for all, or one for each of the {size} prompts")
        texts = [given] * some if isinstance(given, str) else list(given[rows])
        own[name] = texts[0] if some == 1 else texts
    return own


def _takes_lists(pipeline: Any) -> bool:
    """Whether the pipeline draws several prompts in one call, by the type of its `prompt`."""
    return "list" in str(call_parameters(pipeline)["prompt"].annotation).lower()


def _check_strength(pipeline: Any, arguments: Mapping[str, Any]) -> None:
    """Image-to-image does only the last of its steps; diffusers fails obscurely where none is left."""
    parameters = call_parameters(pipeline)
    if {"strength", "num_inference_steps"} <= parameters.keys():
        steps, strength = (arguments.get(n, parameters[n].default) for n in ("num_inference_steps", "strength"))
        if isinstance(steps, int) and isinstance(strength, (int, float)) and int(steps * strength) < 1:
            name = type(pipeline).__name__
            raise InvalidRequest(f"{name}: {steps} steps at strength {strength} leave none to do: give more of either")


def _laid_out(pipeline: Any, image: Image.Image, canvas: Canvas, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The picture to edit and all that goes with it, at the size to work at."""
    parameters = call_parameters(pipeline)
    width, height = canvas.working
    own: dict[str, Any] = {"image": canvas.lay(image)}
    if {"height", "width"} <= parameters.keys():
        own |= {"height": height, "width": width}
    if "max_area" in parameters and "max_area" not in arguments:  # Kontext scales heights and widths to this area
        own["max_area"] = width * height
    if "mask_image" in arguments:
        own["mask_image"] = canvas.lay(arguments["mask_image"].convert("L"))
    elif "mask_image" in parameters:
        own["mask_image"] = Image.new("L", canvas.working, 255)
    if isinstance(arguments.get("control_image"), Image.Image):
        own["control_image"] = canvas.lay(arguments["control_image"])
    return own
