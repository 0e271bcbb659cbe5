"""The network that denoises: a diffusion transformer (arXiv 2212.09748), conditioned on what is in each cell."""

from __future__ import annotations

from typing import Final

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

_TIMES: Final = 256
"""Numbers of the sinusoidal embedding of a time."""


class LayoutTransformer2DModel(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers is not typed
    """Predicts clean latents from noisy ones and what is in each cell.

    A cell is a square of `patch_size` x `patch_size` latents and one token. Row 0 of the conditioning is about the
    whole picture: with the time it modulates all layers; each of the other rows is added to the token of its cell.

    Args:
        sample_size: side of the latents.
        in_channels, out_channels: of the noisy latents, and of what is predicted.
        patch_size: side of a cell, in latents.
        hidden_size, num_layers, num_attention_heads: of the transformer.
        cross_attention_dim: C, of the conditioning [B, 1 + cells, C].
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        sample_size: int = 6,
        in_channels: int = 288,
        out_channels: int = 288,
        patch_size: int = 2,
        hidden_size: int = 512,
        num_layers: int = 5,
        num_attention_heads: int = 8,
        cross_attention_dim: int = 256,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        cells, area = (sample_size // patch_size) ** 2, patch_size**2
        self.project_in = nn.Linear(in_channels * area, hidden_size)
        self.project_cells = nn.Linear(cross_attention_dim, hidden_size)
        self.project_picture = nn.Linear(cross_attention_dim, hidden_size)
        self.position_embeds = nn.Parameter(torch.randn(cells, hidden_size) * 0.5)
        self.embed_time = nn.Sequential(nn.Linear(_TIMES, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size))
        self.modulation = nn.Linear(hidden_size, 6 * hidden_size)
        self.blocks = nn.ModuleList(LayoutBlock(hidden_size, num_attention_heads) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size, elementwise_affine=False)
        self.modulation_out = nn.Linear(hidden_size, 2 * hidden_size)
        self.project_out = nn.Linear(hidden_size, out_channels * area)
        nn.init.zeros_(self.project_out.weight)
        nn.init.zeros_(self.project_out.bias)

    @property
    def rows(self) -> int:
        """Rows of the conditioning: one for the picture, and one for each cell."""
        return 1 + int(self.position_embeds.shape[0])

    def forward(
        self, sample: Tensor, timestep: Tensor | float, encoder_hidden_states: Tensor, return_dict: bool = True
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """Clean latents [B, out_channels, side, side]; a tuple without `return_dict`.

        Args:
            sample: [B, in_channels, side, side].
            timestep: [B] or one for all, 0 to 1000.
            encoder_hidden_states: [B, 1 + cells, C].
        """
        count, channels, side, _ = sample.shape
        patch = int(self.config["patch_size"])
        grid = side // patch
        times = torch.as_tensor(timestep, device=sample.device).float().expand(count)
        embedded = get_timestep_embedding(times, _TIMES, flip_sin_to_cos=True, downscale_freq_shift=0)
        whole = F.silu(self.embed_time(embedded.to(sample.dtype)) + self.project_picture(encoder_hidden_states[:, 0]))
        modulation = self.modulation(whole).view(count, 6, -1)
        cells = sample.reshape(count, channels, grid, patch, grid, patch).permute(0, 2, 4, 1, 3, 5)
        tokens = self.project_in(cells.reshape(count, grid * grid, channels * patch * patch))
        tokens = tokens + self.project_cells(encoder_hidden_states[:, 1:]) + self.position_embeds
        for block in self.blocks:
            tokens = block(tokens, modulation)
        scale, shift = self.modulation_out(whole)[:, None].chunk(2, -1)
        made = self.project_out(self.norm(tokens) * (1 + scale) + shift)
        made = made.view(count, grid, grid, -1, patch, patch).permute(0, 3, 1, 4, 2, 5).reshape(count, -1, side, side)
        return Transformer2DModelOutput(sample=made) if return_dict else (made,)


class LayoutBlock(nn.Module):
    """Self-attention and a feed-forward layer, both scaled, shifted and gated by a modulation that all blocks share."""

    def __init__(self, hidden_size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(hidden_size, elementwise_affine=False)
        self.to_qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.to_out = nn.Linear(hidden_size, hidden_size)
        self.norm_feed = nn.LayerNorm(hidden_size, elementwise_affine=False)
        self.feed_in = nn.Linear(hidden_size, 4 * hidden_size)
        self.feed_out = nn.Linear(4 * hidden_size, hidden_size)
        self.modulation_table = nn.Parameter(torch.randn(6, hidden_size) / hidden_size**0.5)

    def forward(self, tokens: Tensor, modulation: Tensor) -> Tensor:
        """`tokens` [B, N, D] and `modulation` [B, 6, D] to [B, N, D]."""
        scale, shift, gate, scale_2, shift_2, gate_2 = (self.modulation_table + modulation)[:, :, None].unbind(1)
        normed = self.norm_attention(tokens) * (1 + scale) + shift
        query, key, value = self.to_qkv(normed).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + gate * self.to_out(attended)
        normed = self.norm_feed(tokens) * (1 + scale_2) + shift_2
        fed: Tensor = self.feed_out(F.gelu(self.feed_in(normed), approximate="tanh"))
        return tokens + gate_2 * fed
