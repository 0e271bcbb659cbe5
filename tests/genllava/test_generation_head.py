"""The generation head: its kinds, and that it learns through a frozen UNet."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from genllava.errors import InvalidRequest
from genllava.generation_head import GenerationHead

SIZES = {
    "num_queries": 4,
    "input_dim": 16,
    "output_dim": 8,
    "hidden_dim": 16,
    "num_layers": 2,
    "num_heads": 2,
}


@pytest.mark.parametrize(("kind", "length"), [("encoder", 6), ("qformer", 6), ("paper", 6), ("linear", 4)])
def test_every_kind_maps_states_to_embeddings_and_is_saved(kind: str, length: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    head = GenerationHead(kind=kind, output_length=length, **SIZES).eval()
    states = torch.randn(3, 4, 16, requires_grad=True)
    embeds = head(states)
    assert embeds.shape == (3, length, 8)
    embeds.square().sum().backward()
    silent = [n for n, p in head.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert [name for name in silent if not name.endswith(".self_attn.in_proj_bias")] == (
        [] if kind == "paper" else ["query_embeds"]  # the others see them through the language model only
    )
    assert states.grad is not None
    assert (states.grad.abs().sum((0, 2)) > 0).all(), "a query is not read"
    assert torch.allclose(head(states[1:2]), embeds[1:2], atol=1e-5)
    head.null_embeds.fill_(0.5)
    head.save_pretrained(tmp_path)
    again = GenerationHead.from_pretrained(tmp_path)
    assert torch.equal(again(states), head(states))
    assert torch.equal(again.null_embeds, head.null_embeds)


def test_the_paper_kind_adds_what_was_put_in() -> None:
    torch.manual_seed(0)
    head = GenerationHead(kind="paper", output_length=6, **SIZES).eval()
    states = torch.randn(2, 4, 16)
    assert torch.equal(head(states), head(states, head.query_embeds))
    assert not torch.equal(head(states), head(states, torch.zeros(4, 16)))
    assert float(head.query_embeds.detach().std()) == pytest.approx(0.02, rel=0.3)


def test_bad_sizes_are_named() -> None:
    with pytest.raises(InvalidRequest, match="num_queries"):
        GenerationHead(kind="linear", output_length=6, **SIZES)
    with pytest.raises(InvalidRequest, match="unknown"):
        GenerationHead(kind="magic", **SIZES)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match=r"\[B, 4, 16\]"):
        GenerationHead(output_length=6, **SIZES)(torch.zeros(2, 5, 16))
