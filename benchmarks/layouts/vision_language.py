"""Vision-language checkpoints in the layouts of public ones: random weights, a few kilobytes to a few megabytes.

Their weights are drawn wide, so that the likeliest token leads by far and small differences of rounding change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
import transformers as hf

from benchmarks.layouts import templates
from benchmarks.layouts.tokenizers import byte_level, sentence_piece

_WIDE: Final = 0.3
_TEXT: Final = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": _WIDE,
    "max_position_embeddings": 4096,
}
_VISION: Final = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": _WIDE,
}
_QWEN_VISION: Final = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "out_hidden_size": 32,
    "initializer_range": _WIDE,
}
_CHATML: Final = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def save(folder: Path, model: Any, processor: Any, template: str, **generation: Any) -> None:
    """Write a checkpoint as the libraries do: weights, config, generation config, processor, chat template."""
    torch.manual_seed(0)
    processor.chat_template = template
    model.generation_config = hf.GenerationConfig(
        bos_token_id=processor.tokenizer.bos_token_id,
        pad_token_id=processor.tokenizer.pad_token_id,
        **{"eos_token_id": processor.tokenizer.eos_token_id, **generation},
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _seeded(make: Callable[[], Any]) -> Any:
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        for weight in model.parameters():  # some classes draw parts narrower than their config says, or leave zeros
            if weight.dim() > 1 and float(weight.std()) < _WIDE / 2:
                weight.normal_(0, _WIDE)
    return model


def _llava(folder: Path, text: Any, tokenizer: Any, template: str, siglip: bool = False, **generation: Any) -> None:
    """LLaVA 1.5: one square picture through a tower, a projector of two layers, any decoder."""
    vision: Any = {**_VISION, "image_size": 32, "patch_size": 16}
    size = {"height": 32, "width": 32}
    if siglip:
        reader = hf.SiglipImageProcessor(size=size)
    else:
        reader = hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size)
    processor = hf.LlavaProcessor(
        image_processor=reader,
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="full" if siglip else "default",
        num_additional_image_tokens=0 if siglip else 1,
    )
    config = hf.LlavaConfig(
        vision_config=hf.SiglipVisionConfig(**vision, vision_use_head=False)
        if siglip
        else hf.CLIPVisionConfig(**vision),
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full" if siglip else "default",
        vision_feature_layer=-1 if siglip else -2,
    )
    save(folder, _seeded(lambda: hf.LlavaForConditionalGeneration(config)), processor, template, **generation)


def _llama_words() -> Any:
    return sentence_piece(
        ["<unk>", "<s>", "</s>", "<image>", "<pad>"], bos="<s>", eos="</s>", pad="<pad>", image_token="<image>"
    )


def llava_of(folder: Path, words: Any, template: str) -> None:
    """LLaVA 1.5 with CLIP and Llama, and with any tokenizer and chat template."""
    _llava(folder, hf.LlamaConfig(**_TEXT, vocab_size=len(words)), words, template)


def llava15(folder: Path) -> None:
    """LLaVA 1.5: CLIP and Llama 2."""
    llava_of(folder, _llama_words(), templates.LLAVA)


def llava_siglip_mistral(folder: Path) -> None:
    """SigLIP and Mistral, ended by `</s>`, without a padding token of its own."""
    words = sentence_piece(["<unk>", "<s>", "</s>", "<image>"], bos="<s>", eos="</s>", image_token="<image>")
    text = hf.MistralConfig(**_TEXT, vocab_size=len(words), sliding_window=None)
    _llava(folder, text, words, templates.LLAVA, siglip=True)


def llava_sliding(folder: Path) -> None:
    """CLIP and a Mistral that attends to its last 24 tokens only."""
    words = _llama_words()
    text = hf.MistralConfig(**_TEXT, vocab_size=len(words), sliding_window=24)
    _llava(folder, text, words, templates.LLAVA)


def llava_inst(folder: Path) -> None:
    """A chat template that writes `[INST]` as plain text."""
    llava_of(folder, _llama_words(), templates.INST)


def llava_chatml(folder: Path) -> None:
    """ChatML, and several tokens that end an answer; one of them is no special token."""
    words = byte_level([*_CHATML, "<image>"], eos="<|im_end|>", pad="<|endoftext|>", image_token="<image>")
    text = hf.LlamaConfig(**_TEXT, vocab_size=len(words))
    ends = [words.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>", "!")]
    _llava(folder, text, words, templates.CHATML, eos_token_id=ends)


def llava_next(folder: Path) -> None:
    """LLaVA-NeXT: a picture is read whole and in tiles."""
    words = _llama_words()
    size = {"height": 32, "width": 32}
    grids = [[32, 64], [64, 32], [64, 64], [96, 32], [32, 96]]
    reader = hf.LlavaNextImageProcessor(size={"shortest_edge": 32}, crop_size=size, image_grid_pinpoints=grids)
    processor = hf.LlavaNextProcessor(
        image_processor=reader,
        tokenizer=words,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    config = hf.LlavaNextConfig(
        vision_config=hf.CLIPVisionConfig(**_VISION, image_size=32, patch_size=16),
        text_config=hf.MistralConfig(**_TEXT, vocab_size=len(words), sliding_window=None),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grids,
    )
    save(folder, _seeded(lambda: hf.LlavaNextForConditionalGeneration(config)), processor, templates.INST)


def llava_onevision(folder: Path) -> None:
    """LLaVA-OneVision: one picture is read in tiles, several are read whole."""
    words = byte_level(
        [*_CHATML, "<image>", "<video>"],
        eos="<|im_end|>",
        pad="<|endoftext|>",
        image_token="<image>",
        video_token="<video>",
    )
    size = {"height": 32, "width": 32}
    grids = [[32, 32], [32, 64], [64, 32], [64, 64]]
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=grids),
        tokenizer=words,
        video_processor=hf.LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=4,
        vision_feature_select_strategy="full",
    )
    config = hf.LlavaOnevisionConfig(
        vision_config=hf.SiglipVisionConfig(**_VISION, image_size=32, patch_size=16, vision_use_head=False),
        text_config=hf.Qwen2Config(**_TEXT, vocab_size=len(words)),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grids,
    )
    save(folder, _seeded(lambda: hf.LlavaOnevisionForConditionalGeneration(config)), processor, templates.CHATML)


def _qwen_words() -> Any:
    special = [*_CHATML, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    calls = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
    return byte_level(special, eos="<|im_end|>", pad="<|endoftext|>", plain=calls)


def _qwen_ids(words: Any) -> dict[str, int]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {name: words.convert_tokens_to_ids(token) for name, token in names.items()}


def qwen25_vl(folder: Path) -> None:
    """Qwen2.5-VL: pictures at their own size, positions in three dimensions, window attention in the tower."""
    words = _qwen_words()
    size = {"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 24}
    processor = hf.Qwen2_5_VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(size=size), tokenizer=words, video_processor=hf.Qwen2VLVideoProcessor()
    )
    config = hf.Qwen2_5_VLConfig(
        text_config={
            **{k: v for k, v in _TEXT.items() if k != "head_dim"},
            "vocab_size": len(words),
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
        },
        vision_config={**_QWEN_VISION, "window_size": 56, "fullatt_block_indexes": [1]},
        **_qwen_ids(words),
    )
    ends = [words.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")]
    model = _seeded(lambda: hf.Qwen2_5_VLForConditionalGeneration(config))
    save(folder, model, processor, templates.QWEN_VL, eos_token_id=ends)


def _qwen3_reader(words: Any) -> Any:
    size = {"shortest_edge": 32 * 32, "longest_edge": 32 * 32 * 24}
    reader = hf.Qwen2VLImageProcessor(size=size, patch_size=16, merge_size=2)
    return hf.Qwen3VLProcessor(image_processor=reader, tokenizer=words, video_processor=hf.Qwen3VLVideoProcessor())


def _qwen3_text(words: Any, **more: Any) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    return {**_TEXT, "vocab_size": len(words), "rope_parameters": rope, **more}


def qwen3_vl(folder: Path) -> None:
    """Qwen3-VL: interleaved positions in three dimensions, states of the tower in several layers."""
    words = _qwen_words()
    vision = {**_QWEN_VISION, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    config = hf.Qwen3VLConfig(text_config=_qwen3_text(words), vision_config=vision, **_qwen_ids(words))
    ends = [words.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")]
    model = _seeded(lambda: hf.Qwen3VLForConditionalGeneration(config))
    save(folder, model, _qwen3_reader(words), templates.QWEN_VL, eos_token_id=ends)


def qwen35(folder: Path) -> None:
    """Qwen3.5: linear attention in most layers, whose cache cannot be cut back."""
    words = _qwen_words()
    linear: dict[str, Any] = {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2}
    kinds = ["linear_attention", "full_attention", "full_attention"]
    linear |= {"linear_num_value_heads": 4, "layer_types": kinds, "num_hidden_layers": 3}
    vision = {**_QWEN_VISION, "num_position_embeddings": 64}
    config = hf.Qwen3_5Config(text_config=_qwen3_text(words, **linear), vision_config=vision, **_qwen_ids(words))
    ends = [words.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")]
    model = _seeded(lambda: hf.Qwen3_5ForConditionalGeneration(config))
    save(folder, model, _qwen3_reader(words), templates.QWEN_VL, eos_token_id=ends)


def _idefics_words() -> Any:
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    named = {
        "image_token": "<image>",
        "fake_image_token": "<fake_token_around_image>",
        "global_image_token": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>",
    }
    special = ["<|endoftext|>", "<|im_start|>", *named.values(), *tiles]
    return byte_level(special, bos="<|im_start|>", eos="<end_of_utterance>", pad="<|endoftext|>", size=400, **named)


def _idefics(folder: Path, kind: str) -> None:
    words = _idefics_words()
    reader = getattr(hf, f"{kind}ImageProcessor")(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    more = {}
    if kind == "SmolVLM":
        size = {"longest_edge": 32}
        more["video_processor"] = hf.SmolVLMVideoProcessor(
            size=size, max_image_size=size, video_sampling={"fps": 1, "max_frames": 4, "video_size": size}
        )
    processor = getattr(hf, f"{kind}Processor")(image_processor=reader, tokenizer=words, image_seq_len=4, **more)
    config = getattr(hf, f"{kind}Config")(
        vision_config={**_VISION, "image_size": 32, "patch_size": 8},
        text_config=hf.LlamaConfig(**_TEXT, vocab_size=len(words), pad_token_id=0),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    model = _seeded(lambda: getattr(hf, f"{kind}ForConditionalGeneration")(config))
    save(folder, model, processor, templates.SMOL)


def smolvlm(folder: Path) -> None:
    """SmolVLM: a picture is read in rows and columns of tiles and whole."""
    _idefics(folder, "SmolVLM")


def idefics3(folder: Path) -> None:
    """Idefics 3."""
    _idefics(folder, "Idefics3")


def _mistral_words() -> Any:
    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"]
    special += ["[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[ARGS]", "[IMG]", "<pad>", "[IMG_BREAK]"]
    special += ["[IMG_END]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
    return byte_level(special, bos="<s>", eos="</s>", pad="<pad>", begins=True, size=380)


def _pixtral_vision() -> Any:
    return hf.PixtralVisionConfig(**{**_VISION, "num_attention_heads": 4}, image_size=128, patch_size=16)


def pixtral(folder: Path) -> None:
    """Pixtral in transformers' layout: a LLaVA whose tower reads pictures at their own size."""
    words = _mistral_words()
    reader = hf.PixtralImageProcessor(size={"longest_edge": 96}, patch_size={"height": 16, "width": 16})
    processor = hf.PixtralProcessor(image_processor=reader, tokenizer=words, patch_size=16)
    config = hf.LlavaConfig(
        vision_config=_pixtral_vision(),
        text_config=hf.MistralConfig(**_TEXT, vocab_size=len(words), sliding_window=None),
        image_token_index=words.convert_tokens_to_ids("[IMG]"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    save(folder, _seeded(lambda: hf.LlavaForConditionalGeneration(config)), processor, templates.MISTRAL)


def mistral3(folder: Path) -> None:
    """Mistral 3: Pixtral's tower, its patches merged by two."""
    words = _mistral_words()
    reader = hf.PixtralImageProcessor(size={"longest_edge": 128}, patch_size={"height": 16, "width": 16})
    processor = hf.PixtralProcessor(image_processor=reader, tokenizer=words, patch_size=16, spatial_merge_size=2)
    config = hf.Mistral3Config(
        vision_config=_pixtral_vision(),
        text_config=hf.MistralConfig(**_TEXT, vocab_size=len(words), sliding_window=None),
        image_token_index=words.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
        tie_word_embeddings=False,
    )
    save(folder, _seeded(lambda: hf.Mistral3ForConditionalGeneration(config)), processor, templates.MISTRAL)


def gemma3(folder: Path) -> None:
    """Gemma 3: a picture's tokens see each other, layers with a sliding window of 16 between full ones."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    named = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    words = byte_level(
        [*special, *named.values()], bos="<bos>", eos="<eos>", pad="<pad>", begins=True, size=380, **named
    )
    reader = hf.Gemma3ImageProcessor(size={"height": 32, "width": 32})
    processor = hf.Gemma3Processor(image_processor=reader, tokenizer=words, image_seq_length=4)
    config = hf.Gemma3Config(
        text_config={
            **_TEXT,
            "num_hidden_layers": 3,
            "vocab_size": len(words),
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 8,
        },
        vision_config=hf.SiglipVisionConfig(**_VISION, image_size=32, patch_size=8, vision_use_head=False),
        mm_tokens_per_image=4,
        boi_token_index=words.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=words.convert_tokens_to_ids("<end_of_image>"),
        image_token_index=words.convert_tokens_to_ids("<image_soft_token>"),
    )
    ends = [words.convert_tokens_to_ids(token) for token in ("<eos>", "<end_of_turn>")]
    model = _seeded(lambda: hf.Gemma3ForConditionalGeneration(config))
    with torch.no_grad():  # embeddings are tied and scaled up: as wide as the rest, each token would only repeat itself
        model.get_input_embeddings().weight.mul_(0.1)
    save(folder, model, processor, templates.GEMMA, eos_token_id=ends)


def internvl(folder: Path) -> None:
    """InternVL 3: a picture in up to four tiles and a thumbnail, on Qwen 2.5."""
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    words = byte_level([*_CHATML, *named.values()], eos="<|im_end|>", pad="<|endoftext|>", **named)
    size = {"height": 32, "width": 32}
    reader = hf.GotOcr2ImageProcessor(size=size, crop_to_patches=True, min_patches=1, max_patches=4)
    processor = hf.InternVLProcessor(
        image_processor=reader,
        tokenizer=words,
        video_processor=hf.InternVLVideoProcessor(size=size),
        image_seq_length=4,
    )
    vision = {**_VISION, "image_size": [32, 32], "patch_size": [8, 8], "layer_scale_init_value": 1.0}
    config = hf.InternVLConfig(
        vision_config=hf.InternVLVisionConfig(**vision),
        text_config=hf.Qwen2Config(**_TEXT, vocab_size=len(words)),
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    save(folder, _seeded(lambda: hf.InternVLForConditionalGeneration(config)), processor, templates.INTERNVL)


LAYOUTS: Final[dict[str, Callable[[Path], None]]] = {
    "llava15": llava15,
    "llava_siglip_mistral": llava_siglip_mistral,
    "llava_sliding": llava_sliding,
    "llava_inst": llava_inst,
    "llava_chatml": llava_chatml,
    "llava_next": llava_next,
    "llava_onevision": llava_onevision,
    "qwen25_vl": qwen25_vl,
    "qwen3_vl": qwen3_vl,
    "qwen35": qwen35,
    "smolvlm": smolvlm,
    "idefics3": idefics3,
    "pixtral": pixtral,
    "mistral3": mistral3,
    "gemma3": gemma3,
    "internvl": internvl,
}
"""Writes a checkpoint into a folder, by name of the layout."""
