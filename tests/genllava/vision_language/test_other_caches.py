"""Models that keep their past in another way: pictures by cross attention, layers that share keys."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as hf
from PIL import Image

from benchmarks.layouts import templates
from benchmarks.layouts.tokenizers import byte_level
from genllava.vision_language import VisionLanguage

TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "initializer_range": 0.3,
}


def speaker(model: Any, processor: Any, placeholder: str) -> VisionLanguage:
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and float(weight.std()) < 0.15:
                weight.normal_(0, 0.3)
            if "gate" in name and weight.dim() == 1:
                weight.fill_(1.0)
    processor.chat_template = templates.CHATML.replace("<image>", placeholder)
    model.generation_config = hf.GenerationConfig(eos_token_id=2, pad_token_id=0)
    return VisionLanguage(model.eval(), processor)


def mllama() -> VisionLanguage:
    """Llama 3.2 Vision: pictures by cross attention, layers between those of the text."""
    special = ["<pad>", "<|im_start|>", "<|im_end|>", "<bos>", "<|image|>"]
    words = byte_level(special, bos="<bos>", eos="<|im_end|>", pad="<pad>")
    words.image_token, words.image_token_id = "<|image|>", words.convert_tokens_to_ids("<|image|>")
    config = hf.MllamaConfig(
        text_config={
            **TEXT,
            "num_hidden_layers": 4,
            "cross_attention_layers": [1, 3],
            "vocab_size": len(words),
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
            "pad_token_id": 0,
            "bos_token_id": 3,
            "eos_token_id": 2,
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
            "intermediate_layers_indices": [0, 1],
            "vision_output_dim": 96,
            "max_num_tiles": 2,
            "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
        },
        image_token_index=words.image_token_id,
    )
    reader = hf.MllamaImageProcessor(size={"height": 28, "width": 28}, max_image_tiles=2)
    processor = hf.MllamaProcessor(image_processor=reader, tokenizer=words)
    torch.manual_seed(0)
    return speaker(hf.MllamaForConditionalGeneration(config), processor, "<|image|>")


def idefics() -> VisionLanguage:
    """IDEFICS: pictures by cross attention, which keeps nothing in the cache."""
    special = ["<pad>", "<|im_start|>", "<|im_end|>", "<bos>", "<image>", "<fake_token_around_image>"]
    words = byte_level(special, bos="<bos>", eos="<|im_end|>", pad="<pad>")
    config = hf.IdeficsConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=len(words),
        additional_vocab_size=0,
        alpha_initializer="ones",
        cross_layer_interval=1,
        use_resampler=False,
        vision_config={
            "embed_dim": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 28,
        },
    )
    processor = hf.IdeficsProcessor(image_processor=hf.IdeficsImageProcessor(image_size=28), tokenizer=words)
    torch.manual_seed(0)
    return speaker(hf.IdeficsForVisionText2Text(config), processor, "<image>")


def gemma4() -> VisionLanguage:
    """Gemma 4: the last two layers use the keys of earlier ones."""
    named = {"image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>", "audio_token": "<|audio|>"}
    named |= {"boa_token": "<|audio>", "eoa_token": "<audio|>", "video_token": "<|video|>"}
    words = byte_level(
        ["<pad>", "<|im_start|>", "<|im_end|>", "<bos>", *named.values()],
        bos="<bos>",
        eos="<|im_end|>",
        pad="<pad>",
        **named,
    )
    kinds = ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention", "full_attention"]
    config = hf.Gemma4Config(
        text_config={
            **TEXT,
            "num_hidden_layers": 5,
            "layer_types": kinds,
            "num_kv_shared_layers": 2,
            "sliding_window": 16,
            "head_dim": 8,
            "global_head_dim": 8,
            "num_global_key_value_heads": 2,
            "hidden_size_per_layer_input": 8,
            "vocab_size": len(words),
            "vocab_size_per_layer_input": len(words),
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
        },
        audio_config=None,
        image_token_id=words.convert_tokens_to_ids("<|image|>"),
    )
    processor = hf.Gemma4Processor(
        feature_extractor=hf.Gemma4AudioFeatureExtractor(),
        image_processor=hf.Gemma4ImageProcessor(),
        tokenizer=words,
        video_processor=hf.Gemma4VideoProcessor(),
    )
    torch.manual_seed(0)
    return speaker(hf.Gemma4ForConditionalGeneration(config), processor, "<|image|>")


@pytest.mark.parametrize("make", [mllama, idefics, gemma4])
def test_going_on_is_reading_afresh(make: Any, pictures: list[Image.Image]) -> None:
    model = make()
    cache = model.new_cache()
    image = {"type": "image", "image": pictures[0]}
    other = {"type": "image", "image": pictures[4]}
    talks = [[{"role": "user", "content": [i, {"type": "text", "text": "What?"}]}] for i in (image, other)]
    one, two = (model.chat(talk, max_new_tokens=8).raw for talk in talks)
    assert one != two, "the picture must matter"
    talk = talks[0]
    for question in ("and behind it?", "why?"):
        model.counters.reset()
        reply = model.chat(talk, max_new_tokens=6, cache=cache)
        read = model.counters.prefilled_tokens
        assert reply.raw == model.chat(talk, max_new_tokens=6).raw
        talk = [*talk, {"role": "assistant", "content": reply.text}, {"role": "user", "content": question}]
    assert (read < reply.prompt_tokens) == (make is gemma4)
