"""How the networks of diffusers' pipelines are called in training."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from genllava.errors import CheckpointError
from genllava.image_decoder.conditioning import denoiser_of
from genllava_finetune.modeling.objectives import Canvas, Conditioning, Denoiser


class UNetDenoiser(Denoiser):
    """Stable Diffusion 1 and 2, SDXL; and UNets with channels for a source beside the noise (InstructPix2Pix)."""

    network = ("UNet2DConditionModel",)

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        config = denoiser_of(pipeline).config
        self._channels = int(config["out_channels"])
        beside = int(config["in_channels"]) - self._channels
        if beside not in (0, self._channels):
            raise CheckpointError(
                f"{type(pipeline).__name__}: a UNet with {beside} channels beside its own is not trained"
            )
        self.edits = beside > 0
        plain = "InstructPix2Pix" in type(pipeline).__name__ and not getattr(pipeline, "is_cosxl_edit", False)
        self.scaled_source = not plain
        self._sizes = config.get("addition_embed_type") == "text_time"

    def predict(
        self, network: nn.Module, noisy: Tensor, times: Tensor, given: Conditioning, source: Tensor | None,
        seen: Tensor, canvas: Canvas,
    ) -> Tensor:  # fmt: skip
        added: dict[str, Any] = {}
        if self._sizes:
            height, width = (side * self.pipeline.vae_scale_factor for side in noisy.shape[2:])
            size = canvas.original.new_tensor([[height, width]]).expand_as(canvas.original)
            ids = torch.cat([canvas.original, canvas.crops, size], 1).to(noisy)
            added["added_cond_kwargs"] = {"text_embeds": given.pooled, "time_ids": ids}
        if self.edits:
            beside = torch.zeros_like(noisy) if source is None else source * seen[:, None, None, None].to(source)
            noisy = torch.cat([noisy, beside], 1)
        made: Tensor = network(noisy, times, encoder_hidden_states=given.embeds, return_dict=False, **added)[0]
        return made


class SD3Denoiser(Denoiser):
    """Stable Diffusion 3 and 3.5."""

    network = ("SD3Transformer2DModel",)

    def predict(
        self, network: nn.Module, noisy: Tensor, times: Tensor, given: Conditioning, source: Tensor | None,
        seen: Tensor, canvas: Canvas,
    ) -> Tensor:  # fmt: skip
        made: Tensor = network(
            hidden_states=noisy,
            timestep=times,
            encoder_hidden_states=given.embeds,
            pooled_projections=given.pooled,
            return_dict=False,
        )[0]
        return made


class FluxDenoiser(Denoiser):
    """Flux.1, whose latents are packed two by two, and Kontext, which reads those of a source behind them.

    Attributes:
        guidance_scale: that a network with distilled guidance is told.
    """

    network = ("FluxTransformer2DModel",)
    guidance_scale = 3.5

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self.edits = "Kontext" in type(pipeline).__name__

    def predict(
        self, network: nn.Module, noisy: Tensor, times: Tensor, given: Conditioning, source: Tensor | None,
        seen: Tensor, canvas: Canvas,
    ) -> Tensor:  # fmt: skip
        if source is not None and not bool(seen.all()):
            made = torch.empty_like(noisy)
            for some, shown in ((seen, source), (~seen, None)):
                if bool(some.any()):
                    one = None if shown is None else shown[some]
                    parts = (noisy[some], times[some], given.rows(some), one, seen[some], canvas.rows(some))
                    made = made.index_put((some.nonzero()[:, 0],), self.predict(network, *parts))
            return made
        count, channels, height, width = noisy.shape
        states, places = _packed(noisy), _places(noisy, 0)
        if source is not None:
            states, places = torch.cat([states, _packed(source)], 1), torch.cat([places, _places(source, 1)])
        guidance = None
        if denoiser_of(self.pipeline).config["guidance_embeds"]:
            guidance = torch.full([count], self.guidance_scale, device=noisy.device)
        packed: Tensor = network(
            hidden_states=states,
            timestep=times.to(noisy.dtype) / 1000,
            guidance=guidance,
            pooled_projections=given.pooled,
            encoder_hidden_states=given.embeds,
            txt_ids=noisy.new_zeros(given.embeds.shape[1], 3),
            img_ids=places,
            return_dict=False,
        )[0][:, : height * width // 4]
        squares = packed.view(count, height // 2, width // 2, channels, 2, 2)
        return squares.permute(0, 3, 1, 4, 2, 5).reshape(count, channels, height, width)


class LayoutDenoiser(Denoiser):
    """The small decoder of layouts, which draws an edit as it draws a new picture."""

    network = ("LayoutTransformer2DModel",)
    edits = True

    def predict(
        self, network: nn.Module, noisy: Tensor, times: Tensor, given: Conditioning, source: Tensor | None,
        seen: Tensor, canvas: Canvas,
    ) -> Tensor:  # fmt: skip
        made: Tensor = network(noisy, times, given.embeds, return_dict=False)[0]
        return made


def _packed(latents: Tensor) -> Tensor:
    """[D, h/2 * w/2, 4c]: squares of two by two latents."""
    count, channels, height, width = latents.shape
    squares = latents.view(count, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return squares.reshape(count, height * width // 4, 4 * channels)


def _places(latents: Tensor, picture: int) -> Tensor:
    """[h/2 * w/2, 3]: which picture a square is of, its row and its column."""
    rows, columns = (torch.arange(side // 2, device=latents.device) for side in latents.shape[2:])
    grid = torch.cartesian_prod(rows, columns)
    return torch.cat([torch.full_like(grid[:, :1], picture), grid], 1).to(latents.dtype)


DENOISERS: Final[tuple[type[Denoiser], ...]] = (UNetDenoiser, SD3Denoiser, FluxDenoiser, LayoutDenoiser)
"""The kinds of networks that are trained."""


def denoiser_for(pipeline: Any) -> Denoiser:
    """How a pipeline's network is trained.

    Raises:
        CheckpointError: it is of a kind that is not known here.
    """
    name = type(denoiser_of(pipeline)).__name__
    for kind in DENOISERS:
        if name in kind.network:
            return kind(pipeline)
    known = ", ".join(sorted(name for kind in DENOISERS for name in kind.network))
    raise CheckpointError(f"{type(pipeline).__name__}: a {name} is not trained here, but {known}")
