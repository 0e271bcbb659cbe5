"""Small random checkpoints of the layouts of public models, as the libraries' own classes save them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import sentencepiece
import torch
import transformers as t

WORDS: Final = ("a", "photo", "of", "this", "is", "cat", "dog", "cup", "face", "red", "blue", "coffee", "person", "the")
_CLIP: Final = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}

_WIDE: Final = 0.4
"""Spread of weights with which words depend on the picture."""


def save(kind: str, folder: Path, seed: int = 0) -> Path:
    """Write a checkpoint: one of `KINDS`."""
    torch.manual_seed(seed)
    model, processor = KINDS[kind]()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _clip_tokenizer(longest: int = 77) -> t.CLIPTokenizer:
    letters = [*"abcdefghijklmnopqrstuvwxyz.,!'0123456789"]
    tokens = ["!", *letters, *(f"{letter}</w>" for letter in letters), *(f"{word}</w>" for word in WORDS[1:])]
    vocab = {token: place for place, token in enumerate(dict.fromkeys([*tokens, "<|startoftext|>", "<|endoftext|>"]))}
    return t.CLIPTokenizer(vocab=vocab, merges=[], pad_token="!", model_max_length=longest)


def _bert_tokenizer() -> t.BertTokenizer:
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", *WORDS, *letters, *(f"##{x}" for x in letters)]
    vocab = {token: place for place, token in enumerate(dict.fromkeys(tokens))}
    return t.BertTokenizer(vocab=vocab, model_max_length=512)


def _siglip_tokenizer() -> t.SiglipTokenizer:
    trained = io.BytesIO()
    text = [" ".join(WORDS), "this is a photo of a cat.", "the quick brown fox jumps over the lazy dog"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=trained, vocab_size=60, hard_vocab_limit=False, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    with tempfile.NamedTemporaryFile(suffix=".model", delete=False) as file:  # read again when it is saved
        file.write(trained.getvalue())
    return t.SiglipTokenizer(file.name)


def owl(version: int) -> tuple[Any, Any]:
    tokenizer = _clip_tokenizer(16)
    kind, size = ("Owlv2", 64) if version == 2 else ("OwlViT", 64)
    config = getattr(t, f"{kind}Config")(
        text_config={
            **_CLIP, "vocab_size": len(tokenizer), "max_position_embeddings": 16, "pad_token_id": 0,
            "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={**_CLIP, "image_size": size, "patch_size": 16},
        projection_dim=32,
    )  # fmt: skip
    model = getattr(t, f"{kind}ForObjectDetection")(config)
    torch.nn.init.constant_(model.layer_norm.weight, 0.02)  # else boxes have no area
    torch.nn.init.constant_(model.class_head.logit_scale.bias, 5.0)  # so that scores are spread from 0 to 1
    square = {"height": size, "width": size}
    return model, getattr(t, f"{kind}Processor")(getattr(t, f"{kind}ImageProcessor")(size=square), tokenizer)


def grounding_dino() -> tuple[Any, Any]:
    tokenizer = _bert_tokenizer()
    config = t.GroundingDinoConfig(
        backbone_config=t.SwinConfig(
            image_size=64, patch_size=4, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=t.BertConfig(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        ),
        d_model=32, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=32, decoder_ffn_dim=32, num_queries=20,
        encoder_attention_heads=2, decoder_attention_heads=2, disable_custom_kernels=True,
    )  # fmt: skip
    images = t.GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    return t.GroundingDinoForObjectDetection(config), t.GroundingDinoProcessor(images, tokenizer)


def siglip() -> tuple[Any, Any]:
    tokenizer = _siglip_tokenizer()
    config = t.SiglipConfig(
        text_config={**_CLIP, "vocab_size": len(tokenizer), "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1},
        vision_config={**_CLIP, "image_size": 32, "patch_size": 8},
    )  # fmt: skip
    images = t.SiglipImageProcessor(size={"height": 32, "width": 32})
    return t.SiglipModel(config), t.SiglipProcessor(images, tokenizer)


def clip() -> tuple[Any, Any]:
    tokenizer = _clip_tokenizer()
    config = t.CLIPConfig(
        text_config={
            **_CLIP, "vocab_size": len(tokenizer), "pad_token_id": 0,
            "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={**_CLIP, "image_size": 32, "patch_size": 8},
        projection_dim=32,
    )  # fmt: skip
    images = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return t.CLIPModel(config), t.CLIPProcessor(images, tokenizer)


def blip() -> tuple[Any, Any]:
    tokenizer = _bert_tokenizer()  # which does not know the token that begins captions, as the public one
    config = t.BlipConfig(
        text_config={
            **_CLIP, "vocab_size": len(tokenizer) + 2, "encoder_hidden_size": 32, "projection_dim": 32,
            "bos_token_id": len(tokenizer), "eos_token_id": 2, "pad_token_id": 0,
            "sep_token_id": 3, "max_position_embeddings": 128, "initializer_range": _WIDE,
        },
        vision_config={**_CLIP, "image_size": 32, "patch_size": 8, "initializer_range": _WIDE},
        projection_dim=32, image_text_hidden_size=32, initializer_range=_WIDE,
    )  # fmt: skip
    images = t.BlipImageProcessor(size={"height": 32, "width": 32})
    return t.BlipForConditionalGeneration(config), t.BlipProcessor(images, tokenizer)


def git() -> tuple[Any, Any]:
    tokenizer = _bert_tokenizer()
    vision = {**_CLIP, "image_size": 32, "patch_size": 8}
    config = t.GitConfig(
        vision_config=vision, vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=128, bos_token_id=2, eos_token_id=3, pad_token_id=0,
        initializer_range=_WIDE,
    )  # fmt: skip
    images = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return t.GitForCausalLM(config), t.GitProcessor(images, tokenizer)


def _sam2_parts(**vision: Any) -> dict[str, Any]:
    backbone = t.Sam2HieraDetConfig(
        hidden_size=16, num_attention_heads=1, image_size=[128, 128], blocks_per_stage=[1, 2, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128], num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 8, 4], global_attention_blocks=[4],
        window_positional_embedding_background_size=[7, 7],
    )  # fmt: skip
    return {
        "vision_config": t.Sam2VisionConfig(
            backbone_config=backbone, backbone_channel_list=[128, 64, 32, 16], fpn_hidden_size=32,
            backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        ),
        "prompt_encoder_config": {"hidden_size": 32, "image_size": 128, "patch_size": 16},
        "mask_decoder_config": {
            "hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32,
        },
    }  # fmt: skip


def sam2() -> tuple[Any, Any]:
    size = {"height": 128, "width": 128}
    processor = t.Sam2Processor(t.Sam2ImageProcessor(size=size, mask_size={"height": 32, "width": 32}))
    return t.Sam2Model(t.Sam2Config(**_sam2_parts())), processor


def sam2_video() -> tuple[Any, Any]:
    """As the public checkpoints of SAM 2 are: saved with the memory that follows objects through films."""
    size = {"height": 128, "width": 128}
    config = t.Sam2VideoConfig(
        **_sam2_parts(), image_size=128, memory_attention_hidden_size=32, memory_attention_num_layers=1,
        memory_attention_num_attention_heads=1, memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[8, 8], memory_encoder_hidden_size=32, memory_encoder_output_channels=16,
        mask_downsampler_embed_dim=32, memory_fuser_embed_dim=32, memory_fuser_intermediate_dim=32,
    )  # fmt: skip
    images = t.Sam2ImageProcessor(size=size, mask_size={"height": 32, "width": 32})
    return t.Sam2VideoModel(config), t.Sam2VideoProcessor(images, t.Sam2VideoVideoProcessor(size=size))


def sam() -> tuple[Any, Any]:
    config = t.SamConfig(
        vision_config={
            "hidden_size": 32, "output_channels": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": 128, "patch_size": 16, "window_size": 4, "global_attn_indexes": [1], "num_pos_feats": 16,
            "mlp_dim": 64, "initializer_range": 0.02,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": 128, "patch_size": 16},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32},
    )  # fmt: skip
    square = {"height": 128, "width": 128}
    return t.SamModel(config), t.SamProcessor(t.SamImageProcessor(size={"longest_edge": 128}, pad_size=square))


def depth_anything(**options: Any) -> tuple[Any, Any]:
    backbone = t.Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=56, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False,
    )  # fmt: skip
    config = t.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=32, neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=16,
        head_hidden_size=8, **options,
    )  # fmt: skip
    images = t.DPTImageProcessor(size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14)
    return t.DepthAnythingForDepthEstimation(config), images


def metric_depth_anything() -> tuple[Any, Any]:
    return depth_anything(depth_estimation_type="metric", max_depth=20)


def dpt() -> tuple[Any, Any]:
    config = t.DPTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=64, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=16,
    )  # fmt: skip
    return t.DPTForDepthEstimation(config), t.DPTImageProcessor(size={"height": 64, "width": 64})


def zoedepth() -> tuple[Any, Any]:
    backbone = t.BeitConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=64, patch_size=16,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False, use_mask_token=False,
        use_relative_position_bias=True, use_absolute_position_embeddings=False,
    )  # fmt: skip
    config = t.ZoeDepthConfig(
        backbone_config=backbone, neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=16, bottleneck_features=16,
        bin_embedding_dim=16, num_relative_features=8,
        bin_configurations=[{"n_bins": 16, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"}],
    )  # fmt: skip
    return t.ZoeDepthForDepthEstimation(config), t.ZoeDepthImageProcessor(size={"height": 64, "width": 64})


KINDS: Final[dict[str, Callable[[], tuple[Any, Any]]]] = {
    "owlv2": lambda: owl(2),
    "owlvit": lambda: owl(1),
    "grounding-dino": grounding_dino,
    "siglip": siglip,
    "clip": clip,
    "blip": blip,
    "git": git,
    "sam2": sam2,
    "sam2_video": sam2_video,
    "sam": sam,
    "depth_anything": depth_anything,
    "metric depth_anything": metric_depth_anything,
    "dpt": dpt,
    "zoedepth": zoedepth,
}
