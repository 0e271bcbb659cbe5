"""Seeds, and the options that everything which draws takes."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, Final, Literal, TypedDict

from genllava.errors import InvalidRequest

Bridge = Literal["head", "caption"]
"""What steers the image decoder: the generation head, or words through the decoder's own text encoder."""
Seed = int | Sequence[int] | None
"""One seed for every picture of a call, one for each, or None for random ones."""
CancelCheck = Callable[[], bool]
"""Asked before every token and every denoising step; when it returns true, `Cancelled` is raised."""
StepCallback = Callable[[Any, int, Any, dict[str, Any]], Any]
"""diffusers' own: called with (pipeline, step from 0, timestep, {"latents": ...}) when a denoising step has ended."""

DESCRIBE: Final = "Describe the picture."
"""What a message asks that has pictures and no words."""


class DrawingOptions(TypedDict, total=False):
    """Keyword arguments of everything that draws. What is left out or None is the pipeline's own default.

    These are the common ones. Whatever else the call of the diffusers pipeline takes that draws (`strength`,
    `control_image`, `true_cfg_scale`, ...) is passed on; an option that it does not take is an `InvalidRequest`.

    Attributes:
        negative_prompt: what should not be in the picture.
        height, width: of a new picture, in pixels. An edit has the size of its source, also in a conversation that is
            given these; given to `edit` itself, they are the size to work at and to come back with.
        num_inference_steps: denoising steps.
        guidance_scale: of the text; 1 switches classifier-free guidance off in most pipelines.
        image_guidance_scale: of the source picture, in editors such as InstructPix2Pix.
        num_images_per_prompt: pictures of each prompt.
        control: control maps by the name of the ControlNet that reads them, {"canny": edges, "depth": depth}: pictures
            as `genllava.images.load_image` takes them, of the drawing's proportions. Of a batch, a list has one for
            each.
        control_scale: how strongly they steer, 1 as trained: one number for all, or one for each name.
        bridge: see `Bridge`; the default is the pipeline's configuration.
        callback_on_step_end: see `StepCallback`.
        cancel: see `CancelCheck`.
    """

    negative_prompt: str | None
    height: int | None
    width: int | None
    num_inference_steps: int | None
    guidance_scale: float | None
    image_guidance_scale: float | None
    num_images_per_prompt: int | None
    control: Mapping[str, Any] | None
    control_scale: float | Mapping[str, float] | None
    bridge: Bridge | None
    callback_on_step_end: StepCallback | None
    cancel: CancelCheck | None


def resolve_seeds(seed: Seed, count: int) -> list[int]:
    """One seed per picture.

    Raises:
        InvalidRequest: not as many as pictures, not whole numbers, or outside 0 to 2**63 - 1.
    """
    if seed is None:
        seeds = [random.SystemRandom().randrange(2**32) for _ in range(count)]
    elif isinstance(seed, (int, Integral)):  # NumPy's as well
        seeds = [int(seed)] * count
    else:
        try:
            seeds = [operator.index(value) for value in seed]
        except TypeError:
            raise InvalidRequest(f"a seed must be a whole number, or a list of them, not {seed!r}") from None
    if len(seeds) != count:
        raise InvalidRequest(f"{len(seeds)} seeds for {count} pictures")
    if not all(0 <= value < 2**63 for value in seeds):
        raise InvalidRequest("a seed must be from 0 to 2**63 - 1")
    return seeds
