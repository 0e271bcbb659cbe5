"""The visual queries of the shapes model's head learn through its frozen decoder."""

from __future__ import annotations

import torch

from genllava import GenLlavaPipeline


def test_the_loss_reaches_the_visual_queries_through_a_frozen_unet(own_pipe: GenLlavaPipeline) -> None:
    parts = own_pipe.protocol
    parts.unet.requires_grad_(False)
    parts.llava.requires_grad_(False)
    head, language = parts.generation_head, parts.language
    assert head is not None
    ids = torch.tensor(
        [[language.id("<s>"), language.id("[T2I]"), language.id("[SOI]"), *[language.id("<query>")] * 4]]
    )
    embeds = parts.llava.get_input_embeddings()(ids)
    embeds = embeds.masked_scatter((ids == language.id("<query>"))[..., None], head.query_embeds)
    states = parts.llava.model.language_model(inputs_embeds=embeds).last_hidden_state[:, -4:]
    predicted = parts.unet(torch.randn(1, 8, 4, 4), 500, head(states)).sample
    predicted.square().mean().backward()
    assert head.query_embeds.grad is not None
    assert (head.query_embeds.grad.abs().sum(1) > 0).all()
    assert all(parameter.grad is None for parameter in parts.unet.parameters())
