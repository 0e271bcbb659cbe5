"""A linear autoencoder of picture patches, for decoders too small to afford a convolutional one."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTinyOutput
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn


class AutoencoderPatch(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers is not typed
    """Encodes every `patch_size` x `patch_size` patch by a linear map and decodes it by another.

    With the principal components of a set of pictures as weights it is the best linear code of its size for
    them; `from_components` sets it up that way. It offers the calls of diffusers' autoencoders.

    Args:
        patch_size: side of a patch in pixels; the latents are that much smaller than the picture.
        latent_channels: latents per patch.
        bias: the maps have constants, so that latents can have a mean of zero.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self, patch_size: int = 16, latent_channels: int = 96, scaling_factor: float = 1.0, bias: bool = False
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.patch_size = patch_size
        self.encoder = nn.Conv2d(3, latent_channels, patch_size, stride=patch_size, bias=bias)
        self.decoder = nn.ConvTranspose2d(latent_channels, 3, patch_size, stride=patch_size, bias=False)
        self.mean = nn.Parameter(torch.zeros(3, patch_size, patch_size), requires_grad=False) if bias else None

    @classmethod
    def from_components(
        cls, components: Tensor, scale: Tensor, patch_size: int, mean: Tensor | None = None
    ) -> AutoencoderPatch:
        """An autoencoder whose latents are `(patch - mean) @ components / scale`.

        Args:
            components: [3 * P * P, C], orthonormal columns; a patch is ordered as by
                `torch.nn.functional.unfold`.
            scale: [C].
            mean: [3 * P * P]; None for zero.
        """
        model: AutoencoderPatch = cls(patch_size=patch_size, latent_channels=components.shape[1], bias=mean is not None)
        shape = (-1, 3, patch_size, patch_size)
        with torch.no_grad():
            model.encoder.weight.copy_((components / scale).T.reshape(shape))
            model.decoder.weight.copy_((components * scale).T.reshape(shape))
            if mean is not None and model.encoder.bias is not None and model.mean is not None:
                model.encoder.bias.copy_(-(mean @ components) / scale)
                model.mean.copy_(mean.view(shape[1:]))
        return model

    @apply_forward_hook  # type: ignore[untyped-decorator]  # else an offloaded one stays where it is
    def encode(self, pixels: Tensor) -> AutoencoderTinyOutput:
        """`pixels` [B, 3, H, W] in -1..1 to `latents` [B, C, H/P, W/P].

        Raises:
            ValueError: the sides are not multiples of the patch size.
        """
        if any(side % self.patch_size for side in pixels.shape[-2:]):
            raise ValueError(f"{tuple(pixels.shape[-2:])} is not a multiple of {self.patch_size} pixels")
        return AutoencoderTinyOutput(latents=self.encoder(pixels))

    @apply_forward_hook  # type: ignore[untyped-decorator]
    def decode(self, latents: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        """`latents` [B, C, h, w] to `sample` [B, 3, h*P, w*P], clamped to -1..1; a tuple without `return_dict`."""
        sample = self.decoder(latents)
        if self.mean is not None:
            sample = sample + self.mean.repeat(1, *latents.shape[-2:])
        sample = sample.clamp(-1, 1)
        return DecoderOutput(sample=sample) if return_dict else (sample,)
