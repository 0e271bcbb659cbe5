"""How soon the first token of a turn comes, where nothing is done twice and where the whole history is done again.

Again is what serves a chat without keeping anything: every picture of the history goes through the vision tower, and
every token through the language model.

Two models are read, both random: one with few tokens in a turn, as the model that ships has, and of about 220 million
parameters in the proportions of Mistral 7B; and one layer of Mistral 7B in its own widths with the 576 tokens of a
picture that LLaVA-1.5 has, where a turn reads enough for linear layers to be as fast as they are on a whole history.
"""

from __future__ import annotations

import gc
import time
from contextlib import suppress
from statistics import median
from typing import Final

import torch
from PIL import Image
from transformers import LlavaConfig, LlavaForConditionalGeneration, MistralConfig, SiglipVisionConfig

from genllava import Cancelled, GenLlavaPipeline
from genllava.protocols.shapes import layout
from genllava.protocols.shapes.conversation import Conversation

TURN: Final = 10
ROUNDS: Final = 3
_MODELS: Final = {
    "few_tokens": (
        {
            "hidden_size": 1024,
            "intermediate_size": 3584,
            "num_hidden_layers": 16,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
        },
        20,
    ),
    "mistral_7b_layer": (
        {
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 1,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
        },
        5,
    ),
}
"""Widths of the language model, and pixels of a side of the vision tower's patches."""
_TEXT: Final = (
    "make the large circle at the top left green and the small star in the middle yellow, then put a small blue square "
    "to the right of it, and tell me how many shapes there are in the picture now"
)


def measure() -> dict[str, object]:
    """Seconds to the first token of turn 10, both ways, and the ratio beside that of the tokens to be read."""
    return {name: _measured(text, patch_size) for name, (text, patch_size) in _MODELS.items()}


def _measured(text: dict[str, int], patch_size: int) -> dict[str, object]:
    pipeline = GenLlavaPipeline.from_pretrained()
    pipeline.register_modules(vlm=_other(pipeline.vlm, text, patch_size))  # type: ignore[no-untyped-call]
    language = pipeline.protocol.language
    ids = [token for turn in range(1, TURN) for token in _turn_ids(pipeline, turn)]
    pictures = [_picture(turn) for turn in range(1, TURN)]
    reused, again = [], []
    for _ in range(ROUNDS):
        gc.collect()
        chat = pipeline.conversation()
        chat.replay(ids, pictures)
        chat.next_action(["[I2T]"])  # the history is in the cache, and nothing after it, as between two turns
        reused.append(_first_token(chat))
        chat.release()
        gc.collect()
        began = time.perf_counter()
        chat = pipeline.conversation()
        chat.replay(ids, pictures)
        shown = time.perf_counter() - began
        seconds, length = _first_token(chat)
        again.append((shown + seconds, length))
        chat.release()
    read = len(ids)
    new = reused[0][1] - read
    soon, late = (median(seconds for seconds, _ in times) for times in (reused, again))
    ratio, tokens = late / soon, (read + new) / new
    return {
        "parameters": sum(p.numel() for p in language.llava.model.language_model.parameters()),
        "tokens_of_history": read,
        "tokens_new": new,
        "reused_s": round(soon, 4),
        "again_s": round(late, 4),
        "ratio": round(ratio, 2),
        "token_ratio": round(tokens, 2),
        "share": round(ratio / tokens, 3),
    }


def _first_token(chat: Conversation) -> tuple[float, int]:
    """(seconds until the last turn could be answered, how many tokens there were before it); it is taken back."""
    began, came = time.perf_counter(), (0.0, 0)

    def stop() -> bool:  # asked once everything is read, before a token is taken
        nonlocal came
        came = time.perf_counter() - began, len(chat)
        return True

    with suppress(Cancelled):
        chat.add_user(_TEXT, _picture(TURN), cancel=stop)
    return came


def _turn_ids(pipeline: GenLlavaPipeline, number: int) -> list[int]:
    language = pipeline.protocol.language
    noted = f"{layout.picture_prefix(number)} at the top left a large red circle, on white"
    size, said = language.tokens_per_image, "There are three shapes."
    return layout.exchange(language.tokenizer, _TEXT, [number], size, noted, said)


def _picture(number: int) -> Image.Image:
    return Image.effect_noise((128, 128), 20 + number).convert("RGB")


def _other(
    llava: LlavaForConditionalGeneration, text: dict[str, int], patch_size: int
) -> LlavaForConditionalGeneration:
    """A random model that takes the place of `llava`."""
    config = LlavaConfig(
        vision_config=SiglipVisionConfig(**{**llava.config.vision_config.to_dict(), "patch_size": patch_size}),
        text_config=MistralConfig(
            vocab_size=llava.config.text_config.vocab_size,
            max_position_embeddings=8192,
            sliding_window=None,
            **text,
        ),
        image_token_id=llava.config.image_token_id,
        vision_feature_layer=llava.config.vision_feature_layer,
        vision_feature_select_strategy=llava.config.vision_feature_select_strategy,
        projector_hidden_act=llava.config.projector_hidden_act,
    )
    torch.manual_seed(0)
    return LlavaForConditionalGeneration(config).eval()
