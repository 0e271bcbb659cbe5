"""Reading pipelines: precision, variants, parts of one's own, and one typed error for each thing that is wrong."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.layouts.decoders import LAYOUTS
from genllava.errors import CheckpointError, InvalidRequest
from genllava.image_decoder import ImageDecoder, load_diffusion, vision_language_of
from tests.genllava.image_decoder.small import drawn

Checkpoint = Callable[[str], Path]
CARRIES_ONE = ("qwen_image_edit", "longcat_image", "longcat_image_edit", "dreamlite")


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A copy of Stable Diffusion 1.5 that the test may damage."""
    return Path(shutil.copytree(checkpoint("sd15"), tmp_path / "sd"))


def change(file: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_read_as_it_was_saved(name: str, checkpoint: Checkpoint, shared: Callable[[str], Any]) -> None:
    pipeline = shared(name)
    assert type(pipeline).__name__ == json.loads((checkpoint(name) / "model_index.json").read_text())["_class_name"]
    for part, module in pipeline.components.items():
        if not isinstance(module, torch.nn.Module):
            continue
        assert not module.training
        names = dict(module.named_parameters())
        for file in (checkpoint(name) / part).glob("*.safetensors"):
            same = {key: tensor for key, tensor in load_file(file).items() if key in names}
            assert same
            assert all(torch.equal(names[key], tensor) for key, tensor in same.items())


@pytest.mark.parametrize("name", ["sd15", "sd35", "qwen_image_edit", "sana", "dreamlite", "controlnet_sdxl"])
def test_a_weight_that_is_missing(name: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    """From each component in turn; the message has the tensor's name."""
    damaged = Path(shutil.copytree(checkpoint(name), tmp_path / name))
    for file in sorted(damaged.glob("*/*.safetensors")):
        whole = file.read_bytes()
        key = max(key for key in load_file(file) if key.endswith("weight") and key != "shared.weight")
        change(file, lambda tensors, key=key: tensors.pop(key))
        with pytest.raises(
            CheckpointError, match=f"decoder: {file.parent.name}: its files lack the weight (model.)?{key};"
        ):
            load_diffusion(damaged)
        file.write_bytes(whole)


@pytest.mark.parametrize(
    ("file", "name", "sizes"),
    [
        ("text_encoder/model.safetensors", "encoder.layers.0.mlp.fc1.bias", r"\[2\] in its file and \[48\] by its"),
        ("unet/diffusion_pytorch_model.safetensors", "conv_out.bias", r"\[2\] in its file and \[4\] by its"),
    ],
)
def test_a_weight_of_another_shape(file: str, name: str, sizes: str, folder: Path) -> None:
    def shorten(tensors: dict[str, torch.Tensor]) -> None:
        tensors[name] = tensors[name][:2].contiguous()

    change(folder / file, shorten)
    with pytest.raises(CheckpointError, match=f"editor: {Path(file).parent}: the weight {name} is {sizes} config"):
        load_diffusion(folder, part="editor")


def test_shards(checkpoint: Checkpoint, tmp_path: Path) -> None:
    pipeline = load_diffusion(checkpoint("sd15"))
    pipeline.save_pretrained(tmp_path, max_shard_size="200KB")
    shards = sorted((tmp_path / "unet").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    assert (drawn(load_diffusion(tmp_path)) == drawn(pipeline)).all()
    change(shards[-1], lambda tensors: tensors.pop(sorted(tensors)[0]))
    with pytest.raises(CheckpointError, match="decoder: unet: its files lack the weight"):
        load_diffusion(tmp_path)
    shards[-1].unlink()
    with pytest.raises(CheckpointError, match=r"decoder: unet: its files lack the weight .* more;"):
        load_diffusion(tmp_path)


def test_variants(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Half precision in files of their own beside the whole ones; the VAE has none."""
    shutil.copytree(checkpoint("sd15"), tmp_path, dirs_exist_ok=True)
    half = load_diffusion(checkpoint("sd15"), torch_dtype=torch.float16)
    half.unet.save_pretrained(tmp_path / "unet", variant="fp16")
    half.text_encoder.save_pretrained(tmp_path / "text_encoder", variant="fp16")
    assert load_diffusion(tmp_path).unet.dtype == torch.float32
    loaded = load_diffusion(tmp_path, variant="fp16")
    assert {loaded.unet.dtype, loaded.text_encoder.dtype, loaded.vae.dtype} == {torch.float16}
    assert load_diffusion(tmp_path, variant="fp16", torch_dtype=torch.float32).unet.dtype == torch.float32
    change(tmp_path / "unet" / "diffusion_pytorch_model.fp16.safetensors", lambda t: t.pop("conv_out.bias"))
    with pytest.raises(CheckpointError, match=r"decoder: unet: its files lack the weight conv_out.bias"):
        load_diffusion(tmp_path, variant="fp16")
    load_diffusion(tmp_path)
    with pytest.raises(CheckpointError, match="variant=int8"):
        load_diffusion(tmp_path, variant="int8")


def test_the_saved_precision_and_another(checkpoint: Checkpoint, tmp_path: Path) -> None:
    load_diffusion(checkpoint("sd35"), torch_dtype=torch.bfloat16).save_pretrained(tmp_path)
    assert load_diffusion(tmp_path).transformer.dtype == torch.bfloat16
    assert load_diffusion(tmp_path, torch_dtype=torch.float32).transformer.dtype == torch.float32
    assert load_diffusion(tmp_path, device_map="cpu").transformer.device.type == "cpu"


def test_a_component_of_ones_own(checkpoint: Checkpoint) -> None:
    """It is taken as it is, and may be larger than the saved one."""
    saved = load_diffusion(checkpoint("sd15"))
    unet = diffusers.UNet2DConditionModel.from_config({**saved.unet.config, "layers_per_block": 2})
    pipeline = load_diffusion(checkpoint("sd15"), unet=unet)
    assert pipeline.unet is unet
    assert drawn(pipeline).shape == (64, 64, 3)


def test_a_safety_checker_is_not_loaded(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"], "requires_safety_checker": True}
    (folder / "model_index.json").write_text(json.dumps(index))
    assert load_diffusion(folder).safety_checker is None


def test_pickles_are_not_read(folder: Path) -> None:
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    (folder / "vae" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(1))
    load_diffusion(folder)  # beside safetensors they do no harm
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"vae/diffusion_pytorch_model.bin is a pickle.*save_pretrained"):
        load_diffusion(folder)
    assert load_diffusion(folder, vae=diffusers.AutoencoderTiny()).vae.config.latent_channels == 4


def test_what_is_no_pipeline(folder: Path, tmp_path: Path) -> None:
    def refused(match: str, source: Any = folder, **how: Any) -> None:
        with pytest.raises(CheckpointError, match=match):
            load_diffusion(source, **how)

    refused("there is no folder", tmp_path / "nowhere")
    refused("has no model_index.json", tmp_path)
    refused("no text conditioning", _ddpm(tmp_path / "ddpm"))
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"cut short")
    refused("cannot read decoder", folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "unet": ["my_unet", "MyUNet"]}))
    refused("unet is MyUNet of my_unet, and code from checkpoints is not run", folder)
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": ["pipeline", "MyPipeline"]}))
    refused("MyPipeline", folder)
    (folder / "model_index.json").write_text("{")
    refused("cannot read decoder", folder)
    with pytest.raises(InvalidRequest, match="trust_remote_code"):
        load_diffusion(folder, trust_remote_code=True)


def _ddpm(folder: Path) -> Path:
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    unet = diffusers.UNet2DModel(
        sample_size=8, block_out_channels=(8,), norm_num_groups=4, layers_per_block=1, **blocks
    )
    diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler()).save_pretrained(folder)
    return folder


def test_pipelines_that_are_no_image_decoders(tmp_path: Path) -> None:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(_ddpm(tmp_path))
    for part, given in (("decoder", (pipeline, None)), ("editor", (None, pipeline))):
        with pytest.raises(CheckpointError, match=f"{part}: DDPMPipeline has no text conditioning"):
            ImageDecoder(*given)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_vision_language_model_that_a_pipeline_carries(name: str, shared: Callable[[str], Any]) -> None:
    found = vision_language_of(shared(name))
    assert (found is not None) == (name in CARRIES_ONE)
    if found is not None:
        model, processor = found
        assert model is shared(name).text_encoder
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        assert model.generate(**inputs, max_new_tokens=2, do_sample=False).shape[1] > inputs["input_ids"].shape[1]
