"""Public layouts, put together: every language model, every decoder, however they are loaded."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from PIL import Image

from benchmarks.layouts import decoders, vision_language
from genllava import GenLlavaPipeline, assembly
from genllava.errors import InvalidRequest
from genllava.image_decoder import load_diffusion
from tests.genllava.forced import SMALL, Layouts, force, picture, pixels, same, some
from tests.genllava.image_decoder.conftest import OWN_CLASSES
from tests.genllava.image_decoder.small import options as small

TOOLS = ("qwen25_vl", "qwen3_vl", "qwen35", "pixtral", "mistral3")
FAST_MODELS = ("llava15", "qwen3_vl", "gemma3")
FAST_DECODERS = ("sdxl", "flux")
ONLY_DRAW = ("pixart_sigma", "sana", "longcat_image")
ONLY_EDIT = ("instruct_pix2pix", "sdxl_instruct_pix2pix")
AT_A_SIZE = ("flux", "flux_kontext", "qwen_image", "qwen_image_edit", "dreamlite")
"""Layouts whose edits are scaled to a large area unless they are told a size."""


def has(name: str) -> None:
    for start, kind in OWN_CLASSES.items():
        if name.startswith(start) and not hasattr(diffusers, kind):
            pytest.skip(f"this diffusers has no {kind}")


@pytest.mark.parametrize("name", some(vision_language.LAYOUTS, FAST_MODELS))
def test_every_language_model(layouts: Layouts, name: str) -> None:
    pipe = layouts.assemble(name, "sd15")
    assert pipe.protocol.name == ("tool_calls" if name in TOOLS else "choices")
    assert pipe.understand(picture(97, 61), "what is it?", max_new_tokens=4).text
    two = pipe.understand([picture(97, 61), None], ["what is it?", "and you?"], max_new_tokens=4)
    assert two[0].text == pipe.understand(picture(97, 61), "what is it?", max_new_tokens=4).text
    drawing = pipe.generate("a cat", seed=2, **SMALL)
    plain = load_diffusion(layouts("sd15"))
    plain.set_progress_bar_config(disable=True)
    assert same(drawing, plain("a cat", generator=torch.Generator().manual_seed(2), **SMALL).images[0])
    force(pipe, ["Hello."], [None] if pipe.protocol.name == "tool_calls" else ["answer in words", "nothing more"])
    assert pipe("hi", picture(33, 32)).text == "Hello."


@pytest.mark.parametrize("name", some([n for n in decoders.LAYOUTS if n != "longcat_image_edit"], FAST_DECODERS))
def test_every_decoder(layouts: Layouts, name: str) -> None:
    has(name)
    pipe = layouts.assemble("qwen3_vl", name, num_inference_steps=4)
    options = small(name, num_inference_steps=4)
    if name in ONLY_EDIT:
        with pytest.raises(InvalidRequest, match="only edits"):
            pipe.generate("a cat", **options)
    else:
        assert pipe.generate("a cat", seed=1, **options).image.size == (64, 64)
    if name in ONLY_DRAW:
        with pytest.raises(InvalidRequest, match="editor="):
            pipe.edit(picture(97, 61), "blue")
        return
    chosen: Any = pipe.protocol.turn_options(options, edits=True)
    if name in AT_A_SIZE:
        chosen |= {"width": 64, "height": 32}
    edited = pipe.edit(picture(97, 61), "blue", seed=1, **chosen)
    assert edited.image.size == ((64, 32) if name in AT_A_SIZE else (97, 61))
    assert edited.decoder in dir(diffusers)


@pytest.mark.parametrize("size", [(640, 360), (97, 61), (16, 200)])
def test_an_edit_has_the_size_of_its_source(layouts: Layouts, size: tuple[int, int]) -> None:
    for editor in (None, "instruct_pix2pix"):
        pipe = layouts.shared("qwen3_vl", "sd15", editor)
        edited = pipe.edit(picture(*size), "blue", seed=1)
        assert edited.image.size == size
        assert "Img2Img" in edited.decoder if editor is None else "InstructPix2Pix" in edited.decoder


@pytest.mark.parametrize(
    "name", some(["qwen_image_edit", "longcat_image", "longcat_image_edit", "dreamlite"], ("dreamlite",))
)
def test_one_id_for_all_three_verbs(layouts: Layouts, name: str, tmp_path: Path) -> None:
    has(name)
    pipe = GenLlavaPipeline.assemble(layouts(name), device="cpu", num_inference_steps=2)
    decoder: Any = pipe.decoder
    assert pipe.vlm is decoder.text_encoder, "nothing is loaded twice"
    assert pipe.understand(picture(64, 64), "what?", max_new_tokens=3).text
    options = small(name)
    drawing = pipe.generate("a cat", seed=1, **options)
    if name != "longcat_image":
        edited = pipe.edit(picture(64, 64), "blue", seed=1, **{k: v for k, v in options.items() if "prompt" not in k})
        assert edited.image.size == (64, 64)
    force(pipe, ["Hello."])
    assert pipe("hi", picture(32, 32)).text == "Hello."
    pipe.save_pretrained(tmp_path)
    assert not (tmp_path / "vlm").exists(), "nor is it saved twice"
    again = GenLlavaPipeline.from_pretrained(tmp_path, device="cpu")
    assert again.vlm is again.decoder.text_encoder  # type: ignore[union-attr]
    assert same(again.generate("a cat", seed=1, **options), drawing)
    assert pipe.vlm is decoder.text_encoder, "saving leaves the pipeline as it was"
    assert pipe.processor is not None


def test_default_options_of_drawings(layouts: Layouts) -> None:
    pipe = layouts.assemble("qwen3_vl", "sd15", num_inference_steps=3, guidance_scale=1.0, height=32, width=48)
    drawing = pipe.generate("a cat", seed=1)
    assert (drawing.unet_rows, drawing.image.size) == (3, (48, 32))
    assert pipe.generate("a cat", seed=1, num_inference_steps=2, height=None).unet_rows == 2
    assert pipe.edit(picture(97, 61), "blue", seed=1, num_inference_steps=4).image.size == (97, 61)
    several = pipe.generate("a cat", seed=1, num_images_per_prompt=2)
    assert isinstance(several, list)
    assert len(several) == 2
    with pytest.raises(InvalidRequest, match=r"no option 'num_inference_stepz'.*torch_dtype"):
        layouts.assemble("qwen3_vl", "sd15", num_inference_stepz=3)
    with pytest.raises(InvalidRequest, match="no option 'height'"):
        layouts.assemble("qwen3_vl", height=32)


def test_precision(layouts: Layouts) -> None:
    for name, dtype in (("bfloat16", torch.bfloat16), (torch.bfloat16, torch.bfloat16), ("auto", torch.float32)):
        pipe = layouts.assemble("qwen3_vl", "sd15", "instruct_pix2pix", torch_dtype=name)
        parts: Any = [pipe.vlm, pipe.decoder.unet, pipe.decoder.text_encoder, pipe.editor.unet]  # type: ignore[union-attr]
        assert {part.dtype for part in parts} == {dtype}
    half = layouts.assemble("qwen3_vl", "sd15", dtype="bfloat16")
    assert half.generate("a cat", seed=1, **SMALL).image is not None
    assert half.edit(picture(64, 64), "blue", seed=1).image is not None
    assert half.understand(picture(64, 64), "what?", max_new_tokens=3).text
    for wrong in ("float33", "int8", torch.int8, 16):
        with pytest.raises(InvalidRequest, match="unknown torch_dtype"):
            layouts.assemble("qwen3_vl", torch_dtype=wrong)


def spied(monkeypatch: pytest.MonkeyPatch, name: str, *dropped: str) -> dict[str, Any]:
    """The options that a function of `assembly` is called with; those that are dropped, the function does not get."""
    seen: dict[str, Any] = {}
    load = getattr(assembly, name)

    def spy(*args: Any, **options: Any) -> Any:
        seen.update(options)
        return load(*args, **{k: v for k, v in options.items() if k not in dropped})

    monkeypatch.setattr(assembly, name, spy)
    return seen


@pytest.mark.parametrize("device_map", ["cpu", "auto"])
def test_device_maps(layouts: Layouts, monkeypatch: pytest.MonkeyPatch, device_map: str) -> None:
    seen = spied(monkeypatch, "load_model")
    drawn = spied(monkeypatch, "load_diffusion")
    pipe = GenLlavaPipeline.assemble(layouts("qwen3_vl"), layouts("sd15"), device_map=device_map, num_inference_steps=2)
    assert seen["device_map"] == drawn["device_map"] == device_map
    assert pipe.generate("a cat", seed=1, **SMALL).image is not None
    assert pipe.understand(picture(64, 64), "what?", max_new_tokens=3).text
    with pytest.raises(InvalidRequest, match="not both"):
        GenLlavaPipeline.assemble(layouts("qwen3_vl"), device_map="auto", device="cpu")


def test_files_of_a_variant(layouts: Layouts, tmp_path: Path) -> None:
    whole = load_diffusion(layouts("sd15"), torch_dtype=torch.float16)
    whole.save_pretrained(tmp_path / "half", variant="fp16")
    names = [path.name for path in (tmp_path / "half").rglob("*.safetensors")]
    assert names
    assert all(".fp16." in name for name in names)
    pipe = GenLlavaPipeline.assemble(layouts("qwen3_vl"), tmp_path / "half", variant="fp16", device="cpu")
    assert pipe.decoder.unet.dtype == torch.float16  # type: ignore[union-attr]
    assert pipe.vlm.dtype == torch.float32, "what has no files of it is read from its plain ones"


def test_how_the_language_model_is_loaded_is_handed_through(layouts: Layouts, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = spied(monkeypatch, "load_model", "quantization_config")
    config = object()
    moved: list[Any] = []
    monkeypatch.setattr(
        diffusers.DiffusionPipeline, "to", lambda self, place: moved.append((type(self).__name__, place))
    )
    pipe = GenLlavaPipeline.assemble(
        layouts("qwen3_vl"), layouts("sd15"), quantization_config=config, attn_implementation="eager"
    )
    assert moved == [("StableDiffusionPipeline", pipe.vlm.device)], "the decoder goes to where such a model is"
    assert seen["quantization_config"] is config
    assert seen["attn_implementation"] == "eager"
    assert pipe.vlm.config.get_text_config()._attn_implementation == "eager"


def test_a_processor_and_a_template_from_elsewhere(layouts: Layouts, tmp_path: Path) -> None:
    shutil.copytree(layouts("llava15"), tmp_path / "bare")
    for path in (tmp_path / "bare").glob("*"):
        if path.name not in ("config.json", "generation_config.json", "model.safetensors"):
            path.unlink()
    template = "{% for m in messages %}{% for c in m.content %}{{ c.text or '<image>' }}{% endfor %}{% endfor %}!"
    pipe = GenLlavaPipeline.assemble(
        tmp_path / "bare", processor=layouts("llava15"), chat_template=template, device="cpu"
    )
    model = force(pipe, ["Hello."], ["nothing more"])
    assert pipe("hi").text == "Hello."
    assert model.read == ["hi!"]
    pipe.save_pretrained(tmp_path / "saved")
    again = GenLlavaPipeline.from_pretrained(tmp_path / "saved", device="cpu")
    assert again.processor.chat_template == template


def test_the_picture_is_seen_at_its_own_size(layouts: Layouts) -> None:
    pipe = layouts.shared("qwen3_vl", "sd15")
    photo = Image.new("RGB", (640, 360), "red")
    model = force(pipe, ["A."])
    pipe.understand([photo], ["what?"])
    assert model.shown[0][0].size == (640, 360)
    assert (pixels(model.shown[0][0]) == pixels(photo)).all()
