"""The head's path: the language model reads visual queries, the generation head makes prompt embeddings of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from genllava.errors import CheckpointError, InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.image_decoder import ImageDecoder, PromptEmbeds
from genllava.vision_language import PrefixCache, VisionLanguage

Conversation = Sequence[dict[str, Any]]
"""Messages as chat templates take them."""


def fit_head(head: GenerationHead, vision_language: VisionLanguage, decoder: ImageDecoder | None) -> None:
    """Give a language model the queries of a generation head, and see that the head fits on both sides.

    Raises:
        CheckpointError: it does not.
    """
    if decoder is None:
        raise CheckpointError("a generation head needs an image decoder: give decoder=")
    if not head.config["query_tokens"]:
        raise CheckpointError("this generation head has queries of its own: make it with query_tokens=True")
    reads = vision_language.hidden_size * len(head.config["layers"])
    if head.config["input_dim"] != reads:
        raise CheckpointError(
            f"the generation head reads {head.config['input_dim']} dimensions, the language model gives {reads}: make "
            f"it with input_dim={reads}"
        )
    spec = decoder.spec
    length, *made = head.config["output_length"], head.config["output_dim"], head.config["pooled_dim"]
    if made != [spec.dim, spec.pooled_dim] or (length > spec.length and not spec.variable_length):
        raise CheckpointError(
            f"the generation head makes {length} prompt embeddings of {made[0]} dimensions with {made[1]} pooled ones, "
            f"and the decoder takes {spec.length} of {spec.dim} with {spec.pooled_dim}: make it with "
            f"output_length={spec.length}, output_dim={spec.dim}, pooled_dim={spec.pooled_dim}"
        )
    vision_language.add_tokens(head.query_names)
    if head.config["residual"] and not bool(head.null_embeds.any()):  # a new one begins at the decoder's empty prompt
        embeds, pooled = decoder.encode_nothing()
        rows = min(length, embeds.shape[1])
        with torch.no_grad():
            head.null_embeds[:, :rows] = embeds[:, :rows].to(head.null_embeds)
            if pooled is not None:
                head.null_pooled.copy_(pooled)


def head_embeds(
    vision_language: VisionLanguage,
    head: GenerationHead | None,
    conversations: Sequence[Conversation],
    prefixes: Sequence[str],
    negative: tuple[Conversation, str] | None = None,
    cache: PrefixCache | None = None,
) -> PromptEmbeds:
    """Prompt embeddings of B conversations.

    Args:
        prefixes: the assistant's words before the queries, one per conversation.
        negative: what a picture should not show, as a conversation with its prefix; by default an empty prompt is
            guidance's unconditional branch.
        cache: of the conversation, if it is a single one.

    Raises:
        InvalidRequest: there is no generation head.
    """
    if head is None:
        raise InvalidRequest("this pipeline has no generation head, which bridge='head' needs: use bridge='caption'")
    layers, names = tuple(head.config["layers"]), head.query_names
    rows = [
        vision_language.query_states(list(messages), prefix, names, layers=layers, cache=cache)
        for messages, prefix in zip(conversations, prefixes, strict=True)
    ]
    made = [head.condition(states.to(head.device, head.dtype)) for states in rows]
    embeds = torch.cat([each for each, _ in made])
    with_pooled = [each for _, each in made if each is not None]
    pooled = torch.cat(with_pooled) if with_pooled else None
    if negative is None:
        null, null_pooled = head.null_embeds, None if pooled is None else head.null_pooled
    else:
        states = vision_language.query_states(list(negative[0]), negative[1], names, layers=layers)
        null, null_pooled = head.condition(states.to(head.device, head.dtype))
    return PromptEmbeds(
        embeds,
        pooled,
        negative_embeds=null.expand_as(embeds),
        negative_pooled=None if pooled is None or null_pooled is None else null_pooled.expand_as(pooled),
    )
