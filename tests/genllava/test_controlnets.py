"""ControlNets of a whole pipeline: put together, steering by caption and by head, saved and loaded again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from genllava import GenerationHead, GenLlavaPipeline
from genllava.checkpoints import SHIPPED
from genllava.errors import CheckpointError, InvalidRequest, NonFiniteError
from genllava.image_decoder import load_diffusion
from genllava.model_info import model_info
from genllava.requests import Request
from tests.genllava.forced import SMALL, Layouts, force, picture, pixels, same
from tests.genllava.image_decoder.small import plain
from tests.genllava.image_decoder.steering import controlnet_for, plain_pipeline

EDGES, DEPTH = picture(64, 64, 1).convert("L"), picture(64, 64, 2)
BOTH: dict[str, Any] = {"control": {"canny": EDGES, "depth": DEPTH}, "control_scale": {"canny": 0.7}}


@pytest.fixture(scope="module")
def nets(layouts: Layouts, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of ControlNets, by name; `large` is one for SDXL."""
    root = tmp_path_factory.mktemp("controlnets")
    for seed, (name, layout) in enumerate([("canny", "sd15"), ("depth", "sd15"), ("large", "sdxl")]):
        controlnet_for(load_diffusion(layouts(layout)), seed).save_pretrained(root / name)
    (root / "canny" / "README.md").write_text("---\nlicense: openrail\n---\n")
    return {name: root / name for name in ("canny", "depth", "large")}


@pytest.fixture(scope="module")
def pipe(layouts: Layouts, nets: dict[str, Path]) -> GenLlavaPipeline:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"num_queries": 2, "input_dim": 32, "output_length": 77, "output_dim": 32}
    head = GenerationHead(**sizes, hidden_dim=16, num_layers=1, num_heads=2, query_tokens=True).eval()
    made = layouts.assemble(
        "qwen3_vl", "sd15", generation_head=head, controlnets={"canny": nets["canny"]}, control_scale=0.7
    )
    made.load_controlnet("depth", nets["depth"])
    return made


def by_hand(pipe: GenLlavaPipeline, *names: str) -> Any:
    return plain_pipeline("StableDiffusionControlNetPipeline", pipe.decoder, [pipe.controlnets[n] for n in names])


def test_it_draws_what_plain_diffusers_draws(pipe: GenLlavaPipeline) -> None:
    drawing = pipe.generate("a red cat", seed=3, **SMALL, **BOTH)
    given: dict[str, Any] = {"image": [EDGES.convert("RGB"), DEPTH], "controlnet_conditioning_scale": [0.7, 1.0]}
    (expected,) = plain(by_hand(pipe, "canny", "depth"), 3, prompt="a red cat", **SMALL, **given)
    assert drawing.decoder == "StableDiffusionControlNetPipeline"
    assert same(drawing, expected)
    one = pipe.generate("a red cat", seed=3, **SMALL, control={"canny": EDGES})
    given = {"image": EDGES.convert("RGB"), "controlnet_conditioning_scale": 0.7}
    assert same(one, plain(by_hand(pipe, "canny"), 3, prompt="a red cat", **SMALL, **given)[0]), "0.7 is the default"
    assert pipe.generate("a red cat", seed=3, **SMALL).decoder == "StableDiffusionPipeline"


def test_by_the_generation_head(pipe: GenLlavaPipeline) -> None:
    drawing = pipe.generate("a red cat", seed=3, bridge="head", **SMALL, control={"canny": EDGES}, control_scale=0.7)
    embeds = pipe.protocol.prompt_embeds([Request("a red cat")], ["a red cat"], False, {})
    given: dict[str, Any] = {"image": EDGES.convert("RGB"), "controlnet_conditioning_scale": 0.7}
    given |= {"prompt_embeds": embeds.embeds, "negative_prompt_embeds": embeds.negative_embeds}
    (expected,) = plain(by_hand(pipe, "canny"), 3, **SMALL, **given)
    assert same(drawing, expected)
    assert not same(drawing, pipe.generate("a red cat", seed=3, **SMALL, control={"canny": EDGES}))


def test_lists_and_edits(pipe: GenLlavaPipeline) -> None:
    control = {"canny": [EDGES, EDGES.rotate(90)]}
    drawings = pipe.generate(["a red cat", "two dogs"], seed=[3, 4], **SMALL, control=control)
    alone = pipe.generate("two dogs", seed=4, **SMALL, control={"canny": EDGES.rotate(90)})
    assert same(drawings[1], alone)
    source = picture(97, 61)
    edited = pipe.edit(source, "make it blue", seed=3, num_inference_steps=4, control={"canny": picture(97, 61, 3)})
    assert (edited.decoder, edited.image.size) == ("StableDiffusionControlNetImg2ImgPipeline", (97, 61))
    assert not same(edited, pipe.edit(source, "make it blue", seed=3, num_inference_steps=4))


def test_a_turn_that_is_steered(pipe: GenLlavaPipeline) -> None:
    model = force(pipe)
    model.script = [model.says("", ("generate_image", {"prompt": "a red cat"})), "Done."]
    turn = pipe("draw a red cat", seed=3, control_guidance_end=0.9, **SMALL, **BOTH)
    given = {"control_guidance_end": 0.9, **SMALL, **BOTH}
    assert same(turn.images[0], pipe.generate("a red cat", seed=3, **given))  # type: ignore[arg-type]


def test_saved_and_loaded(pipe: GenLlavaPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["controlnets"] == dict.fromkeys(
        ("canny", "depth"), "ControlNetModel"
    )
    assert "| controlnets/canny | ControlNetModel | not stated | openrail |" in (tmp_path / "README.md").read_text()
    parts = {part.name: part for part in model_info(tmp_path).parts}
    count = sum(weight.numel() for weight in pipe.controlnets["canny"].parameters())
    assert (parts["controlnets/canny"].parameters, parts["controlnets/canny"].licence) == (count, "openrail")
    drawing = pipe.generate("a red cat", seed=3, **SMALL, **BOTH)
    again = GenLlavaPipeline.from_pretrained(tmp_path, device="cpu")
    assert list(again.controlnets) == ["canny", "depth"]
    assert same(again.generate("a red cat", seed=3, **SMALL, **BOTH), drawing)
    half = GenLlavaPipeline.from_pretrained(tmp_path, device="cpu", torch_dtype="bfloat16")
    assert half.controlnets["canny"].dtype == torch.bfloat16
    assert pixels(half.generate("a red cat", seed=3, **SMALL, **BOTH)).shape == (64, 64, 3)
    del again.controlnets["depth"]
    again.save_pretrained(tmp_path)
    assert list(GenLlavaPipeline.from_pretrained(tmp_path, device="cpu").controlnets) == ["canny"], "no leftover"
    own = {"edges": tmp_path / "controlnets" / "canny"}
    other = GenLlavaPipeline.from_pretrained(tmp_path, device="cpu", controlnets=own)
    assert list(other.controlnets) == ["edges"]
    taken = GenLlavaPipeline.from_pipe(other)
    assert taken.controlnets["edges"] is other.controlnets["edges"]


def test_what_does_not_fit(
    pipe: GenLlavaPipeline, layouts: Layouts, nets: dict[str, Path], tmp_path: Path
) -> None:
    def refused(match: str, source: Any, name: str = "canny") -> None:
        before = dict(pipe.controlnets)
        with pytest.raises(CheckpointError, match=match):
            pipe.load_controlnet(name, source)
        assert pipe.controlnets == before

    refused(r"'canny' was made for another layout than this StableDiffusionPipeline: its cross_attention_dim is 64",
            nets["large"])  # fmt: skip
    refused("there is no folder nowhere", "nowhere")
    refused("cannot be called '../up'", nets["canny"], "../up")
    refused("is a UNet2DConditionModel: StableDiffusionPipeline takes a ControlNetModel", layouts("sd15") / "unet")
    damaged = Path(shutil.copytree(nets["canny"], tmp_path / "damaged"))
    file = damaged / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    whole = tensors.pop("conv_in.weight")
    save_file(tensors, file)
    refused("ControlNet 'canny': its files lack the weight conv_in.weight", damaged)
    file.write_bytes(file.read_bytes()[:1000])
    refused("cannot read ControlNet 'canny'", damaged)
    file.rename(damaged / "diffusion_pytorch_model.bin")
    refused("diffusion_pytorch_model.bin is not a safetensors file", damaged)
    with pytest.raises(InvalidRequest, match="load_controlnet has no option shape"):
        pipe.load_controlnet("canny", nets["canny"], shape=1)
    save_file({**tensors, "conv_in.weight": torch.full_like(whole, torch.nan)}, file)
    (damaged / "diffusion_pytorch_model.bin").unlink()
    pipe.load_controlnet("broken", damaged)
    with pytest.raises(NonFiniteError):
        pipe.generate("a cat", **SMALL, control={"broken": EDGES})
    del pipe.controlnets["broken"]
    with pytest.raises(CheckpointError, match=r"there are no ControlNets for PixArtSigmaPipeline: .*SDXL and Flux"):
        layouts.assemble("qwen3_vl", "pixart_sigma", controlnets={"canny": nets["canny"]})
    with pytest.raises(CheckpointError, match="a model that does not draw"):
        layouts.assemble("qwen3_vl", controlnets={"canny": nets["canny"]})
    with pytest.raises(InvalidRequest, match="no option 'control_scale'"):
        layouts.assemble("qwen3_vl", "sd15", control_scale=0.5)


def test_an_index_that_was_tampered_with(pipe: GenLlavaPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    for value, match in (({"../up": "ControlNetModel"}, "cannot be called"), (["canny"], "is damaged: controlnets")):
        (tmp_path / "model_index.json").write_text(json.dumps({**index, "controlnets": value}))
        with pytest.raises(CheckpointError, match=match):
            GenLlavaPipeline.from_pretrained(tmp_path, device="cpu")
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "controlnets" / "canny" / "code.py").write_text("")
    with pytest.raises(CheckpointError, match=r"controlnets/canny/code\.py is not a safetensors file"):
        GenLlavaPipeline.from_pretrained(tmp_path, device="cpu")


@pytest.mark.skipif(not (SHIPPED / "model_index.json").is_file(), reason="there are no shipped weights")
def test_the_shipped_model_takes_its_own_layout_only(nets: dict[str, Path]) -> None:
    shipped = GenLlavaPipeline.from_pretrained(device="cpu")
    with pytest.raises(CheckpointError, match="another layout than this ShapesDecoderPipeline"):
        shipped.load_controlnet("depth", nets["canny"])
