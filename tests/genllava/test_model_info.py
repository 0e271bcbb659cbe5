"""What a saved model is made of, without loading it: against the models themselves, which are small and random."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MistralConfig,
    SiglipVisionConfig,
)

from genllava.checkpoints import SHIPPED
from genllava.errors import CheckpointError
from genllava.model_info import ModelInfo, PartInfo, model_info

CARD = "---\nlanguage: en\nlicense: {}\n---\n# A model\n\n---\nlicense: not this one\n---\n"


def parameters(*modules: nn.Module) -> int:
    return sum(each.numel() for module in modules for each in module.parameters())


def matrices(*modules: nn.Module) -> int:
    """What bitsandbytes quantises: linear layers but for the output embedding."""
    named = [each for module in modules for each in module.named_modules()]
    return sum(m.weight.numel() for name, m in named if isinstance(m, nn.Linear) and not name.endswith("lm_head"))


def part(info: ModelInfo, name: str) -> PartInfo:
    (found,) = [each for each in info.parts if each.name == name]
    return found


@pytest.fixture(scope="module")
def llava() -> LlavaForConditionalGeneration:
    text = MistralConfig(
        vocab_size=90,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    vision = SiglipVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8
    )
    return LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_token_index=1, vision_feature_layer=-1)
    )


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory: pytest.TempPathFactory) -> StableDiffusionPipeline:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=2,
        attention_head_dim=2,
        cross_attention_dim=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    vae = AutoencoderKL(
        block_out_channels=(8,),
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
    )
    text = CLIPTextModel(
        CLIPTextConfig(vocab_size=90, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    )
    tokenizer = CLIPTokenizer(vocab={"a": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}, merges=[])
    return StableDiffusionPipeline(
        vae,
        text,
        tokenizer,
        unet,
        DDIMScheduler(steps_offset=1, clip_sample=False),
        None,
        None,
        requires_safety_checker=False,
    )


def test_a_vision_language_model(llava: LlavaForConditionalGeneration, tmp_path: Path) -> None:
    llava.half().save_pretrained(tmp_path, max_shard_size="20KB")
    llava.float()
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    (tmp_path / "consolidated.safetensors").write_bytes(b"the same weights in another layout")
    (tmp_path / "README.md").write_text(CARD.format("gemma"))
    info = model_info(tmp_path)
    (model,) = info.parts
    assert (model.name, model.class_name, model.licence) == ("model", "LlavaForConditionalGeneration", "gemma")
    assert (model.parameters, model.linear) == (parameters(llava), matrices(llava))
    sizes, count, linear = info.bytes, model.parameters, model.linear
    assert (sizes["float32"], sizes["bfloat16"]) == (4 * count, 2 * count)
    assert sizes["int8"] == linear + 2 * (count - linear)
    assert sizes["4-bit"] == round(linear * 9 / 16) + 2 * (count - linear)
    assert 2 * count < sizes["auto"] < 2 * count + 30_000, "with the heads of the files"

    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(CheckpointError, match=r"model-00002.* is missing: download"):
        model_info(tmp_path)


def test_only_configs(llava: LlavaForConditionalGeneration, diffusion: StableDiffusionPipeline, tmp_path: Path) -> None:
    llava.config.architectures = ["LlavaForConditionalGeneration"]
    llava.config.save_pretrained(tmp_path / "a")
    (model,) = model_info(tmp_path / "a").parts
    assert (model.parameters, model.linear) == (parameters(llava), matrices(llava))
    assert model.licence == "not stated"
    assert "not here" in str(model.note)
    (tmp_path / "a" / "pytorch_model.bin").touch()
    assert "pickled" in str(model_info(tmp_path / "a").parts[0].note)

    config = json.loads((tmp_path / "a" / "config.json").read_text())
    (tmp_path / "a" / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
    assert model_info(tmp_path / "a").bytes["auto"] == 2 * model.parameters
    (tmp_path / "a" / "config.json").write_text(json.dumps({**config, "architectures": ["NoSuchModel"]}))
    (model,) = model_info(tmp_path / "a").parts
    assert (model.parameters, "NoSuchModel" in str(model.note)) == (0, True)

    diffusion.save_pretrained(tmp_path / "b")
    for path in (tmp_path / "b").rglob("*.safetensors"):
        path.unlink()
    info = model_info(tmp_path / "b")
    modules = (diffusion.unet, diffusion.vae, diffusion.text_encoder)
    assert info.parameters == parameters(*modules)


def test_a_pipeline_of_diffusers(diffusion: StableDiffusionPipeline, tmp_path: Path) -> None:
    diffusion.save_pretrained(tmp_path)
    diffusion.save_pretrained(tmp_path, variant="fp16")
    (tmp_path / "README.md").write_text(
        "---\nlicense: other\nlicense_name: community\nlicense_link: LICENSE.md\n---\n# A model\n"
    )
    (tmp_path / "vae" / "README.md").write_text(CARD.format("mit"))
    for variant in (None, "fp16", "of another kind"):
        info = model_info(tmp_path, variant=variant)
        assert part(info, "unet").parameters == parameters(diffusion.unet), "of one variant"
        assert part(info, "unet").linear == matrices(diffusion.unet)
    assert part(info, "unet").licence == "community, LICENSE.md"
    assert part(info, "vae").licence == "mit"
    assert part(info, "scheduler") == PartInfo("scheduler", "DDIMScheduler", "community, LICENSE.md")
    assert [each.name for each in info.parts] == ["scheduler", "text_encoder", "tokenizer", "unet", "vae"]

    for path in tmp_path.rglob("*.safetensors"):
        if "fp16" not in path.name:
            path.unlink()
    assert model_info(tmp_path).parameters == info.parameters, "only a variant is there"


def test_pipelines_in_a_pipeline(
    llava: LlavaForConditionalGeneration, diffusion: StableDiffusionPipeline, tmp_path: Path
) -> None:
    llava.save_pretrained(tmp_path / "vlm")
    diffusion.save_pretrained(tmp_path / "decoder")
    (tmp_path / "decoder" / "README.md").write_text(CARD.format("openrail++"))
    index = {
        "_class_name": "GenLlavaPipeline",
        "vlm": ["transformers", "LlavaForConditionalGeneration"],
        "decoder": ["diffusers", "StableDiffusionPipeline"],
        "editor": [None, None],
        "bridge": "caption",
        "layers": [-1, -2],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    info = model_info(str(tmp_path))
    assert [each.name for each in info.parts if each.parameters] == [
        "decoder/text_encoder",
        "decoder/unet",
        "decoder/vae",
        "vlm",
    ]
    assert info.parameters == parameters(llava, diffusion.unet, diffusion.vae, diffusion.text_encoder)
    assert "layers" not in {each.name for each in info.parts}
    assert {each.licence for each in info.parts} == {"openrail++", "not stated"}
    (tmp_path / "README.md").write_text("---\npart_licenses: {vlm: gemma, decoder: not this}\n---\n")
    assert {each.name: each.licence for each in model_info(tmp_path).parts}["vlm"] == "gemma"
    assert {each.licence for each in model_info(tmp_path).parts} == {"openrail++", "gemma"}


def test_the_shipped_model_without_torch() -> None:
    code = (
        "import sys; from genllava.model_info import model_info; info = model_info(); "
        "print(info.parameters, info.bytes['auto'], {part.licence for part in info.parts}, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    stored = sum(path.stat().st_size for path in SHIPPED.rglob("*.safetensors"))
    assert done.stdout == f"32044744 {stored} {{'apache-2.0'}} False\n"


def test_a_quantised_checkpoint_is_counted_by_its_config(llava: LlavaForConditionalGeneration, tmp_path: Path) -> None:
    llava.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (model,) = model_info(tmp_path).parts
    assert model.parameters == parameters(llava)
    assert model.note == "saved quantised (bitsandbytes)"


def test_hub_ids(llava: LlavaForConditionalGeneration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"owner/name has not been downloaded .*`hf download owner/name`"):
        model_info("owner/name")
    repository = tmp_path / "models--owner--name"
    llava.save_pretrained(repository / "snapshots" / "0123abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    info = model_info("owner/name")
    assert (info.source, info.parameters) == ("owner/name", parameters(llava))


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"neither model_index.json nor config.json"):
        model_info(tmp_path)
    with pytest.raises(CheckpointError, match="no model folder"):
        model_info("nothing")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot read"):
        model_info(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava"}))
    for damaged in (b"", b"\xff" * 30, b"\x05\0\0\0\0\0\0\0hello"):
        (tmp_path / "model.safetensors").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"model.safetensors is damaged|cannot read"):
            model_info(tmp_path)
