"""Saved and loaded again: every part, every setting, parts of one's own, the layout of version 0.1."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file

from genllava import GenerationHead, GenLlavaPipeline
from genllava.checkpoints import SHIPPED
from genllava.errors import CheckpointError, InvalidRequest
from genllava.image_decoder import load_diffusion
from tests.genllava.forced import SMALL, Layouts, picture, same

needs_weights = pytest.mark.skipif(not (SHIPPED / "model_index.json").is_file(), reason="there are no shipped weights")


def load(folder: Any, **options: Any) -> GenLlavaPipeline:
    return GenLlavaPipeline.from_pretrained(folder, **{"device": "cpu", **options})


@pytest.fixture(scope="module")
def saved(layouts: Layouts, tmp_path_factory: pytest.TempPathFactory) -> tuple[GenLlavaPipeline, Path]:
    """A pipeline of three public layouts, and the folder that it was saved in."""
    pipe = layouts.assemble("qwen3_vl", "sd15", "instruct_pix2pix", guidance_scale=3.0, tool_format="hermes")
    folder = tmp_path_factory.mktemp("saved")
    pipe.save_pretrained(folder)
    return pipe, folder


def test_it_is_what_was_saved(saved: tuple[GenLlavaPipeline, Path]) -> None:
    pipe, folder = saved
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["decoder", "editor", "processor", "vlm"]
    assert not [path for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".ckpt")]
    again = load(folder)
    for name in ("protocol", "bridge", "tool_format", "drawing_options", "protocol_options"):
        assert again.config[name] == pipe.config[name]
    assert again.config["drawing_options"] == {"guidance_scale": 3.0, "num_inference_steps": 2}
    assert same(again.generate("a cat", seed=1, **SMALL), pipe.generate("a cat", seed=1, **SMALL))
    assert same(again.edit(picture(97, 61), "blue", seed=1), pipe.edit(picture(97, 61), "blue", seed=1))
    asked: Any = (picture(97, 61), "what is it?")
    assert again.understand(*asked, max_new_tokens=8).text == pipe.understand(*asked, max_new_tokens=8).text
    assert again.generate("a cat", seed=1, **SMALL).unet_rows == 4
    assert again.edit(picture(64, 64), "blue", seed=1).decoder == "StableDiffusionInstructPix2PixPipeline"


def test_settings_can_be_others(saved: tuple[GenLlavaPipeline, Path]) -> None:
    _, folder = saved
    again = load(folder, protocol="choices", drawing_options={"num_inference_steps": 1, "guidance_scale": 1.0})
    assert again.protocol.name == "choices"
    assert again.generate("a cat", seed=1, **{**SMALL, "num_inference_steps": None}).unet_rows == 1
    with pytest.raises(CheckpointError, match="unknown protocol 'shouts': tool_calls, choices, genllava, shapes"):
        load(folder, protocol="shouts")
    with pytest.raises(InvalidRequest, match=r"no option safety, speed: .*unet"):
        load(folder, speed=1, safety=2)


def test_parts_of_ones_own(saved: tuple[GenLlavaPipeline, Path], layouts: Layouts) -> None:
    pipe, folder = saved
    unet: Any = pipe.decoder.unet  # type: ignore[union-attr]
    larger = diffusers.UNet2DConditionModel.from_config({**unet.config, "layers_per_block": 2}).eval()
    scheduler = diffusers.EulerDiscreteScheduler.from_config(pipe.decoder.scheduler.config)  # type: ignore[union-attr]
    again = load(folder, unet=larger, scheduler=scheduler)
    assert again.decoder.unet is larger  # type: ignore[union-attr]
    assert again.decoder.scheduler is scheduler  # type: ignore[union-attr]
    assert again.editor.unet is not larger  # type: ignore[union-attr]
    assert again.generate("a cat", seed=1, **SMALL).image is not None
    other = layouts.shared("llava15")
    drawer = load_diffusion(layouts("sdxl"))
    mine = load(
        folder, vlm=other.vlm, processor=other.processor, decoder=drawer, editor=None, protocol=None, tool_format=None
    )
    assert (mine.vlm, mine.decoder, mine.editor) == (other.vlm, drawer, None)
    assert mine.protocol.name == "choices"
    with pytest.raises(InvalidRequest, match="no option unet"):
        load(folder, decoder=drawer, unet=larger)


@needs_weights
def test_parts_of_ones_own_of_the_shapes_model() -> None:
    pipe = load(None)
    decoder: Any = pipe.decoder
    larger = diffusers.UNet2DConditionModel.from_config({**decoder.unet.config, "layers_per_block": 3})
    assert load(None, unet=larger).decoder.unet is larger  # type: ignore[union-attr]
    head = GenerationHead.from_config({**pipe.generation_head.config, "num_layers": 12})  # type: ignore[union-attr]
    again = load(None, generation_head=head, bridge="head")
    assert again.generation_head is head
    assert again.generate("a large red circle at the top left", seed=1).image is not None


def test_from_pipe_takes_settings_along(saved: tuple[GenLlavaPipeline, Path], layouts: Layouts) -> None:
    pipe, _ = saved
    half = layouts.assemble("qwen3_vl", "sd15", torch_dtype="bfloat16", protocol="choices", guidance_scale=2.0)
    again = GenLlavaPipeline.from_pipe(half)
    assert again.components == half.components
    assert again.vlm.dtype == torch.bfloat16, "nothing is converted"
    assert (again.protocol.name, again.config["drawing_options"]) == ("choices", half.config["drawing_options"])
    other = GenLlavaPipeline.from_pipe(half, editor=pipe.editor, protocol="tool_calls")
    assert (other.editor, other.protocol.name) == (pipe.editor, "tool_calls")
    with pytest.raises(InvalidRequest, match="no option speed"):
        GenLlavaPipeline.from_pipe(half, speed=1)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"num_queries": 2, "input_dim": 32, "output_length": 77, "output_dim": 32}
    head = GenerationHead(**sizes, hidden_dim=16, num_layers=1, num_heads=2, query_tokens=True)
    own = layouts.assemble("qwen3_vl", "sd15", generation_head=head, bridge="head")
    assert GenLlavaPipeline.from_pipe(own).generation_head is head
    assert GenLlavaPipeline.from_pipe(own).config["bridge"] == "head"


@needs_weights
def test_parts_alone_do_not_become_another_model() -> None:
    pipe = load(None)
    assert GenLlavaPipeline.from_pipe(pipe).protocol.name == "shapes"
    with pytest.raises(CheckpointError, match="from_pipe"):
        GenLlavaPipeline(**pipe.components)


def test_a_part_is_replaced_and_moved(saved: tuple[GenLlavaPipeline, Path], layouts: Layouts) -> None:
    _, folder = saved
    pipe = load(folder)
    before = pipe.generate("a cat", seed=1, **SMALL)
    pipe.register_modules(decoder=load_diffusion(layouts("sdxl")))
    assert pipe.generate("a cat", seed=1, **SMALL).decoder == "StableDiffusionXLPipeline"
    pipe.register_modules(decoder=None, editor=None)
    with pytest.raises(InvalidRequest, match="decoder="):
        pipe.generate("a cat")
    pipe = load(folder)
    pipe.to(torch.bfloat16)
    parts: Any = [pipe.vlm, pipe.decoder.unet, pipe.decoder.vae, pipe.editor.unet]  # type: ignore[union-attr]
    assert {part.dtype for part in parts} == {torch.bfloat16}
    assert not same(pipe.generate("a cat", seed=1, **SMALL), before)
    assert pipe.understand(picture(32, 32), "what?", max_new_tokens=2).text


def test_offload_needs_an_accelerator(saved: tuple[GenLlavaPipeline, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(InvalidRequest, match="no accelerator"):
        load(saved[1]).enable_model_cpu_offload()


def test_precision_and_variants(saved: tuple[GenLlavaPipeline, Path], tmp_path: Path) -> None:
    pipe, folder = saved
    half = load(folder, torch_dtype="bfloat16")
    half.save_pretrained(tmp_path, variant="bf16")
    assert {path.suffixes[0] for path in tmp_path.rglob("*.safetensors")} == {".bf16"}
    for options, dtype in (({}, torch.bfloat16), ({"torch_dtype": torch.float32}, torch.float32)):
        again = load(tmp_path, variant="bf16", **options)
        parts: Any = [again.vlm, again.decoder.unet, again.editor.unet]  # type: ignore[union-attr]
        assert {part.dtype for part in parts} == {dtype}
    with pytest.raises(CheckpointError):
        load(tmp_path)
    pipe.save_pretrained(tmp_path / "shards", variant="bf16", max_shard_size="20KB")
    assert list(tmp_path.rglob("*-of-*.safetensors"))
    assert same(
        load(tmp_path / "shards", variant="bf16").generate("a cat", seed=1, **SMALL),
        pipe.generate("a cat", seed=1, **SMALL),
    )
    with pytest.raises(InvalidRequest, match="safetensors only"):
        pipe.save_pretrained(tmp_path, safe_serialization=False)


def licensed(folder: Path, licence: str) -> Path:
    (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n\n# A model\n", encoding="utf-8")
    return folder


def head_of(folder: Path) -> dict[str, Any]:
    import yaml

    card = (folder / "README.md").read_text(encoding="utf-8")
    return dict(yaml.safe_load(card.split("---\n")[1]))


def test_the_card_names_the_licence_of_each_part(layouts: Layouts, tmp_path: Path) -> None:
    for name in ("qwen3_vl", "sd15"):
        shutil.copytree(layouts(name), tmp_path / name)
    licensed(tmp_path / "qwen3_vl", "apache-2.0")
    licensed(tmp_path / "sd15", "creativeml-openrail-m")
    folders: Any = (tmp_path / "qwen3_vl", tmp_path / "sd15", layouts("instruct_pix2pix"))
    GenLlavaPipeline.assemble(*folders, device="cpu").save_pretrained(tmp_path / "saved")
    licences = {"vlm": "apache-2.0", "decoder": "creativeml-openrail-m", "editor": "not stated"}
    assert head_of(tmp_path / "saved")["part_licenses"] == licences
    assert head_of(tmp_path / "saved")["license"] == "other"
    card = (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")
    assert "| decoder | StableDiffusionPipeline | not stated | creativeml-openrail-m |" in card
    assert str(tmp_path) not in card, "folders are nobody else's business"
    load(tmp_path / "saved").save_pretrained(tmp_path / "again")
    assert head_of(tmp_path / "again")["part_licenses"] == licences, "it is still known what they were"
    written = "---\nlicense: mit\ntags: [mine]\n---\n\n# My own words\n"
    (tmp_path / "again" / "README.md").write_text(written, encoding="utf-8")
    load(tmp_path / "saved").save_pretrained(tmp_path / "again")
    assert head_of(tmp_path / "again") == {"license": "mit", "tags": ["mine"], "part_licenses": licences}
    assert "# My own words" in (tmp_path / "again" / "README.md").read_text(encoding="utf-8")
    from genllava.model_info import model_info

    assert {part.licence for part in model_info(tmp_path / "saved").parts if part.parameters} == set(licences.values())


@pytest.mark.parametrize("way", ["method", "option"])
def test_what_is_pushed_to_the_hub_has_the_card(
    saved: tuple[GenLlavaPipeline, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    from diffusers.pipelines import pipeline_utils
    from diffusers.utils import hub_utils
    from huggingface_hub import ModelCard, ModelCardData, RepoUrl

    pushed: dict[str, Any] = {}

    def upload(repo_id: str, folder_path: Any, **options: Any) -> str:
        names = sorted(path.name for path in Path(folder_path).iterdir())
        pushed.update(repo_id=repo_id, names=names, head=head_of(Path(folder_path)), **options)
        return "done"

    def empty_card(*_: Any, **__: Any) -> ModelCard:
        return ModelCard.from_template(
            ModelCardData(), model_description="This model card has been automatically generated."
        )

    for module in (pipeline_utils, hub_utils):
        monkeypatch.setattr(module, "create_repo", lambda repo_id, **_: RepoUrl(f"https://huggingface.co/{repo_id}"))
        monkeypatch.setattr(module, "load_or_create_model_card", empty_card)
    monkeypatch.setattr(hub_utils, "upload_folder", upload)
    pipe = load(saved[1])
    if way == "method":
        pipe.push_to_hub("me/mine", private=True, commit_message="first")
    else:
        pipe.save_pretrained(tmp_path / "x", push_to_hub=True, repo_id="me/mine", commit_message="first")
    assert (pushed["repo_id"], pushed["commit_message"]) == ("me/mine", "first")
    assert pushed["names"] == ["README.md", "decoder", "editor", "model_index.json", "processor", "vlm"]
    assert set(pushed["head"]["part_licenses"]) == {"decoder", "editor", "vlm"}


# --- version 0.1 ---


def flat(folder: Path, parts: dict[str, tuple[Path, str, str]], **settings: Any) -> Path:
    """A checkpoint as version 0.1 saved it.

    Args:
        parts: by name: where it is now, library and class.
    """
    folder.mkdir()
    index: dict[str, Any] = {"_class_name": "GenLlavaPipeline", "_diffusers_version": "0.42.1", **settings}
    for name, (path, library, kind) in parts.items():
        shutil.copytree(path, folder / name)
        index[name] = [library, kind]
    for name in ("edit_unet", "generation_head"):
        index.setdefault(name, [None, None])
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def of_the_decoder(folder: Path) -> dict[str, tuple[Path, str, str]]:
    return {
        "unet": (folder / "unet", "diffusers", "UNet2DConditionModel"),
        "scheduler": (folder / "scheduler", "diffusers", "DDIMScheduler"),
        "text_encoder": (folder / "text_encoder", "transformers", "CLIPTextModel"),
        "tokenizer": (folder / "tokenizer", "transformers", "PreTrainedTokenizerFast"),
    }


@pytest.fixture
def assembled_01(layouts: Layouts, tmp_path: Path) -> Path:
    """LLaVA, Stable Diffusion and InstructPix2Pix, as version 0.1 saved them."""
    for name in ("llava15", "processor"):
        shutil.copytree(layouts("llava15"), tmp_path / name)
    for path in (tmp_path / "llava15").iterdir():
        if path.name not in ("config.json", "generation_config.json", "model.safetensors"):
            path.unlink()
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (tmp_path / "processor" / name).unlink()
    parts = of_the_decoder(layouts("sd15")) | {
        "vae": (layouts("sd15") / "vae", "diffusers", "AutoencoderKL"),
        "edit_unet": (layouts("instruct_pix2pix") / "unet", "diffusers", "UNet2DConditionModel"),
        "llava": (tmp_path / "llava15", "transformers", "LlavaForConditionalGeneration"),
        "processor": (tmp_path / "processor", "transformers", "LlavaProcessor"),
    }
    options = {"num_inference_steps": 2, "guidance_scale": 3.0, "image_guidance_scale": 1.4, "plan_temperature": 0.7}
    own = {"conditioner": "caption", "native_prompts": True, "resolution": 64, "edits_from_plans": False}
    return flat(tmp_path / "flat", parts, **options, **own, scale_source_latents=False)


def test_an_assembled_checkpoint_of_01(assembled_01: Path, layouts: Layouts, tmp_path: Path) -> None:
    pipe = load(assembled_01)
    assert (pipe.protocol.name, pipe.config["bridge"]) == ("choices", "caption")
    drawer = load_diffusion(layouts("sd15"))
    editor = load_diffusion(layouts("instruct_pix2pix"))
    how: Any = {"num_inference_steps": 2, "guidance_scale": 3.0}
    for plain in (drawer, editor):
        plain.set_progress_bar_config(disable=True)
    want = drawer("a cat", generator=torch.Generator().manual_seed(3), **how).images[0]
    assert same(pipe.generate("a cat", seed=3), want)
    editor.vae = drawer.vae  # there was one for both
    editor.text_encoder = drawer.text_encoder
    source = picture(64, 64)
    want = editor(
        "blue", image=source, image_guidance_scale=1.4, generator=torch.Generator().manual_seed(3), **how
    ).images[0]
    assert same(pipe.edit(source, "blue", seed=3), want)
    assert pipe.understand(source, "what?", max_new_tokens=4).text
    pipe.save_pretrained(tmp_path / "now")
    again = load(tmp_path / "now")
    assert same(again.edit(source, "blue", seed=3), want)
    unet = load_diffusion(layouts("sd15")).unet
    assert load(assembled_01, unet=unet).decoder.unet is unet  # type: ignore[union-attr]
    half = load(assembled_01, torch_dtype="bfloat16")
    assert {half.vlm.dtype, half.decoder.unet.dtype, half.editor.unet.dtype} == {torch.bfloat16}  # type: ignore[union-attr]


def test_a_damaged_checkpoint_of_01(assembled_01: Path) -> None:
    from safetensors.torch import save_file

    path = assembled_01 / "edit_unet" / "diffusion_pytorch_model.safetensors"
    tensors = {name: tensor for name, tensor in load_file(path).items() if "conv_out" not in name}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"edit_unet.*conv_out"):
        load(assembled_01)


@needs_weights
def test_a_shapes_model_of_01(tmp_path: Path) -> None:
    decoder = SHIPPED / "decoder"
    index = json.loads((decoder / "model_index.json").read_text(encoding="utf-8"))
    parts = {name: (decoder / name, *index[name]) for name in ("unet", "scheduler", "text_encoder", "tokenizer")}
    parts |= {
        "vae": (decoder / "vae", "genllava.autoencoder_patch", "AutoencoderPatch"),
        "llava": (SHIPPED / "vlm", "transformers", "LlavaForConditionalGeneration"),
        "processor": (SHIPPED / "processor", "transformers", "LlavaProcessor"),
        "generation_head": (SHIPPED / "generation_head", "genllava.generation_head", "GenerationHead"),
    }
    options = {"num_inference_steps": 4, "guidance_scale": 1.0, "image_guidance_scale": 1.0, "plan_temperature": 0.7}
    own = {"conditioner": "caption", "native_prompts": False, "resolution": 128, "edits_from_plans": True}
    folder = flat(tmp_path / "flat", parts, **options, **own, scale_source_latents=True)
    pipe, shipped = load(folder), load(None)
    assert pipe.protocol.name == "shapes"
    assert same(
        pipe.generate("a large red circle at the top left", seed=1),
        shipped.generate("a large red circle at the top left", seed=1),
    )
    drawing = shipped.generate("a small blue star", seed=2)
    assert same(pipe.edit(drawing, "make it green", seed=2), shipped.edit(drawing, "make it green", seed=2))
    assert pipe.understand(drawing, "what is it?").text == shipped.understand(drawing, "what is it?").text
