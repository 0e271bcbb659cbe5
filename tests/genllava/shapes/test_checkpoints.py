"""Saving and loading: the same model comes back, and nothing unsafe or ill-fitting does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import LlavaForConditionalGeneration

from genllava.errors import CheckpointError, InvalidRequest
from genllava.pipeline_genllava import GenLlavaPipeline
from genllava.protocols.shapes.processing import build_processor
from genllava.protocols.shapes.stream import TokenStream

Pictures = Callable[..., Image.Image]


@pytest.fixture(scope="module")
def saved(shared_pipeline: GenLlavaPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    shared_pipeline.save_pretrained(folder)
    return folder


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    """A saved pipeline to break."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_what_was_saved_comes_back(pipe: GenLlavaPipeline, saved: Path, picture: Pictures) -> None:
    again = GenLlavaPipeline.from_pretrained(saved)
    assert again.config["drawing_options"]["num_inference_steps"] == 2
    streams = [TokenStream(p.protocol.language) for p in (pipe, again)]
    for stream in streams:
        stream.append(0, list(range(20, 40)))
    assert torch.equal(streams[0].logits(), streams[1].logits())
    for verb in ("generate", "edit"):
        first, second = (
            p.generate("x", plan="a red circle", seed=7)
            if verb == "generate"
            else p.edit(picture(1), "x", plan="a red circle", seed=7)
            for p in (pipe, again)
        )
        assert first.latents is not None
        assert second.latents is not None
        assert torch.equal(first.latents, second.latents)
        assert np.array_equal(np.asarray(first.image), np.asarray(second.image))
    assert not [path for path in saved.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]


def test_the_language_model_is_a_stock_one(pipe: GenLlavaPipeline, saved: Path) -> None:
    plain = LlavaForConditionalGeneration.from_pretrained(saved / "vlm")
    ids = torch.tensor([[20, 21, 22]])
    with torch.no_grad():
        assert torch.equal(plain(input_ids=ids).logits, pipe.vlm(input_ids=ids).logits)


def test_half_precision_files_are_loaded_in_full(own_pipe: GenLlavaPipeline, tmp_path: Path) -> None:
    own_pipe.to(torch.float16)
    own_pipe.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "vlm" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    full = GenLlavaPipeline.from_pretrained(tmp_path)
    everything = [*full.components.values(), *full.decoder.components.values()]
    parts = [part for part in everything if isinstance(part, torch.nn.Module)]
    assert {p.dtype for part in parts for p in part.parameters()} == {torch.float32}
    half = GenLlavaPipeline.from_pretrained(tmp_path, torch_dtype=torch.bfloat16, device="cpu")
    assert half.decoder.unet.dtype == half.vlm.dtype == torch.bfloat16
    assert half.generate("x", plan="a", seed=1).image is not None


def test_a_stale_null_conditioning_is_noticed(own_pipe: GenLlavaPipeline, tmp_path: Path) -> None:
    assert own_pipe.generation_head is not None
    own_pipe.generation_head.project_out.bias.data += 1.0
    with pytest.raises(AssertionError):
        torch.testing.assert_close(own_pipe.protocol.null_embeds(), own_pipe.generation_head.null_embeds)
    own_pipe.save_pretrained(tmp_path)
    torch.testing.assert_close(own_pipe.protocol.null_embeds(), own_pipe.generation_head.null_embeds)
    GenLlavaPipeline.from_pretrained(tmp_path)
    path = tmp_path / "generation_head" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    for broken in (weights["null_embeds"] * 1.2, weights["null_embeds"] * torch.nan):
        save_file({**weights, "null_embeds": broken}, path)
        with pytest.raises(CheckpointError, match="stale"):
            GenLlavaPipeline.from_pretrained(tmp_path)


def test_only_safetensors_are_written_and_read(own_pipe: GenLlavaPipeline, copied: Path) -> None:
    with pytest.raises(InvalidRequest, match="safetensors"):
        own_pipe.save_pretrained(copied, safe_serialization=False)
    torch.save({}, copied / "decoder" / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        GenLlavaPipeline.from_pretrained(copied)


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


BREAKS: dict[str, Callable[[Path], object]] = {
    "no index": lambda f: (f / "model_index.json").unlink(),
    "a list for an index": lambda f: (f / "model_index.json").write_text("[1]"),
    "damaged index": lambda f: (f / "model_index.json").write_text("{"),
    "code": lambda f: (f / "decoder" / "unet" / "unet.py").write_text("raise SystemExit"),
    "a foreign class": lambda f: edit_json(f / "decoder" / "model_index.json", unet=["subprocess", "Popen"]),
    "a class of ours that does not exist": lambda f: edit_json(
        f / "decoder" / "model_index.json", unet=["genllava.images", "No"]
    ),
    "no weights": lambda f: (f / "decoder" / "unet" / "diffusion_pytorch_model.safetensors").unlink(),
    "empty weights": lambda f: (f / "decoder" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b""),
    "cut weights": lambda f: (f / "vlm" / "model.safetensors").write_bytes(
        (f / "vlm" / "model.safetensors").read_bytes()[:5000]
    ),
    "a part is missing": lambda f: shutil.rmtree(f / "decoder" / "vae"),
    "unet of another shape": lambda f: edit_json(f / "decoder" / "unet" / "config.json", in_channels=4),
    "head of another shape": lambda f: edit_json(f / "generation_head" / "config.json", output_dim=16),
    "another resolution": lambda f: edit_json(f / "decoder" / "model_index.json", resolution=30),
    "another bridge": lambda f: edit_json(f / "model_index.json", bridge="magic"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_what_cannot_be_read_is_one_error(copied: Path, case: str) -> None:
    BREAKS[case](copied)
    with pytest.raises(CheckpointError) as caught:
        GenLlavaPipeline.from_pretrained(copied)
    assert "\n" not in str(caught.value)


def test_a_missing_tensor_is_not_filled_with_noise(copied: Path) -> None:
    path = copied / "vlm" / "model.safetensors"
    weights = load_file(path)
    weights.pop(next(name for name in weights if "q_proj" in name))
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="missing"):
        GenLlavaPipeline.from_pretrained(copied)


@pytest.mark.parametrize("name", ["/no/such/folder", "nothing", "a/b/c"])
def test_an_unknown_model(name: str) -> None:
    with pytest.raises(CheckpointError, match="no model folder"):
        GenLlavaPipeline.from_pretrained(name)


def misfits(pipe: GenLlavaPipeline, build: Any) -> dict[str, tuple[dict[str, Any], str]]:
    other_tokens = build.tokenizer()
    other_tokens.add_tokens([f"<extra{n}>" for n in range(2000)])
    sliding = build.llava(build.tokenizer())
    sliding.config.text_config.sliding_window = 4096
    other_size = build_processor(pipe.processor.tokenizer, 48, 16)
    processor = type(pipe.processor)(pipe.processor.image_processor, other_tokens, patch_size=16)
    return {
        "unet channels": ({"unet": build.unet(in_channels=5)}, "unet takes 5 channels"),
        "unet conditioning": ({"unet": build.unet(cross_attention_dim=16)}, "attends to 16"),
        "resolution": ({"resolution": 40}, "not a multiple of 16"),
        "no head": ({"generation_head": None}, "needs a generation head"),
        "no text encoder": ({"text_encoder": None, "bridge": "caption"}, "needs a part"),
        "no tokenizer": ({"tokenizer": None}, "no tokenizer"),
        "sliding window": ({"vlm": sliding}, "sliding_window"),
        "picture size": ({"processor": other_size}, "pictures of 48 pixels"),
        "vocabulary": ({"processor": processor}, "embeds"),
    }


@pytest.mark.parametrize("case", range(9))
def test_parts_that_do_not_fit_are_named(own_pipe: GenLlavaPipeline, build: Any, case: int) -> None:
    parts, words = list(misfits(own_pipe, build).values())[case]
    with pytest.raises(CheckpointError, match=words):
        build.rebuilt(own_pipe, **parts)


def test_no_code_is_taken_from_a_checkpoint() -> None:
    with pytest.raises(InvalidRequest, match="trust_remote_code"):
        GenLlavaPipeline.from_pretrained(trust_remote_code=True)


def test_a_full_autoencoder_works_as_well(
    own_pipe: GenLlavaPipeline, build: Any, picture: Pictures, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        latent_channels=4,
        scaling_factor=0.2,
        shift_factor=0.1,
    ).eval()
    pipe = build.rebuilt(own_pipe, vae=vae, num_inference_steps=1)
    edited = pipe.edit(picture(1), "x", plan="a", seed=1)
    assert edited.image is not None
    assert edited.image.size == (32, 32)
    pipe.save_pretrained(tmp_path)
    again = GenLlavaPipeline.from_pretrained(tmp_path).edit(picture(1), "x", plan="a", seed=1)
    assert np.array_equal(np.asarray(again.image), np.asarray(edited.image))
    assert isinstance(pipe.decoder.unet, UNet2DConditionModel)
