"""Public layouts, put together: what comes out is what the public pipelines themselves make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
)
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from genllava.assembly import assemble
from genllava.errors import CheckpointError, InvalidRequest
from genllava.pipeline_genllava import GenLlavaPipeline

Pictures = Callable[..., Image.Image]
TEMPLATE = (
    "{% for message in messages %}{{ message.role | upper }}: {% for part in message.content %}"
    "{% if part.type == 'image' %}<image>\n{% else %}{{ part.text }}{% endif %}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def save_llava(folder: Path) -> None:
    """As llava-hf saves LLaVA 1.5: a CLIP tower whose class token is dropped, and Llama."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(models.BPE(byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<unk>", "<s>", "</s>", "<image>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["USER: what is this? ASSISTANT:"], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        additional_special_tokens=["<image>"],
    )
    reader = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer=fast,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**sizes, image_size=32, patch_size=16),
        text_config=LlamaConfig(**sizes, vocab_size=len(fast), initializer_range=0.2, max_position_embeddings=512),
        image_token_id=fast.convert_tokens_to_ids("<image>"),
    )
    LlavaForConditionalGeneration(config).eval().save_pretrained(folder)
    reader.save_pretrained(folder)


def diffusion_parts(build: Any) -> dict[str, Any]:
    torch.manual_seed(1)
    text_encoder, tokenizer = build.text_encoder()
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        latent_channels=4,
        scaling_factor=0.18215,
    )
    return {
        "vae": vae.eval(),
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "scheduler": DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small LLaVA in the public layout; `pipelines` adds the rest."""
    folder = tmp_path_factory.mktemp("public")
    save_llava(folder / "llava")
    return {"folder": folder}


@pytest.fixture
def pipelines(public: dict[str, Any], build: Any) -> dict[str, Any]:
    """The public pipelines, saved, and what we put together from them."""
    folder = public["folder"]
    if "drawer" not in public:
        parts = diffusion_parts(build)
        public["drawer"] = StableDiffusionPipeline(unet=build.unet(in_channels=4), **parts)
        public["editor"] = StableDiffusionInstructPix2PixPipeline(unet=build.unet(in_channels=8), **parts)
        for name in ("drawer", "editor"):
            public[name].set_progress_bar_config(disable=True)
            public[name].save_pretrained(folder / name)
        public["ours"] = assemble(
            folder / "llava", folder / "drawer", folder / "editor", num_inference_steps=4, guidance_scale=5.0
        )
    return public


def same(a: Image.Image | None, b: Image.Image) -> bool:
    assert a is not None
    return bool(np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 1)


def test_it_draws_what_stable_diffusion_draws(pipelines: dict[str, Any]) -> None:
    ours = pipelines["ours"].generate("red circle", seed=3)
    theirs = pipelines["drawer"](
        "red circle", num_inference_steps=4, guidance_scale=5.0, generator=torch.Generator().manual_seed(3),
        output_type="latent",
    ).images  # fmt: skip
    assert ours.latents is not None
    assert torch.allclose(ours.latents, theirs[0], atol=1e-4)
    assert ours.plan == "red circle"
    assert pipelines["ours"].config["resolution"] == 32


def test_it_edits_as_instruct_pix2pix_does(pipelines: dict[str, Any], picture: Pictures) -> None:
    ours = pipelines["ours"].edit(picture(1), "red", seed=3, image_guidance_scale=1.4)
    theirs = pipelines["editor"](
        "red", image=picture(1), num_inference_steps=4, guidance_scale=5.0, image_guidance_scale=1.4,
        generator=torch.Generator().manual_seed(3), output_type="latent",
    ).images  # fmt: skip
    assert ours.latents is not None
    assert torch.allclose(ours.latents, theirs[0], atol=1e-4)
    decoded = pipelines["editor"](
        "red", image=picture(1), num_inference_steps=4, guidance_scale=5.0, image_guidance_scale=1.4,
        generator=torch.Generator().manual_seed(3),
    ).images  # fmt: skip
    assert same(ours.image, decoded[0])


def test_it_answers_as_llava_does(
    pipelines: dict[str, Any], picture: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genllava.protocols.shapes import native

    monkeypatch.setattr(native, "MAX_ANSWER_TOKENS", 10)
    ours: GenLlavaPipeline = pipelines["ours"]
    folder = pipelines["folder"] / "llava"
    llava = LlavaForConditionalGeneration.from_pretrained(folder)
    reader = LlavaProcessor.from_pretrained(folder)
    inputs = reader(images=picture(1), text="USER: <image>\nwhat is this? ASSISTANT:", return_tensors="pt")
    words = [token for token in range(len(reader.tokenizer)) if token not in (0, 1, 3, 4)]
    ids = llava.generate(
        **inputs,
        max_new_tokens=10,
        do_sample=False,
        prefix_allowed_tokens_fn=lambda *_: words,
        min_new_tokens=1,
    )[0, inputs["input_ids"].shape[1] :]
    theirs = " ".join(reader.tokenizer.decode(ids, skip_special_tokens=True).split())
    assert ours.understand(picture(1), "what is this?").text == theirs
    batched = ours.understand([picture(1), None], ["what is this?", "hello there, what?"])
    assert batched[0].text == theirs


def test_it_is_saved_like_any_other(pipelines: dict[str, Any], tmp_path: Path) -> None:
    pipelines["ours"].save_pretrained(tmp_path)
    again = GenLlavaPipeline.from_pretrained(tmp_path)
    first, second = (p.generate("red circle", seed=1).latents for p in (pipelines["ours"], again))
    assert torch.equal(first, second)
    assert again.config["native_prompts"]


def test_what_needs_finetuning_says_so(pipelines: dict[str, Any]) -> None:
    ours: GenLlavaPipeline = pipelines["ours"]
    for call in (ours.conversation, lambda: ours.next_action("draw a star")):
        with pytest.raises(InvalidRequest, match="finetuning"):
            call()
    with pytest.raises(InvalidRequest, match="generation head"):
        ours.generate("a star", conditioner="head")
    with pytest.raises(InvalidRequest, match="no generation head"):
        ours.null_embeds()


def test_new_tokens_get_rows_of_their_own(pipelines: dict[str, Any]) -> None:
    ours: GenLlavaPipeline = pipelines["ours"]
    rows = ours.llava.get_input_embeddings().weight[[ours.language.id(t) for t in ("[T2I]", "[I2I]", "[SOI]")]]
    assert torch.pdist(rows.detach()).min() > 0.1 * rows.detach().norm(dim=1).mean()


def test_instruct_pix2pix_alone_draws_and_edits(pipelines: dict[str, Any], picture: Pictures) -> None:
    folder = pipelines["folder"]
    ours = GenLlavaPipeline.assemble(folder / "llava", folder / "editor", num_inference_steps=1)
    assert ours.generate("red", seed=1).image is not None
    assert ours.edit(picture(1), "red", seed=1).image is not None


@pytest.mark.parametrize(("llava", "diffusion"), [("none", "drawer"), ("llava", "none"), ("drawer", "drawer")])
def test_what_is_not_there_is_named(pipelines: dict[str, Any], llava: str, diffusion: str) -> None:
    with pytest.raises(CheckpointError, match="cannot read"):
        assemble(pipelines["folder"] / llava, pipelines["folder"] / diffusion)
