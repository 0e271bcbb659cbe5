"""Settings of a drawing: what a call may say, and what the pipeline's configuration says otherwise."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, TypedDict

from torch import Tensor

from genllava.errors import InvalidRequest

Conditioner = Literal["head", "caption"]
"""What steers the image decoder: the generation head, or the plan's words through its own text encoder."""
Seed = int | Sequence[int] | None
"""One seed for every picture of a call, one for each, or None for random ones."""


class DrawingOptions(TypedDict, total=False):
    """Keyword arguments of everything that draws; what is left out or None is taken from the configuration.

    Attributes:
        num_inference_steps: 1 to 1000.
        guidance_scale: of the text; 1 switches guidance off.
        image_guidance_scale: of the source picture of an edit; scales but 1 take more predictions a step. Edits that
            are drawn from their plan alone do not ask for it.
        conditioner: see `Conditioner`.
        callback_on_step_end: called with (step from 1, steps in all, latents [B, C, h, w]).
        cancel: asked before every token and every step; when it returns true, `Cancelled` is raised.
    """

    num_inference_steps: int | None
    guidance_scale: float | None
    image_guidance_scale: float | None
    conditioner: Conditioner | None
    callback_on_step_end: Callable[[int, int, Tensor], object] | None
    cancel: Callable[[], bool] | None


@dataclass(frozen=True, slots=True)
class Settings:
    """`DrawingOptions` with nothing left open."""

    num_inference_steps: int
    guidance_scale: float
    image_guidance_scale: float
    conditioner: Conditioner
    callback_on_step_end: Callable[[int, int, Tensor], object] | None = None
    cancel: Callable[[], bool] | None = None

    @classmethod
    def resolve(cls, config: Mapping[str, Any], options: DrawingOptions) -> Settings:
        """The settings of one call.

        Raises:
            InvalidRequest: an option that does not exist, or a conditioner that does not.
        """
        unknown = set(options) - set(DrawingOptions.__annotations__)
        if unknown:
            raise InvalidRequest(f"unknown options: {', '.join(sorted(unknown))}")
        values: dict[str, Any] = {
            name: config[name]
            for name in ("num_inference_steps", "guidance_scale", "image_guidance_scale", "conditioner")
        }
        values.update({name: value for name, value in options.items() if value is not None})
        if values["conditioner"] not in ("head", "caption"):
            raise InvalidRequest(f"unknown conditioner {values['conditioner']!r}: head or caption")
        return cls(**values)


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
