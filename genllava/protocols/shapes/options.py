"""Settings of a drawing by the shapes model: what a call may say, and what its configuration says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from genllava.errors import InvalidRequest
from genllava.options import Bridge, CancelCheck, DrawingOptions, StepCallback


@dataclass(frozen=True, slots=True)
class Settings:
    """Drawing options of the shapes model, with nothing left open.

    Attributes:
        num_inference_steps: 1 to 1000.
        guidance_scale: of the text; 1 switches guidance off.
        image_guidance_scale: of the source picture of an edit; scales but 1 take more predictions a step. Edits that
            are drawn from their plan alone do not ask for it.
        bridge, control, control_scale, callback_on_step_end, cancel: see `genllava.options`.
    """

    num_inference_steps: int
    guidance_scale: float
    image_guidance_scale: float
    bridge: Bridge
    control: Mapping[str, Any] | None = None
    control_scale: float | Mapping[str, float] | None = None
    callback_on_step_end: StepCallback | None = None
    cancel: CancelCheck | None = None

    @classmethod
    def resolve(cls, config: Mapping[str, Any], options: DrawingOptions) -> Settings:
        """The settings of one call.

        Raises:
            InvalidRequest: an option that this model does not have, or a bridge that does not exist.
        """
        known = [field.name for field in fields(cls)]
        given = {name: value for name, value in options.items() if value is not None}
        if unknown := sorted(set(given) - set(known)):
            raise InvalidRequest(
                f"the shapes model has no option {', '.join(unknown)}: it draws at one size, and takes "
                f"{', '.join(known)}"
            )
        values: dict[str, Any] = {name: config[name] for name in known[:4]}
        values.update(given)
        if values["bridge"] not in ("head", "caption"):
            raise InvalidRequest(f"unknown bridge {values['bridge']!r}: head or caption")
        return cls(**values)
