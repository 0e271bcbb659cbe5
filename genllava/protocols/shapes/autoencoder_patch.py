"""A linear autoencoder of picture patches, for decoders too small to afford a convolutional one."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTinyOutput
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn


class AutoencoderPatch(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers is not typed
    """Encodes every `patch_size` x `patch_size` patch by a linear map and decodes it by another.

    With the principal components of a set of pictures as weights it is the best linear code of its size for
    them; `from_components` sets it up that way. It offers the calls of diffusers' autoencoders.

    Args:
        patch_size: side of a patch in pixels; the latents are that much smaller than the picture.
        latent_channels: latents per patch.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, patch_size: int = 16, latent_channels: int = 96, scaling_factor: float = 1.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.patch_size = patch_size
        self.encoder = nn.Conv2d(3, latent_channels, patch_size, stride=patch_size, bias=False)
        self.decoder = nn.ConvTranspose2d(latent_channels, 3, patch_size, stride=patch_size, bias=False)

    @classmethod
    def from_components(cls, components: Tensor, scale: Tensor, patch_size: int) -> AutoencoderPatch:
        """An autoencoder whose latents are `patch @ components / scale`.

        Args:
            components: [3 * P * P, C], orthonormal columns; a patch is ordered as by
                `torch.nn.functional.unfold`.
            scale: [C].
        """
        model: AutoencoderPatch = cls(patch_size=patch_size, latent_channels=components.shape[1])
        shape = (-1, 3, patch_size, patch_size)
        with torch.no_grad():
            model.encoder.weight.copy_((components / scale).T.reshape(shape))
            model.decoder.weight.copy_((components * scale).T.reshape(shape))
        return model

    def encode(self, pixels: Tensor) -> AutoencoderTinyOutput:
        """`pixels` [B, 3, H, W] in -1..1 to `latents` [B, C, H/P, W/P].

        Raises:
            ValueError: the sides are not multiples of the patch size.
        """
        if any(side % self.patch_size for side in pixels.shape[-2:]):
            raise ValueError(f"{tuple(pixels.shape[-2:])} is not a multiple of {self.patch_size} pixels")
        return AutoencoderTinyOutput(latents=self.encoder(pixels))

    def decode(self, latents: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        """`latents` [B, C, h, w] to `sample` [B, 3, h*P, w*P], clamped to -1..1; a tuple without `return_dict`."""
        sample = self.decoder(latents).clamp(-1, 1)
        return DecoderOutput(sample=sample) if return_dict else (sample,)
