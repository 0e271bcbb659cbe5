"""What cannot work is refused at the door, by one typed error that names the part and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from genllava import GenerationHead, GenLlavaPipeline, assembly, memory, saved_pipeline
from genllava.errors import (
    CheckpointError,
    ImageRejected,
    InvalidRequest,
    NonFiniteError,
    NotEnoughMemory,
)
from genllava.image_decoder import load_diffusion
from tests.genllava.forced import SMALL, Layouts, force, picture

Copy = Callable[..., Path]


@pytest.fixture
def copy(layouts: Layouts, tmp_path: Path) -> Copy:
    """A copy of a layout that the test may damage, without some of its files."""

    def make(name: str, *dropped: str) -> Path:
        shutil.copytree(layouts(name), tmp_path / name)
        for pattern in dropped:
            found = list((tmp_path / name).glob(pattern))
            assert found
            for path in found:
                path.unlink()
        return tmp_path / name

    return make


def without(path: Path, part: str) -> None:
    """Take tensors out of a file."""
    tensors = load_file(path)
    kept = {name: tensor for name, tensor in tensors.items() if part not in name}
    assert 0 < len(kept) < len(tensors)
    save_file(kept, path, metadata={"format": "pt"})


def changed(path: Path, **values: Any) -> None:
    """Change a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def assemble(*folders: Any, **options: Any) -> GenLlavaPipeline:
    return GenLlavaPipeline.assemble(*folders, **{"device": "cpu", **options})


def test_what_is_no_vision_language_model(layouts: Layouts, tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 32}
    text = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, num_attention_heads=2))
    text.save_pretrained(tmp_path / "llama")
    with pytest.raises(CheckpointError, match="llama, which is no vision-language model"):
        assemble(tmp_path / "llama")
    with pytest.raises(
        CheckpointError, match="StableDiffusionPipeline, whose text encoder is no vision-language model"
    ):
        assemble(layouts("sd15"))
    with pytest.raises(CheckpointError, match=r"no model folder .*nothing, and it is no id"):
        assemble(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="nobody/nothing"):
        assemble("nobody/nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"vlm.*neither model_index.json nor config.json"):
        assemble(tmp_path / "empty")


def test_what_is_no_decoder(layouts: Layouts, tmp_path: Path) -> None:
    blocks: dict[str, Any] = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    unet = diffusers.UNet2DModel(sample_size=8, block_out_channels=(8,), norm_num_groups=4, **blocks)
    diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler()).save_pretrained(tmp_path / "ddpm")
    for place, folders in (("decoder", (tmp_path / "ddpm",)), ("editor", (None, tmp_path / "ddpm"))):
        with pytest.raises(
            CheckpointError, match=f"{place}.*DDPMPipeline has no text conditioning; give a text-to-image"
        ):
            assemble(layouts("qwen3_vl"), *folders)
    with pytest.raises(CheckpointError, match="decoder"):
        assemble(layouts("qwen3_vl"), layouts("llava15"))
    with pytest.raises(CheckpointError, match=r"decoder.*nothing"):
        assemble(layouts("qwen3_vl"), tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"editor.*nothing"):
        assemble(layouts("qwen3_vl"), layouts("sd15"), tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="decoder nobody/nothing"):
        assemble(layouts("qwen3_vl"), "nobody/nothing")


def test_pickles_are_not_read(copy: Copy, layouts: Layouts, tmp_path: Path) -> None:
    vlm = copy("llava15", "model.safetensors")
    torch.save({}, vlm / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"llava15 has its weights only as pickles.*convert to safetensors"):
        assemble(vlm)
    decoder = copy("sd15", "unet/*.safetensors")
    torch.save({}, decoder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"decoder: unet/diffusion_pytorch_model.bin is a pickle"):
        assemble(layouts("qwen3_vl"), decoder)
    layouts.shared("qwen3_vl", "sd15").save_pretrained(tmp_path / "saved")
    for name in ("vlm", "decoder/unet"):
        shutil.copytree(tmp_path / "saved", tmp_path / "bad")
        for path in (tmp_path / "bad" / name).glob("*.safetensors"):
            path.unlink()
        torch.save({}, tmp_path / "bad" / name / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match=r"(vlm|unet)/pytorch_model.bin is (a pickle|not a safetensors file)"):
            GenLlavaPipeline.from_pretrained(tmp_path / "bad", device="cpu")
        shutil.rmtree(tmp_path / "bad")


def test_code_of_checkpoints_is_not_run(copy: Copy, layouts: Layouts, tmp_path: Path) -> None:
    for call in (lambda: assemble(layouts("qwen3_vl"), trust_remote_code=True), lambda: load(trust_remote_code=True)):
        with pytest.raises(InvalidRequest, match="leave out trust_remote_code"):
            call()
    assert assemble(layouts("qwen3_vl"), trust_remote_code=False).vlm is not None
    own = copy("llava15")
    (own / "modeling_mine.py").write_text("raise SystemExit('it was run')\n", encoding="utf-8")
    auto_map = {"AutoConfig": "modeling_mine.MyConfig", "AutoModelForImageTextToText": "modeling_mine.MyModel"}
    changed(own / "config.json", model_type="mine", auto_map=auto_map)
    with pytest.raises(CheckpointError, match="config"):
        assemble(own)
    layouts.shared("qwen3_vl", "sd15").save_pretrained(tmp_path / "saved")
    index = json.loads((tmp_path / "saved" / "model_index.json").read_text(encoding="utf-8"))
    index["generation_head"] = ["os", "system"]
    (tmp_path / "saved" / "generation_head").mkdir()
    (tmp_path / "saved" / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(CheckpointError, match="generation_head would be loaded from os"):
        GenLlavaPipeline.from_pretrained(tmp_path / "saved", device="cpu")
    index["generation_head"] = [None, None]
    (tmp_path / "saved" / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    (tmp_path / "saved" / "decoder" / "unet" / "mine.py").write_text("raise SystemExit\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"mine\.py"):
        GenLlavaPipeline.from_pretrained(tmp_path / "saved", device="cpu")


def load(**options: Any) -> GenLlavaPipeline:
    return GenLlavaPipeline.from_pretrained(None, **options)


def test_a_missing_processor_or_template(copy: Copy, layouts: Layouts) -> None:
    bare = copy("llava15", "processor_config.json", "tokenizer*", "chat_template*")
    with pytest.raises(CheckpointError, match=r"llava15.*processor"):
        assemble(bare)
    assert assemble(bare, processor=layouts("llava15")).processor is not None
    mute = copy("qwen3_vl", "chat_template*")
    with pytest.raises(CheckpointError, match="no chat template: give one with chat_template="):
        assemble(mute)
    assert assemble(mute, chat_template="{{ messages[0].content[0].text }}").protocol.name == "choices"


@pytest.mark.parametrize("door", ["assemble", "from_pretrained"])
def test_too_little_memory_is_said_before_anything_is_loaded(
    layouts: Layouts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    layouts.shared("qwen3_vl", "sd15").save_pretrained(tmp_path)

    def call(**options: Any) -> Any:
        if door == "assemble":
            return assemble(layouts("qwen3_vl"), layouts("sd15"), **options)
        return GenLlavaPipeline.from_pretrained(tmp_path, **{"device": "cpu", **options})

    loaded: list[str] = []
    for module in (assembly, saved_pipeline):
        for name in ("load_model", "load_diffusion"):
            monkeypatch.setattr(module, name, lambda *_, **__: loaded.append("loaded"))
    stored = sum(
        path.stat().st_size for name in ("vlm", "decoder") for path in (tmp_path / name).rglob("*.safetensors")
    )
    monkeypatch.setattr(memory, "free_memory", lambda device: stored - 1)
    with pytest.raises(
        NotEnoughMemory, match=r"needs 1.\d MB as saved for the weights alone.*torch_dtype='bfloat16' needs 0.\d"
    ):
        call()
    monkeypatch.setattr(memory, "free_memory", lambda device: 700_000)
    with pytest.raises(NotEnoughMemory, match="in bfloat16"):
        call(torch_dtype="bfloat16")
    assert loaded == []
    monkeypatch.undo()
    monkeypatch.setattr(memory, "free_memory", lambda device: stored * 2 // 3)
    assert call(torch_dtype="bfloat16").generate("a cat", seed=1, **SMALL).image is not None
    four_bits = transformers.BitsAndBytesConfig(load_in_4bit=True)
    monkeypatch.setattr(memory, "free_memory", lambda device: 0)
    with pytest.raises(NotEnoughMemory):
        call(quantization_config=four_bits)


def test_numbers_that_are_none(copy: Copy, layouts: Layouts) -> None:
    pipe = layouts.assemble("qwen3_vl", "sd15", "instruct_pix2pix")
    model = force(pipe)
    for diffusion in (pipe.decoder, pipe.editor):
        with torch.no_grad():
            diffusion.unet.conv_out.weight.fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(NonFiniteError, match=r"StableDiffusionPipeline: NaN.*torch.float32"):
        pipe.generate("a cat", seed=1, **SMALL)
    with pytest.raises(NonFiniteError, match="StableDiffusionInstructPix2PixPipeline: NaN"):
        pipe.edit(picture(64, 64), "blue", seed=1)
    conversation = pipe.conversation()
    model.script = [model.says("Yes.", ("generate_image", {"prompt": "a cat"}))]
    with pytest.raises(NonFiniteError):
        conversation.ask("a cat", seed=1, **SMALL)
    assert (len(conversation.messages), conversation.images) == (1, [])
    with torch.no_grad():
        pipe.vlm.lm_head.weight.fill_(float("nan"))
    model.script = ["x"]
    with pytest.raises(NonFiniteError, match="language model"):
        pipe.understand(picture(32, 32), "what?")


def test_pictures_that_are_not_let_in(layouts: Layouts) -> None:
    pipe = layouts.shared("qwen3_vl", "sd15")
    force(pipe)
    thread = np.zeros((1, 5000, 3), np.uint8)
    for call in (
        lambda: pipe.understand(thread, "what?"),
        lambda: pipe.edit(thread, "blue"),
        lambda: pipe.conversation().ask("what?", thread),
        lambda: pipe("what?", [picture(32, 32), thread]),
    ):
        with pytest.raises(ImageRejected, match=r"5000|50 times|longer"):
            call()
    for wrong in ("http://example.org/a.png", "no such file.png", 7):
        with pytest.raises(ImageRejected):
            pipe.understand(wrong, "what?")


def test_requests_that_are_none(layouts: Layouts) -> None:
    pipe = layouts.shared("qwen3_vl", "sd15")
    with pytest.raises(InvalidRequest, match=r"StableDiffusionPipeline takes no speed; it takes .*guidance_scale"):
        pipe.generate("a cat", speed=3)  # type: ignore[call-arg]
    with pytest.raises(InvalidRequest, match="StableDiffusionImg2ImgPipeline takes no speed"):
        pipe.edit(picture(32, 32), "blue", speed=3)  # type: ignore[call-arg]
    with pytest.raises(InvalidRequest, match="unknown sampling option 'speed'"):
        pipe.understand(picture(32, 32), "what?", speed=3)
    with pytest.raises(InvalidRequest, match="unknown bridge 'neck'"):
        pipe.generate("a cat", bridge="neck")  # type: ignore[arg-type]
    for text in ("", " \n", 7):
        with pytest.raises(InvalidRequest):
            pipe.generate(text)  # type: ignore[call-overload]
    with pytest.raises(InvalidRequest, match="1 plans for 2 requests"):
        pipe.generate(["a", "b"], plan="a")
    with pytest.raises(InvalidRequest, match="one picture per instruction"):
        pipe.edit([picture(8, 8), picture(8, 8)], "blue")
    with pytest.raises(InvalidRequest, match="seed"):
        pipe.generate("a cat", seed=-1)


# --- missing weights (LLaVA#622), another architecture (lmms-eval#529) ---


def test_missing_weights_of_an_assembled_model(copy: Copy, layouts: Layouts) -> None:
    vlm, decoder, editor = copy("llava15"), copy("sd15"), copy("instruct_pix2pix")
    without(vlm / "model.safetensors", "multi_modal_projector")
    with pytest.raises(CheckpointError, match=r"llava15: weights are missing: .*multi_modal_projector"):
        assemble(vlm)
    without(decoder / "unet" / "diffusion_pytorch_model.safetensors", "conv_out")
    with pytest.raises(CheckpointError, match=r"decoder: unet: its files lack the weight conv_out\.bias and 1 more"):
        assemble(layouts("llava15"), decoder)
    without(editor / "text_encoder" / "model.safetensors", "final_layer_norm")
    with pytest.raises(CheckpointError, match="editor: text_encoder: its files lack the weight"):
        assemble(layouts("llava15"), layouts("sd15"), editor)


def test_missing_weights_of_a_saved_model_and_with_a_variant_beside(layouts: Layouts, tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"num_queries": 2, "input_dim": 32, "output_length": 77, "output_dim": 32}
    head = GenerationHead(**sizes, hidden_dim=16, num_layers=1, num_heads=2, query_tokens=True)
    pipe = layouts.assemble("llava15", "sd15", generation_head=head)
    pipe.save_pretrained(tmp_path / "whole")
    pipe.save_pretrained(tmp_path / "whole", variant="fp16")
    files = {
        "vlm/model": "multi_modal_projector",
        "decoder/unet/diffusion_pytorch_model": "conv_out",
        "decoder/vae/diffusion_pytorch_model": "decoder.conv_out",
        "generation_head/diffusion_pytorch_model": "project_out",
    }
    for name, part in files.items():
        for variant, ending in ((None, ".safetensors"), ("fp16", ".fp16.safetensors")):
            shutil.copytree(tmp_path / "whole", tmp_path / "cut")
            without(tmp_path / "cut" / f"{name}{ending}", part)
            with pytest.raises(CheckpointError, match=part):
                GenLlavaPipeline.from_pretrained(tmp_path / "cut", variant=variant, device="cpu")
            other = "fp16" if variant is None else None
            if name != "vlm/model":
                shutil.rmtree(tmp_path / "cut")
                continue
            assert GenLlavaPipeline.from_pretrained(tmp_path / "cut", variant=other, device="cpu").vlm is not None
            shutil.rmtree(tmp_path / "cut")
    (tmp_path / "whole" / "vlm" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="vlm"):
        GenLlavaPipeline.from_pretrained(tmp_path / "whole", device="cpu")


def test_a_checkpoint_of_another_architecture(copy: Copy) -> None:
    other = copy("llava15")
    pinpoints = [[32, 64], [64, 32]]
    names = ["LlavaNextForConditionalGeneration"]
    changed(other / "config.json", model_type="llava_next", architectures=names, image_grid_pinpoints=pinpoints)
    with pytest.raises(CheckpointError, match=r"weights are missing: .*image_newline"):
        assemble(other)
    changed(other / "config.json", model_type="llava", architectures=["LlavaForConditionalGeneration"], vocab_size=7)
    text = json.loads((other / "config.json").read_text(encoding="utf-8"))["text_config"]
    changed(other / "config.json", text_config={**text, "vocab_size": 100})
    with pytest.raises(CheckpointError, match="of another shape"):
        assemble(other)


def test_a_damaged_file(copy: Copy, layouts: Layouts) -> None:
    vlm, decoder = copy("llava15"), copy("sd15")
    (vlm / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(CheckpointError, match="vlm"):
        assemble(vlm)
    (decoder / "model_index.json").write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match="decoder"):
        assemble(layouts("llava15"), decoder)


# --- the user's words, and the ends of answers (sglang#3819, textgen#5885) ---


@pytest.mark.parametrize("shown", [True, False])
def test_the_name_of_a_placeholder_in_a_question_is_text(layouts: Layouts, shown: bool) -> None:
    for name, placeholder in (("llava15", "<image>"), ("qwen3_vl", "<|image_pad|>")):
        pipe = layouts.shared(name, "sd15")
        pipe.counters.reset()
        asked = f"what does {placeholder} mean in a prompt?"
        assert pipe.understand(picture(64, 48) if shown else None, asked, max_new_tokens=4).text is not None
        assert pipe.counters.image_encodes == int(shown)


def test_all_tokens_that_end_an_answer_end_it(copy: Copy, layouts: Layouts) -> None:
    vlm = copy("llava15")
    extra = layouts.shared("llava15").processor.tokenizer.convert_tokens_to_ids("<pad>")
    changed(vlm / "generation_config.json", eos_token_id=[2, extra])
    pipe = assemble(vlm)
    passes: list[int] = []

    def hook(module: Any, args: Any, output: Any) -> None:
        passes.append(1)
        output.logits[:, -1, extra if len(passes) == 3 else 7] += 1e4

    handle = pipe.vlm.register_forward_hook(hook)
    answer = pipe.understand(picture(64, 48), "what is this?")
    handle.remove()
    assert len(passes) == 3
    assert answer.unsure == ""
    assert load_diffusion(layouts("sd15")) is not None
