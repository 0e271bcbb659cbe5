"""The decoder of layouts as a part of a saved model; classes of ours are loaded from a fixed table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from genllava import GenerationHead, GenLlavaPipeline, VisionLanguage
from genllava.errors import CheckpointError, InvalidRequest
from genllava.image_decoder import load_diffusion
from genllava.layout_decoder.keeping import change_mask
from genllava.layout_decoder.pipeline import LayoutDecoderPipeline
from genllava.model_info import model_info
from tests.genllava.forced import Layouts, picture, pixels, same
from tests.genllava.layout_decoder import small
from tests.genllava.layout_decoder.small import BOTH, CAT


@pytest.fixture(scope="module")
def whole(layouts: Layouts) -> GenLlavaPipeline:
    """A model that draws with it."""
    words = VisionLanguage.from_pretrained(layouts("llava15"))
    return GenLlavaPipeline(vlm=words.model, processor=words.processor, decoder=small.pipeline())


@pytest.fixture(scope="module")
def saved(whole: GenLlavaPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    whole.save_pretrained(folder)
    return folder


@pytest.fixture
def broken(saved: Path, tmp_path: Path) -> Path:
    """The decoder's folder in a copy that may be broken."""
    return Path(shutil.copytree(saved, tmp_path / "copy")) / "decoder"


def load(folder: Any, **options: Any) -> GenLlavaPipeline:
    return GenLlavaPipeline.from_pretrained(folder, **{"device": "cpu", **options})


def change(folder: Path, **entries: Any) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def test_it_is_what_was_saved(whole: GenLlavaPipeline, saved: Path) -> None:
    again = load(saved)
    assert isinstance(again.decoder, LayoutDecoderPipeline)
    assert (again.decoder.config["resolution"], again.decoder.config["output_size"]) == (small.SIDE, 32)
    assert not [path for path in saved.rglob("*") if path.suffix in (".bin", ".pt", ".ckpt", ".py")]
    drawing = again.generate(BOTH, seed=1)
    assert same(drawing, whole.generate(BOTH, seed=1))
    assert (drawing.decoder, drawing.unet_rows) == ("LayoutDecoderPipeline", 4)
    source = picture(97, 61)
    edited = again.edit(source, BOTH, seed=1, source_prompt=CAT)  # type: ignore[call-overload]
    assert same(edited, whole.edit(source, BOTH, seed=1, source_prompt=CAT))  # type: ignore[call-overload]
    assert (pixels(edited)[:, :61] == pixels(source)[:, :61]).all()  # its cat's cell, and those beside
    assert pixels(edited).shape == (61, 97, 3)


def test_a_head_conditions_it(layouts: Layouts, tmp_path: Path) -> None:
    """It gives guidance's unconditional branch along, and there is no negative prompt."""
    words = VisionLanguage.from_pretrained(layouts("llava15"))
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"output_length": 10, "output_dim": small.WIDTH, "num_queries": 4, "query_tokens": True}
    head = GenerationHead(input_dim=32, hidden_dim=16, num_layers=1, num_heads=2, **sizes).eval()
    settings: dict[str, Any] = {"protocol": "genllava", "bridge": "head", "drawing_options": {"guidance_scale": 2.0}}
    pipe = GenLlavaPipeline(words.model, words.processor, small.pipeline(), None, head, **settings)
    pipe.save_pretrained(tmp_path)
    again, source = load(tmp_path), picture(60, 60)
    drawing = pipe.generate("a cat", plan=CAT, seed=1)
    assert drawing.unet_rows == 8
    assert same(again.generate("a cat", plan=CAT, seed=1), drawing)
    assert not same(pipe.generate("a cat", plan=CAT, seed=1, bridge="caption"), drawing)
    mask: Any = change_mask(CAT, BOTH, source.size)
    edited = again.edit(source, "add a circle", plan=BOTH, seed=1, mask_image=mask)  # type: ignore[call-overload]
    assert (pixels(edited)[20:] == pixels(source)[20:]).all()
    assert (pixels(edited)[:20, 40:] != pixels(source)[:20, 40:]).any()
    other = GenerationHead(input_dim=32, hidden_dim=16, num_layers=1, num_heads=2, **{**sizes, "output_length": 77})
    with pytest.raises(CheckpointError, match="generation head"):
        GenLlavaPipeline(words.model, words.processor, small.pipeline(), None, other, **settings)


def test_half_precision_files_are_loaded_in_full(saved: Path, tmp_path: Path) -> None:
    half = load(saved)
    assert half.decoder is not None
    half.decoder.to(torch.float16)
    half.save_pretrained(tmp_path / "half")
    stored = load_file(tmp_path / "half/decoder/transformer/diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}

    def dtypes(pipe: Any) -> set[torch.dtype]:
        parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
        return {weight.dtype for part in parts for weight in part.parameters()}

    full = load(tmp_path / "half")
    assert dtypes(full.decoder) == {torch.float32}
    assert dtypes(load(tmp_path / "half", torch_dtype="auto").decoder) == {torch.float16}
    assert dtypes(load(tmp_path / "half", torch_dtype="bfloat16").decoder) == {torch.bfloat16}
    near = abs(pixels(full.generate(CAT, seed=1)).astype(int) - pixels(load(saved).generate(CAT, seed=1)))
    assert near.max() <= 3
    parts = tmp_path / "half/vlm", tmp_path / "half/decoder"
    assembled = GenLlavaPipeline.assemble(*parts, processor=saved / "processor", device="cpu")
    assert dtypes(assembled.decoder) == {torch.float32}
    assert same(assembled.generate(CAT, seed=1), full.generate(CAT, seed=1))


def test_variants(whole: GenLlavaPipeline, tmp_path: Path) -> None:
    whole.save_pretrained(tmp_path, variant="fp16")
    assert (tmp_path / "decoder/transformer/diffusion_pytorch_model.fp16.safetensors").is_file()
    assert same(load(tmp_path, variant="fp16").generate(CAT, seed=1), whole.generate(CAT, seed=1))


def test_it_is_in_the_card_and_in_the_list_of_parts(saved: Path) -> None:
    assert "| decoder | LayoutDecoderPipeline | not stated | not stated |" in (saved / "README.md").read_text()
    parts = {part.name: part for part in model_info(saved).parts}
    assert parts["decoder/transformer"].class_name == "LayoutTransformer2DModel"
    assert parts["decoder/vae"].class_name == "AutoencoderPatch"
    own = small.pipeline().transformer
    assert parts["decoder/transformer"].parameters == sum(weight.numel() for weight in own.parameters())
    assert {"decoder/text_encoder", "decoder/tokenizer", "decoder/scheduler"} < parts.keys()


def test_by_itself_and_with_parts_of_ones_own(saved: Path) -> None:
    alone = load_diffusion(saved / "decoder", device_map="cpu")
    assert isinstance(alone, LayoutDecoderPipeline)
    other = small.pipeline().transformer
    swapped = load_diffusion(saved / "decoder", transformer=other, output_size=48)
    assert swapped.transformer is other
    assert swapped(CAT).images[0].size == (48, 48)
    assert load(saved, transformer=other).decoder.transformer is other  # type: ignore[union-attr]
    with pytest.raises(InvalidRequest, match="LayoutDecoderPipeline has no unet: transformer, vae, scheduler"):
        load_diffusion(saved / "decoder", unet=other)
    with pytest.raises(InvalidRequest, match="a LayoutDecoderPipeline is small and not quantised"):
        load_diffusion(saved / "decoder", quantization_config=object())
    by_diffusers = LayoutDecoderPipeline.from_pretrained(saved / "decoder")
    assert by_diffusers.config["resolution"] == small.SIDE


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"vae": ["genllava.checkpoints", "resolve"]}, "this version of genllava has no resolve that vae could be"),
        ({"vae": ["genllava.images", "AutoencoderKL"]}, "this version of genllava has no AutoencoderKL"),
        ({"vae": ["subprocess", "Popen"]}, "vae would be loaded from subprocess, which is not allowed"),
        ({"vae": [None, None]}, "its index names no vae"),
        ({"_class_name": "GenLlavaPipeline"}, "diffusers has no GenLlavaPipeline, and code from it is not run"),
        ({"_class_name": ["layout_decoder", "LayoutDecoderPipeline"]}, "and code from it is not run"),
    ],
)
def test_no_class_but_those_of_the_table(broken: Path, entries: dict[str, Any], said: str) -> None:
    change(broken, **entries)
    for read in (load_diffusion, lambda folder: load(folder.parent)):
        with pytest.raises(CheckpointError, match=said):
            read(broken)


def test_damaged_files(broken: Path) -> None:
    weights = broken / "transformer/diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor for name, tensor in tensors.items() if name != "position_embeds"}, weights)
    with pytest.raises(CheckpointError, match="transformer: its files lack the weight position_embeds"):
        load(broken.parent)
    save_file(tensors, weights)
    (broken / "vae/vae.py").write_text("raise SystemExit")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load(broken.parent)
    (broken / "vae/vae.py").unlink()
    (broken / "model_index.json").write_text("{")
    with pytest.raises(CheckpointError, match="decoder"):
        load(broken.parent)
