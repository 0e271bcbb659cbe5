"""Weights are checked by name against the files they came from."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5EncoderModel

from genllava.errors import CheckpointError
from genllava.generation_head import GenerationHead
from genllava.weights import check_weights


def small_vae() -> AutoencoderKL:
    return AutoencoderKL(block_out_channels=(8,), norm_num_groups=4)


def without(file: Path, name: str) -> None:
    tensors = load_file(file)
    del tensors[name]
    save_file(tensors, file, metadata={"format": "pt"})


def test_tied_weights_are_in_the_file_once(tmp_path: Path) -> None:
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=8, n_embd=8, n_layer=1, n_head=1))
    t5 = T5EncoderModel(T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2))
    for name, model in (("gpt2", gpt2), ("t5", t5)):
        model.save_pretrained(tmp_path / name)
        check_weights("text_encoder", model, tmp_path / name)
    tied = next(iter(load_file(tmp_path / "t5" / "model.safetensors").keys() & {"shared.weight"}))
    without(tmp_path / "t5" / "model.safetensors", tied)
    with pytest.raises(CheckpointError, match="text_encoder: its files lack the weight"):
        check_weights("text_encoder", t5, tmp_path / "t5")


def test_the_message_names_part_tensor_and_remedy(tmp_path: Path) -> None:
    vae = small_vae()
    vae.save_pretrained(tmp_path)
    for name in ("decoder.conv_out.weight", "decoder.conv_out.bias"):
        without(tmp_path / "diffusion_pytorch_model.safetensors", name)
    expected = "vae: its files lack the weight decoder.conv_out.bias and 1 more; download or save it again"
    with pytest.raises(CheckpointError, match=expected):
        check_weights("vae", vae, tmp_path)


def test_tensors_of_no_use_are_no_fault(tmp_path: Path) -> None:
    vae = small_vae()
    vae.save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    save_file({**load_file(file), "position_ids": torch.arange(3)}, file, metadata={"format": "pt"})
    check_weights("vae", vae, tmp_path)


def test_names_of_old_checkpoints(tmp_path: Path) -> None:
    """Stable Diffusion 1.5's autoencoder is still on the hub under the names that diffusers had at first."""
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4)
    vae.save_pretrained(tmp_path)
    file, old = tmp_path / "diffusion_pytorch_model.safetensors", {}
    for name, tensor in load_file(file).items():
        for now, then in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
            name = name.replace(now, then)
        old[name] = tensor
    assert any("proj_attn" in name for name in old)
    save_file(old, file, metadata={"format": "pt"})
    check_weights("vae", AutoencoderKL, tmp_path)
    without(file, "encoder.mid_block.attentions.0.query.weight")
    with pytest.raises(CheckpointError, match=r"mid_block.attentions.0.to_q.weight"):
        check_weights("vae", AutoencoderKL, tmp_path)


def test_a_head_of_ours(tmp_path: Path) -> None:
    head = GenerationHead(num_queries=2, input_dim=8, output_length=3, output_dim=4, hidden_dim=8, num_layers=1)
    head.save_pretrained(tmp_path)
    check_weights("generation_head", head, tmp_path)
    without(tmp_path / "diffusion_pytorch_model.safetensors", "null_embeds")
    with pytest.raises(CheckpointError, match="generation_head: its files lack the weight null_embeds"):
        check_weights("generation_head", head, tmp_path)


def test_what_was_saved_quantised_is_not_checked(tmp_path: Path) -> None:
    small_vae().save_pretrained(tmp_path)
    without(tmp_path / "diffusion_pytorch_model.safetensors", "decoder.conv_out.bias")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "torchao"}}))
    check_weights("vae", small_vae(), tmp_path)


def test_it_says_nothing_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    vae = small_vae()
    vae.save_pretrained(tmp_path)
    without(tmp_path / "diffusion_pytorch_model.safetensors", "decoder.conv_out.bias")
    capfd.readouterr()
    with pytest.raises(CheckpointError):
        check_weights("vae", vae, tmp_path)
    assert capfd.readouterr().err == ""
    assert not logging.getLogger("diffusers.models.modeling_utils").disabled
