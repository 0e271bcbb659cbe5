"""ControlNets at work: what they add to every step of the UNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Steering:
    """ControlNets beside the UNet, with the control maps of B pictures.

    Attributes:
        controlnets: of diffusers.
        maps: of each ControlNet, [B, 3, H, W] in 0..1, or [1, 3, H, W] for all pictures.
        scales: how strongly each of them steers, 1 as trained.
    """

    controlnets: tuple[Any, ...]
    maps: tuple[Tensor, ...]
    scales: tuple[float, ...]

    def of(self, rows: Sequence[int]) -> Steering:
        """What steers some of the pictures, by their numbers from 0."""
        picked = [each[list(rows)] if len(each) > 1 else each for each in self.maps]
        return replace(self, maps=tuple(picked))

    def residuals(self, inputs: Tensor, timestep: Tensor, prompts: Tensor) -> dict[str, Any]:
        """What the ControlNets add to a step of the UNet, as arguments of its call.

        Args:
            inputs, timestep, prompts: of the UNet: `inputs` [N * B, C, h, w], N times the pictures.
        """
        down: list[Tensor] = []
        mid: Tensor | None = None
        for controlnet, maps, scale in zip(self.controlnets, self.maps, self.scales, strict=True):
            seen = maps.to(inputs.device, controlnet.dtype)
            seen = seen.repeat(len(inputs) // len(seen), 1, 1, 1)
            own, middle = controlnet(inputs, timestep, prompts, seen, conditioning_scale=scale, return_dict=False)
            down = [a + b for a, b in zip(down, own, strict=True)] if down else list(own)
            mid = middle if mid is None else mid + middle
        return {"down_block_additional_residuals": tuple(down), "mid_block_additional_residual": mid}
