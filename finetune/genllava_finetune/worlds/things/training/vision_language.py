"""The small vision-language model before training: Idefics3 with a SigLIP tower and a Mistral language model."""

from __future__ import annotations

from typing import Any, Final

from genllava_finetune.worlds.things.pictures.render import CANVAS
from genllava_finetune.worlds.things.training.tokenizer import (
    ASSISTANT,
    END,
    IMAGE,
    USER,
    read_tokenizer,
    train_tokenizer,
)

PATCH: Final = CANVAS // 12
"""Pixels of a patch: sixteen of them are a cell of a picture, and become one token of the language model."""
TOKENS: Final = 9
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}{% if message['role'] == 'user' %}" + USER
    + "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for block in message['content'] %}"
    "{% if block['type'] == 'image' %}" + IMAGE + "{% else %}{{ block['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{% else %}" + ASSISTANT + "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for block in message['content'] %}{{ block['text'] }}{% endfor %}{% endif %}" + END + "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}" + ASSISTANT + "{% endif %}"
)  # fmt: skip


def vision_language(
    hidden_size: int = 256, layers: int = 6, intermediate_size: int = 704, tower_size: int = 192, tower_layers: int = 4,
    seed: int = 0, tokenizer: str | None = None,
) -> tuple[Any, Any]:
    """A random model and its processor; its tokenizer is learnt from conversations.

    Args:
        hidden_size, layers, intermediate_size: of the language model.
        tower_size, tower_layers: width and layers of the vision tower.
        seed: of the tokenizer's conversations.
        tokenizer: a `tokenizer.json`, to go on from weights that were trained with it.
    """
    import transformers as hf

    words = train_tokenizer(seed) if tokenizer is None else read_tokenizer(tokenizer)
    text = hf.MistralConfig(
        vocab_size=len(words) + 64,  # the tokens of the protocol come after
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=hidden_size // 64,
        num_key_value_heads=max(hidden_size // 128, 1),
        head_dim=64,
        max_position_embeddings=4096,
        sliding_window=None,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    vision: Any = {
        "hidden_size": tower_size,
        "intermediate_size": 4 * tower_size,
        "num_hidden_layers": tower_layers,
        "num_attention_heads": tower_size // 64,
        "image_size": CANVAS,
        "patch_size": PATCH,
    }
    configure: Any = hf.Idefics3Config
    config = configure(
        vision_config=vision,
        text_config=text,
        scale_factor=CANVAS // PATCH // 3,
        image_token_id=words.convert_tokens_to_ids(IMAGE),
        pad_token_id=words.pad_token_id,
        tie_word_embeddings=True,
    )
    model: Any = hf.Idefics3ForConditionalGeneration(config)
    begin_patches(model.model.vision_model.embeddings.patch_embedding)
    generation: Any = hf.GenerationConfig
    model.generation_config = generation(
        bos_token_id=None, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id
    )
    side = {"longest_edge": CANVAS}
    images = hf.Idefics3ImageProcessor(do_image_splitting=False, size=side, max_image_size=side)
    processor = hf.Idefics3Processor(images, words, image_seq_len=TOKENS, chat_template=CHAT_TEMPLATE)
    return model.eval(), processor



def begin_patches(layer: Any, seed: int = 0) -> None:
    """Have a tower begin with the principal components of patches, each of about unit spread, and no random projection.

    Args:
        layer: the convolution [D, 3, P, P] that reads patches.
    """
    import torch

    from genllava_finetune.worlds.things.training.decoder import autoencoder

    found: Any = autoencoder(layer.out_channels, seed, PATCH).encoder
    with torch.no_grad():
        layer.weight.copy_(found.weight)
        layer.bias.copy_(found.bias)
