"""Which pipeline draws and which one edits: the one that was given, or a sibling of it that shares its components."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any, Final

import diffusers
from diffusers.pipelines.auto_pipeline import AutoPipelineForImage2Image, AutoPipelineForInpainting

from genllava.errors import CheckpointError, InvalidRequest
from genllava.image_decoder.conditioning import call_parameters

_DRAWS: Final = {
    "QwenImageEditPipeline": "QwenImagePipeline",
    "QwenImageEditPlusPipeline": "QwenImagePipeline",
    "LongCatImageEditPipeline": "LongCatImagePipeline",
}
"""Editors that need a picture, and the pipeline of the same components that draws without one."""


def check_pipeline(kind: Any, part: str) -> None:
    """See that pipelines of a class make pictures from text.

    Raises:
        CheckpointError: they do not.
    """
    name, parameters = kind.__name__, call_parameters(kind)
    if "prompt" not in parameters:
        raise CheckpointError(f"{part}: {name} has no text conditioning; give a text-to-image or editing pipeline")
    if "num_frames" in parameters or any("audio" in parameter for parameter in parameters):
        raise CheckpointError(f"{part}: {name} makes no pictures; give a text-to-image or editing pipeline")


def takes_source(pipeline: Any) -> bool:
    """Whether the pipeline's `image` is a picture to edit (and not a ControlNet's)."""
    image = "image" in call_parameters(pipeline)
    return image and (not is_controlled(pipeline) or "control_image" in call_parameters(pipeline))


def is_controlled(pipeline: Any) -> bool:
    """Whether the pipeline has a ControlNet."""
    return getattr(pipeline, "controlnet", None) is not None


def drawer_of(pipeline: Any, editor: Any) -> Any:
    """The pipeline that draws.

    Raises:
        InvalidRequest: there is none.
    """
    if pipeline is None:
        name = "no decoder" if editor is None else f"only the editor {type(editor).__name__}"
        raise InvalidRequest(f"there is {name}: give decoder= a text-to-image pipeline to draw with")
    name = type(pipeline).__name__
    if name in _DRAWS:
        kind = getattr(diffusers, _DRAWS[name])
        wanted = inspect.signature(kind.__init__).parameters
        return kind(**{part: module for part, module in pipeline.components.items() if part in wanted})
    if takes_source(pipeline) and not _image_is_optional(pipeline):
        raise InvalidRequest(f"{name} only edits: give decoder= a text-to-image pipeline to draw with")
    return pipeline


def editor_of(pipeline: Any, editor: Any, *, masked: bool) -> Any:
    """The pipeline that edits: the editor, else the drawing pipeline if it takes pictures, else a sibling of it.

    Args:
        masked: the caller gives a `mask_image`, so an inpainting pipeline is wanted.

    Raises:
        InvalidRequest: there is none.
    """
    given = [x for x in (editor, pipeline) if x is not None]
    for candidate in filter(takes_source, given):
        if not masked or "mask_image" in call_parameters(candidate):
            return candidate
    families: list[Any] = [AutoPipelineForInpainting]
    families = families if masked else [AutoPipelineForImage2Image, *families]
    for base in reversed(given) if masked else given:  # an editor's weights are made for whole pictures
        for family in families:
            with contextlib.suppress(ValueError):  # there is no sibling of this kind
                return family.from_pipe(base)
    names = " and ".join(type(base).__name__ for base in given)
    kind = "inpainting" if masked else "image-to-image or inpainting"
    remedy = "a pipeline that takes mask_image" if masked else "a pipeline that edits"
    raise InvalidRequest(f"diffusers has no {kind} pipeline for {names or 'nothing'}: give editor= {remedy}")


def _image_is_optional(pipeline: Any) -> bool:
    """Kontext, DreamLite and Flux.2 draw where they get no picture; InstructPix2Pix and its like demand one.

    Both kinds have `image=None` in their call; the first say so in the type.
    """
    annotation = str(call_parameters(pipeline)["image"].annotation)
    return "None" in annotation or "Optional" in annotation
