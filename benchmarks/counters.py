"""Work per turn of a conversation, by the pipeline's own counters: nothing is read, seen or encoded twice."""

from __future__ import annotations

from genllava import GenLlavaPipeline
from genllava_finetune.worlds.shapes.suites import build_suite

CONVERSATIONS = 10


def measure(pipeline: GenLlavaPipeline) -> dict[str, float]:
    """Over conversations of four and five turns of the development split.

    Returns:
        most_extra_prefilled_tokens: tokens that a turn reads beyond the new ones; at most 1.
        aside_tokens_per_turn: tokens read beside the conversation, to know what edits keep.
        encodes_per_picture: runs of the vision tower for each picture that entered; 1.
        vae_encodes_of_own_pictures: 0.
    """
    pictures = encodes = aside = 0
    extra: list[int] = []
    for case in build_suite("conversation/turns", "dev", CONVERSATIONS):
        conversation = pipeline.conversation()
        for turn, shown in zip(case.dialogue.turns, case.pictures, strict=True):
            pipeline.counters.reset()
            before = len(conversation.ids)
            conversation.ask(turn.user, list(shown), seed=case.seed)
            new = len(conversation.ids) - before - pipeline.counters.decoded_tokens
            extra.append(pipeline.counters.prefilled_tokens - new)
            encodes += pipeline.counters.image_encodes
            aside += pipeline.counters.aside_tokens
        pictures += len({picture.image.tobytes() for picture in conversation.pictures})
    return {
        "turns": len(extra),
        "most_extra_prefilled_tokens": max(extra),
        "aside_tokens_per_turn": round(aside / len(extra), 1),
        "encodes_per_picture": encodes / pictures,
        "vae_encodes_of_own_pictures": own_picture_encodes(pipeline),
    }


def own_picture_encodes(pipeline: GenLlavaPipeline) -> int:
    """VAE encodes of a chain of edits that starts from a picture of ours."""
    drawing = pipeline.generate("a red circle", plan="a large red circle at the center, on white", seed=0)
    pipeline.counters.reset()
    for plan in ("a large blue circle at the center, on white", "a large blue circle at the center, on black"):
        drawing = pipeline.edit(drawing, "change it", plan=plan, seed=0)
    return pipeline.counters.vae_encodes
