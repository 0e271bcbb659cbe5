"""Task tokens, plans and visual queries on random models: each kind of turn, once written, is carried out right."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.layouts import decoders
from genllava import Drawing, GenerationHead, GenLlavaPipeline, ImageDecoder
from genllava.errors import CheckpointError, InvalidRequest
from genllava.image_decoder import load_diffusion
from genllava.protocols.parts import user_message
from genllava.protocols.task_tokens import EOI, I2I, I2T, SOI, T2I, TASKS, TOOL
from genllava.protocols.verbs import verb_tools
from tests.genllava.forced import SMALL, Layouts, force, picture, pixels, same, some
from tests.genllava.image_decoder.small import options as small
from tests.genllava.protocols.test_choices import CROP
from tests.genllava.test_assembly import has

QUERIES = "<query_0><query_1><query_2><query_3>"
WIDTHS = {"sd15": (32, None), "sdxl": (64, 32)}


def head_for(decoder: str, **changed: Any) -> GenerationHead:
    """A random head between the small language models and a decoder."""
    torch.manual_seed(0)
    width, pooled = WIDTHS[decoder]
    sizes: dict[str, Any] = {"input_dim": 32, "output_length": 77, "output_dim": width, "pooled_dim": pooled}
    sizes |= {"num_queries": 4, "hidden_dim": 16, "num_layers": 1, "num_heads": 2, "query_tokens": True}
    head = GenerationHead(**{**sizes, **changed}).eval()
    head.null_embeds.normal_()
    if pooled is not None:
        head.null_pooled.normal_()
    return head


@pytest.fixture(scope="module")
def built(layouts: Layouts) -> Any:
    """Pipelines by their parts, made once."""
    made: dict[Any, GenLlavaPipeline] = {}

    def make(vlm: str = "qwen3_vl", decoder: str = "sd15", bridge: str = "caption") -> GenLlavaPipeline:
        if (vlm, decoder, bridge) not in made:
            head = head_for(decoder)
            made[vlm, decoder, bridge] = layouts.assemble(
                vlm, decoder, protocol="genllava", bridge=bridge, generation_head=head
            )
        return made[vlm, decoder, bridge]

    return make


@pytest.mark.parametrize("vlm", ["llava15", "qwen3_vl"])
def test_an_answer_in_words(built: Any, vlm: str) -> None:
    pipe = built(vlm)
    model = force(pipe, ["A cat."], [I2T, "</s>" if vlm == "llava15" else "<|im_end|>"])
    (answer,) = pipe.conversation().ask("what is it?", picture(64, 48))
    model.done()
    assert answer.text == "A cat."
    assert model.choices == [[I2T, T2I, I2I], [T2I, I2I, model.end_token]]
    assert model.asked[1].endswith(f"{I2T} A cat.")


@pytest.mark.parametrize("vlm", ["llava15", "qwen3_vl"])
@pytest.mark.parametrize("bridge", ["caption", "head"])
def test_it_answers_draws_and_edits_in_one_turn(built: Any, vlm: str, bridge: str) -> None:
    pipe = built(vlm, "sd15", bridge)
    end = force(pipe).end_token
    model = force(
        pipe,
        [f"A cat.{T2I}", f"a woodcut of 'NO PARKING', x**2{SOI}", f"make it blue{SOI}", "It is blue now."],
        [I2T, T2I, I2I, " image_2:", I2T, end, I2T, end],
    )
    conversation = pipe.conversation()
    answer, drawing, edited, last = conversation.ask(
        "what? a woodcut; in blue", picture(96, 64), seed=3, height=64, width=64
    )
    assert model.script == []
    assert [answer.text, last.text] == ["A cat.", "It is blue now."]
    assert (drawing.plan, edited.plan, edited.source) == ("a woodcut of 'NO PARKING', x**2", "make it blue", 2)
    if bridge == "caption":  # the head reads its queries in the conversation: see test_genllava_context
        assert same(drawing, pipe.generate(drawing.plan, plan=drawing.plan, seed=3, height=64, width=64))
        assert same(edited, pipe.edit(drawing.image, "make it blue", plan="make it blue", seed=3))
    model.script = ["Yes."]
    conversation.ask("sure?")
    said = model.read[-1]
    assert f"{I2T} A cat.{T2I} a woodcut of 'NO PARKING', x**2{SOI}{QUERIES}{EOI}" in said
    assert f"{I2I} image_2: make it blue{SOI}{QUERIES}{EOI}" in said
    assert said.count("Done: image_") == 2
    assert said.endswith(I2T)
    assert [same(*pair) for pair in zip(model.shown[-1][1:], (drawing, edited), strict=True)] == [True, True]


def test_it_calls_other_tools(built: Any) -> None:
    pipe = built()
    tools = [*verb_tools(1), CROP]
    call = '{"name": "crop", "arguments": {"side": "left", "pixels": 3}}'
    asked = [user_message("crop it", [picture(32, 32)])]
    model = force(pipe, [call], [TOOL])
    reply = pipe.protocol.reply(asked, tools)
    assert model.choices == [[I2T, T2I, I2I, TOOL]]
    assert [(each.name, each.arguments) for each in reply.tool_calls] == [("crop", {"side": "left", "pixels": 3})]
    made = {"role": "assistant", "content": [], "tool_calls": [{"function": {"name": "crop", "arguments": {"é": 1}}}]}
    result = {"role": "tool", "content": "cropped", "tool_call_id": "x"}
    model = force(pipe, [], [None, None])
    model.prefers = [model.end_token]
    assert pipe.protocol.reply([*asked, made, result], tools).tool_calls == []
    assert '[TOOL] {"name": "crop", "arguments": {"é": 1}}<|im_end|>' in model.asked[0]
    assert "<|im_start|>user\ncropped\n<|im_end|>" in model.asked[0]
    force(pipe, ['{"name": "crop"'], [TOOL])
    reply = pipe.protocol.reply(asked, tools)
    assert reply.invalid[0].text == '{"name": "crop"'


def test_what_does_not_fit_goes_back_once(built: Any) -> None:
    pipe = built()
    model = force(pipe, [f" {SOI}", f"a cat{SOI}"], [T2I, T2I])
    model.prefers.append(model.end_token)
    (drawing,) = pipe("a cat", seed=1, **SMALL).results
    assert drawing.plan == "a cat"
    assert "Not done: prompt of generate_image must not be empty." in model.asked[1]


def test_the_verbs_by_themselves(built: Any) -> None:
    pipe = built()
    one = picture(96, 64)
    model = force(pipe, [f"A cat.{T2I}", f"a cat, sleeping{SOI}", f"with a hat{SOI}", SOI])
    assert pipe.understand(one, "what?").text == "A cat."
    drawing = pipe.generate("something nice", seed=1, **SMALL)
    edited = pipe.edit(one, "dress it", seed=1)
    assert (drawing.plan, edited.plan) == ("a cat, sleeping", "with a hat")
    assert [prompt.rsplit("assistant\n", 1)[1] for prompt in model.read] == [I2T, T2I, f"{I2I} image_1:"]
    assert "image_1:<|vision_start|>" in model.read[2]
    assert same(drawing, pipe.generate("other words", plan="a cat, sleeping", seed=1, **SMALL))
    with pytest.raises(InvalidRequest, match="planned nothing for 'draw'"):
        pipe.generate("draw")
    model.done()


@pytest.mark.parametrize(("vlm", "decoder"), [("llava15", "sdxl"), ("qwen3_vl", "sd15")])
def test_the_heads_path_is_that_of_plain_diffusers(built: Any, vlm: str, decoder: str) -> None:
    pipe: GenLlavaPipeline = built(vlm, decoder, "head")
    ours = pipe.generate("a cat", plan="a cat", seed=4, guidance_scale=3.0, **SMALL)
    language, head = pipe.vision_language, pipe.generation_head
    assert head is not None
    gap = " " if vlm == "llava15" else ""
    states = language.query_states([user_message("a cat")], f"{gap}{T2I} a cat{SOI}", head.query_names)
    with torch.no_grad():
        embeds, pooled = head.condition(states)
    given: dict[str, Any] = {"prompt_embeds": embeds, "negative_prompt_embeds": head.null_embeds}
    if pooled is not None:
        given |= {"pooled_prompt_embeds": pooled, "negative_pooled_prompt_embeds": head.null_pooled}
    decoder_pipe: Any = copy.copy(pipe.decoder)
    decoder_pipe.set_progress_bar_config(disable=True)
    theirs = decoder_pipe(**given, guidance_scale=3.0, generator=torch.Generator().manual_seed(4), **SMALL).images[0]
    assert same(ours, theirs)
    assert not same(ours, pipe.generate("a cat", plan="a cat", seed=4, guidance_scale=3.0, bridge="caption", **SMALL))
    other = pipe.generate("a cat", plan="a cat", seed=4, guidance_scale=3.0, negative_prompt="a dog", **SMALL)
    assert not same(ours, other)
    with pytest.raises(InvalidRequest, match="one negative_prompt"):
        pipe.generate(["a", "b"], plan=["a", "b"], negative_prompt=["c", "d"], **SMALL)
    two = pipe.generate(["a dog", "a cat"], plan=["a dog", "a cat"], seed=4, guidance_scale=3.0, **SMALL)
    assert np.abs(pixels(two[1]).astype(int) - pixels(ours)).max() <= 1, (
        "a picture depends on its seed, and not on its batch"
    )


def test_an_edit_by_the_head_sees_the_picture(built: Any) -> None:
    pipe = built("qwen3_vl", "sd15", "head")
    language = pipe.vision_language
    states = []
    for seed in (1, 2):
        asked = pipe.protocol.asked(pipe_request("blue", picture(64, 64, seed)))
        states.append(language.query_states([asked], pipe.protocol.query_prefix(I2I, "blue"), ["<query_0>"]))
    assert not torch.allclose(*states, atol=1e-3)
    assert pipe.edit(picture(97, 61), "blue", plan="blue", seed=1).image.size == (97, 61)


def pipe_request(text: str, *images: Any) -> Any:
    from genllava.requests import Request

    return Request(text, images)


@pytest.mark.parametrize("decoder", ["sd15", "sdxl"])
def test_a_loss_reaches_head_and_language_model_through_the_frozen_decoder(built: Any, decoder: str) -> None:
    pipe: GenLlavaPipeline = built("qwen3_vl", decoder, "head")
    head, unet, language = pipe.generation_head, pipe.decoder.unet, pipe.vision_language  # type: ignore[union-attr]
    assert head is not None
    unet.requires_grad_(False)
    asked = [user_message("a cat", [picture(32, 32)])]
    states = language.query_states([asked, [user_message("a dog")]], f"{T2I} a cat{SOI}", head.query_names, grad=True)
    embeds, pooled = head.condition(states)
    sizes = torch.tensor([[64.0, 64, 0, 0, 64, 64]] * 2)
    extra = None if pooled is None else {"text_embeds": pooled, "time_ids": sizes}
    noise = torch.randn(2, 4, 8, 8)
    predicted = unet(noise, 500, embeds, added_cond_kwargs=extra).sample
    try:
        (predicted - noise).square().mean().backward()
        reached = [name for name, p in head.named_parameters() if p.grad is not None and bool(p.grad.abs().sum() > 0)]
        assert {"project_in.weight", "project_out.weight", "output_tokens"} <= set(reached)
        assert ("project_pooled.weight" in reached) == (decoder == "sdxl")
        rows = language.model.get_input_embeddings().weight.grad
        ids = language.tokenizer.convert_tokens_to_ids(head.query_names)
        assert (rows[ids].abs().sum(1) > 0).all(), "the rows of the queries learn"
        layers = [p.grad for n, p in language.model.named_parameters() if "layers.0.mlp" in n and "visual" not in n]
        assert layers
        assert all(grad is not None and bool(grad.abs().sum() > 0) for grad in layers)
        assert all(parameter.grad is None for parameter in unet.parameters())
    finally:
        for module in (head, language.model):
            module.zero_grad(set_to_none=True)


@pytest.mark.parametrize("vlm", some(["llava15", "qwen3_vl"], ["llava15"]))
def test_it_is_saved_with_its_tokens(built: Any, vlm: str, tmp_path: Path) -> None:
    pipe: GenLlavaPipeline = built(vlm, "sdxl", "head")
    pipe.save_pretrained(tmp_path)
    again = GenLlavaPipeline.from_pretrained(tmp_path, device="cpu")
    assert (again.protocol.name, again.config["bridge"]) == ("genllava", "head")
    tokens = [*TASKS, SOI, EOI, *pipe.generation_head.query_names]  # type: ignore[union-attr]
    ids = [p.vision_language.tokenizer.convert_tokens_to_ids(tokens) for p in (pipe, again)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(tokens)
    rows = [p.vlm.get_input_embeddings().weight for p in (pipe, again)]
    assert torch.equal(*rows)
    pictures = [p.generate("a cat", plan="a cat", seed=4, guidance_scale=3.0, **SMALL) for p in (pipe, again)]
    assert same(*pictures)
    assert isinstance(pictures[0], Drawing)
    assert pipe.understand(picture(32, 32), "hi", max_new_tokens=5).text == (
        again.understand(picture(32, 32), "hi", max_new_tokens=5).text
    )
    assert same(
        GenLlavaPipeline.from_pretrained(tmp_path, device="cpu", bridge="caption").generate(
            "a", plan="a", seed=1, **SMALL
        ),
        pipe.generate("a", plan="a", seed=1, bridge="caption", **SMALL),
    )


@pytest.mark.parametrize("decoder", ["sd15", "sdxl"])
def test_a_new_residual_head_draws_what_the_decoder_draws_for_nothing(layouts: Layouts, decoder: str) -> None:
    head = head_for(decoder, residual=True)
    for null in (head.null_embeds, getattr(head, "null_pooled", None)):
        if null is not None:
            null.zero_()
    pipe = layouts.assemble("qwen3_vl", decoder, generation_head=head, bridge="head")
    plain: Any = copy.copy(pipe.decoder)
    plain.set_progress_bar_config(disable=True)
    want = plain("", guidance_scale=1.0, generator=torch.Generator().manual_seed(4), **SMALL).images[0]
    assert same(pipe.generate("a cat", seed=4, guidance_scale=1.0, **SMALL), want)


TAKE_EMBEDS = [name for name in decoders.LAYOUTS if name != "dreamlite" and "pix2pix" not in name]


@pytest.mark.slow
@pytest.mark.parametrize("name", TAKE_EMBEDS)
def test_the_heads_path_on_every_decoder(layouts: Layouts, name: str) -> None:
    has(name)
    spec = ImageDecoder(load_diffusion(layouts(name))).spec
    sizes = {"output_length": spec.length, "output_dim": spec.dim, "pooled_dim": spec.pooled_dim}
    head = head_for("sd15", **sizes)
    pipe = layouts.assemble("qwen3_vl", name, generation_head=head, bridge="head", num_inference_steps=4)
    options = small(name, num_inference_steps=4)
    cat, dog = (pipe.generate(words, seed=1, **options) for words in ("a cat", "a dog"))
    assert cat.image.size == (64, 64)
    assert not same(cat, dog)
    assert pipe.generate("a cat", seed=1, negative_prompt="a dog", **options).image is not None
    if pipe.protocol.can_edit:
        chosen = pipe.protocol.turn_options(options, edits=True)
        assert pipe.edit(picture(97, 61), "blue", seed=1, **chosen, width=64, height=32).image.size == (64, 32)


def test_a_decoder_without_prompt_embeds_takes_no_head(layouts: Layouts) -> None:
    has("dreamlite")
    with pytest.raises(CheckpointError, match=r"DreamLitePipeline takes no prompt_embeds.*bridge='caption'"):
        layouts.assemble("qwen3_vl", "dreamlite", generation_head=head_for("sd15"))


WRONG = [
    ({"input_dim": 48}, "reads 48 dimensions, the language model gives 32: make it with input_dim=32"),
    ({"layers": (-1, -2)}, "gives 64"),
    ({"output_dim": 64}, "output_dim=32"),
    ({"pooled_dim": 32}, "pooled_dim=None"),
    ({"output_length": 78}, "output_length=77"),
    ({"query_tokens": False}, "query_tokens=True"),
]


@pytest.mark.parametrize(("changed", "why"), WRONG, ids=[next(iter(changed)) for changed, _ in WRONG])
def test_a_head_that_does_not_fit_is_refused(layouts: Layouts, changed: Any, why: str) -> None:
    head = head_for("sd15", **changed)
    with pytest.raises(CheckpointError, match=why):
        layouts.assemble("qwen3_vl", "sd15", generation_head=head)
    whole = layouts.shared("qwen3_vl", "sd15")
    with pytest.raises(CheckpointError, match=why):
        GenLlavaPipeline(whole.vlm, whole.processor, whole.decoder, generation_head=head)


def test_a_head_without_what_it_needs_is_refused(layouts: Layouts) -> None:
    head = head_for("sd15")
    with pytest.raises(CheckpointError, match="decoder="):
        layouts.assemble("qwen3_vl", generation_head=head)
    with pytest.raises(CheckpointError, match="bridge='caption'"):
        layouts.assemble("qwen3_vl", "sd15", bridge="head")
    with pytest.raises(CheckpointError, match="unknown bridge 'neck'"):
        layouts.assemble("qwen3_vl", "sd15", bridge="neck")
    pipe = layouts.shared("qwen3_vl", "sd15")
    with pytest.raises(InvalidRequest, match="bridge='caption'"):
        pipe.generate("a cat", bridge="head", **SMALL)
    shorter = layouts.assemble("qwen3_vl", "sd15", generation_head=head_for("sd15", output_length=20), bridge="head")
    assert shorter.generate("a cat", seed=1, **SMALL).image is not None, "the denoiser takes any number of rows"
