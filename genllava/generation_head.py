"""The generation head: from hidden states at the visual queries to the image decoder's conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from genllava.errors import InvalidRequest

Kind = Literal["encoder", "qformer", "paper", "linear"]
INIT_STD: Final = 0.02


class GenerationHead(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers is not typed
    """Maps [B, N, D] hidden states to [B, L, C] prompt embeddings, and to pooled ones [B, P] where a decoder has them.

    `null_embeds` [1, L, C] and `null_pooled` [1, P] are the conditioning of guidance's unconditional branch. A
    `residual` head adds to them, and its last layers start at zero: before any training a frozen decoder then draws
    what it draws for an empty prompt.

    The visual queries are tokens of the language model (`query_tokens`), or learnt inputs `query_embeds` [N, D] that
    live here.

    Args:
        kind: `encoder`: a bidirectional transformer over the projected states and L learnt output tokens.
            `qformer`: L learnt queries that attend to each other and to the states.
            `paper`: an encoder-decoder on states plus query embeddings (GenLLaVA, arXiv 2406.11262, after
            GILL's mapper, arXiv 2305.17216); `num_layers` counts for either half.
            `linear`: one linear map, a baseline; L must equal N.
        num_queries: N.
        input_dim: D.
        output_length: L, that of the decoder's cross-attention.
        output_dim: C, that of the decoder's cross-attention.
        hidden_dim: width of the transformer; unused by `linear`, as are the next two.
        num_layers: of the transformer.
        num_heads: of the transformer.
        pooled_dim: P; None where the decoder takes no pooled embedding.
        layers: indices of the language model's layers whose states are read, joined to D; -1 is the last one.
        residual: add to `null_embeds`, beginning with zero.
        query_tokens: the queries are tokens of the language model, whose names are `query_names`.

    Raises:
        InvalidRequest: an unknown kind, or `linear` with L other than N.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        kind: Kind = "encoder",
        num_queries: int = 16,
        input_dim: int = 256,
        output_length: int = 48,
        output_dim: int = 128,
        hidden_dim: int = 256,
        num_layers: int = 4,
        num_heads: int = 4,
        pooled_dim: int | None = None,
        layers: Sequence[int] = (-1,),
        residual: bool = False,
        query_tokens: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kind: Kind = kind
        if not query_tokens:
            self.query_embeds = nn.Parameter(torch.randn(num_queries, input_dim) * INIT_STD)
        elif kind == "paper":
            raise InvalidRequest("the head of kind 'paper' reads its queries' inputs: query_tokens must be False")
        self.register_buffer("null_embeds", torch.zeros(1, output_length, output_dim))
        self.null_embeds: Tensor
        self.project_pooled: nn.Linear | None = None
        if pooled_dim is not None:
            self.register_buffer("null_pooled", torch.zeros(1, pooled_dim))
            self.null_pooled: Tensor
            self.project_pooled = nn.Linear(input_dim if kind == "linear" else hidden_dim, pooled_dim)
        if kind == "linear":
            if output_length != num_queries:
                raise InvalidRequest("a linear head gives one output per query: output_length must be num_queries")
            self.project_out = nn.Linear(input_dim, output_dim)
            self._begin_at_zero(residual)
            return
        self.project_in = nn.Linear(input_dim, hidden_dim)
        self.output_tokens = nn.Parameter(torch.randn(output_length, hidden_dim) * INIT_STD)
        self.position_embeds = nn.Parameter(torch.randn(num_queries, hidden_dim) * INIT_STD)
        encoders = num_layers if kind in ("encoder", "paper") else 0
        decoders = num_layers if kind in ("qformer", "paper") else 0
        if encoders + decoders == 0:
            raise InvalidRequest(f"unknown or empty generation head: kind {kind!r}, {num_layers} layers")
        layer: dict[str, Any] = {
            "d_model": hidden_dim,
            "nhead": num_heads,
            "dim_feedforward": 4 * hidden_dim,
            "dropout": 0.0,
            "activation": "gelu",
            "batch_first": True,
            "norm_first": True,
        }
        self.encoder = nn.ModuleList(nn.TransformerEncoderLayer(**layer) for _ in range(encoders))
        self.decoder = nn.ModuleList(nn.TransformerDecoderLayer(**layer) for _ in range(decoders))
        self.norm = nn.LayerNorm(hidden_dim)
        self.project_out = nn.Linear(hidden_dim, output_dim)
        self._begin_at_zero(residual)

    @property
    def query_names(self) -> list[str]:
        """The tokens of the language model that are this head's queries."""
        return [f"<query_{number}>" for number in range(int(self.config["num_queries"]))]

    def condition(self, hidden_states: Tensor) -> tuple[Tensor, Tensor | None]:
        """Prompt embeddings [B, L, C] and pooled ones [B, P] (None: the decoder takes none); as `forward`."""
        outputs = self._outputs(hidden_states, None)
        embeds, pooled = self._embeds(outputs), None
        if self.project_pooled is not None:
            pooled = self.project_pooled(outputs.mean(1))
            pooled = pooled + self.null_pooled if self.config["residual"] else pooled
        return embeds, pooled

    def forward(self, hidden_states: Tensor, query_embeds: Tensor | None = None) -> Tensor:
        """Prompt embeddings [B, L, C].

        Args:
            hidden_states: [B, N, D], last layer after the final norm, at the visual queries.
            query_embeds: [N, D] or [B, N, D], what was put in there, if not this head's own; only `paper`
                reads it.

        Raises:
            InvalidRequest: a wrong shape.
        """
        return self._embeds(self._outputs(hidden_states, query_embeds))

    def _embeds(self, outputs: Tensor) -> Tensor:
        embeds: Tensor = self.project_out(outputs)
        return embeds + self.null_embeds if self.config["residual"] else embeds

    def _begin_at_zero(self, residual: bool) -> None:
        if residual:
            for layer in filter(None, (self.project_out, self.project_pooled)):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def _outputs(self, hidden_states: Tensor, query_embeds: Tensor | None) -> Tensor:
        """[B, L, hidden], before the last layer."""
        expected = (int(self.config["num_queries"]), int(self.config["input_dim"]))
        if tuple(hidden_states.shape[1:]) != expected:
            raise InvalidRequest(
                f"expected hidden states [B, {', '.join(map(str, expected))}], got {list(hidden_states.shape)}"
            )
        if self.kind == "linear":
            return hidden_states
        if self.kind == "paper":
            hidden_states = hidden_states + (self.query_embeds if query_embeds is None else query_embeds)
        states = self.project_in(hidden_states) + self.position_embeds
        outputs = self.output_tokens.expand(len(states), -1, -1)
        if self.kind == "encoder":
            states = torch.cat([states, outputs], dim=1)
        for layer in self.encoder:
            states = layer(states)
        if self.kind == "encoder":
            outputs = states[:, -outputs.shape[1] :]
        for layer in self.decoder:
            outputs = layer(outputs, states)
        normed: Tensor = self.norm(outputs)
        return normed
