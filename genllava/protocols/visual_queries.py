"""The head's path: the language model reads visual queries, the generation head makes prompt embeddings of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from genllava.errors import InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.image_decoder import PromptEmbeds
from genllava.vision_language import VisionLanguage

Conversation = Sequence[dict[str, Any]]
"""Messages as chat templates take them."""


def head_embeds(
    vision_language: VisionLanguage,
    head: GenerationHead | None,
    conversations: Sequence[Conversation],
    prefixes: Sequence[str],
    negative: tuple[Conversation, str] | None = None,
) -> PromptEmbeds:
    """Prompt embeddings of B conversations.

    Args:
        prefixes: the assistant's words before the queries, one per conversation.
        negative: what a picture should not show, as a conversation with its prefix; by default an empty prompt is
            guidance's unconditional branch.

    Raises:
        InvalidRequest: there is no generation head.
    """
    if head is None:
        raise InvalidRequest("this pipeline has no generation head, which bridge='head' needs: use bridge='caption'")
    layers, names = tuple(head.config["layers"]), head.query_names
    rows = [
        vision_language.query_states(list(messages), prefix, names, layers=layers)
        for messages, prefix in zip(conversations, prefixes, strict=True)
    ]
    made = [head.condition(states.to(head.device, head.dtype)) for states in rows]
    embeds = torch.cat([each for each, _ in made])
    pooled = None if head.config["pooled_dim"] is None else torch.cat([each for _, each in made if each is not None])
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
