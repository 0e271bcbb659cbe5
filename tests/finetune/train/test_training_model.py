"""What is read in training is what is read at inference; what is learnt of it; and the loss over all parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.layouts import templates
from genllava import GenerationHead, GenLlavaPipeline, ImageDecoder, VisionLanguage
from genllava.image_decoder import load_diffusion
from genllava.protocols.parts import user_message
from genllava.protocols.task_tokens import EOI, I2I, I2T, SOI, T2I, TOOL
from genllava_finetune.data.errors import RowError
from genllava_finetune.modeling.collator import Collator
from genllava_finetune.modeling.encoding import IGNORE, Example, RowEncoder
from genllava_finetune.modeling.model import AuxiliaryLoss, GenLlavaForTraining, LossWeights
from tests.genllava.forced import Layouts, force, picture, same, some

QUERIES = "<query_0><query_1><query_2><query_3>"
SIDE = 32


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Layouts:
    return Layouts(tmp_path_factory.mktemp("layouts"))


def new_head(**changed: Any) -> GenerationHead:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"input_dim": 32, "output_length": 77, "output_dim": 32, "num_queries": 4}
    sizes |= {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "query_tokens": True}
    head = GenerationHead(**{**sizes, **changed}).eval()
    head.null_embeds.normal_()
    return head


def say(role: str, *content: Any, **more: Any) -> dict[str, Any]:
    blocks = [{"type": "text", "text": each} if isinstance(each, str) else each for each in content]
    return {"role": role, "content": blocks, **more}


IMAGE: dict[str, Any] = {"type": "image"}
CALL = {"type": "tool_call", "id": "c1", "name": "crop", "arguments": {"image": "image_1", "side": "left"}}
RESULT = {"type": "tool_result", "id": "c1", "text": "Cropped."}


def row(*messages: dict[str, Any], images: int = 0, **more: Any) -> dict[str, Any]:
    pictures = [picture(48 + 16 * number, 64, number) for number in range(images)]
    return {"images": pictures, "messages": list(messages), "source": "t", "license": "CC0-1.0", "id": "t:1", **more}


ANSWER = row(say("user", IMAGE, "What is it?"), say("assistant", "A cat."), images=1)
DRAWING = row(say("user", "a cat, please"), say("assistant", {"type": "draw", "prompt": "a cat"}), images=1)
EDIT = {"type": "edit", "instruction": "make it blue", "source": 0}
EDITING = row(say("user", IMAGE, "in blue"), say("assistant", EDIT), images=2)
SESSION = row(
    say("user", "make it blue", IMAGE),
    say("assistant", EDIT),
    say("user", "Now draw two cats, and say what is odd."),
    say(
        "assistant", "Gladly.", {"type": "draw", "prompt": "a cat"}, {"type": "draw", "prompt": "one more"}, "No tail."
    ),
    images=4,
)


@pytest.fixture(scope="module")
def built(layouts: Layouts) -> Any:
    """Pipelines with a head, made once; and what is trained of them."""
    made: dict[str, GenLlavaPipeline] = {}

    def make(vlm: str) -> tuple[GenLlavaPipeline, RowEncoder]:
        if vlm not in made:
            made[vlm] = layouts.assemble(vlm, "sd15", protocol="genllava", bridge="head", generation_head=new_head())
        pipe = made[vlm]
        return pipe, RowEncoder(pipe.parts().vision_language, pipe.generation_head)

    return make


def new_model(layouts: Layouts, vlm: str = "llava_siglip_mistral", **options: Any) -> tuple[Any, Collator]:
    """A model of small random parts (a tokenizer without a padding token, a small tower, an AutoencoderKL)."""
    spoken = VisionLanguage.from_pretrained(layouts(vlm))
    head = options.pop("head", None) or new_head()
    encoder = RowEncoder(spoken, head)
    decoder = ImageDecoder(load_diffusion(layouts("sd15")), load_diffusion(layouts("instruct_pix2pix")))
    model = GenLlavaForTraining(spoken, head, decoder, **options)
    return model, Collator(encoder, resolution=SIDE, auxiliaries=options.get("auxiliaries"))


def learnt(collator: Collator, batch: dict[str, Any], number: int = 0) -> list[str]:
    """The words that are learnt of a row, message by message."""
    tokenizer, runs, before = collator.vision_language.tokenizer, list[list[int]](), IGNORE
    for label in batch["labels"][number].tolist():
        if label != IGNORE:
            runs += [[]] if before == IGNORE else []
            runs[-1].append(label)
        before = label
    return [tokenizer.decode(ids) for ids in runs]


# --- the tokens ---


@pytest.mark.parametrize("vlm", some(["llava15", "qwen3_vl", "smolvlm", "gemma3"], ["llava15", "qwen3_vl"]))
def test_what_stands_before_an_answer_is_what_inference_reads(
    built: Any, vlm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, encoder = built(vlm)
    end = force(pipe).end_token
    script = [f"make it blue{SOI}", f"Gladly.{T2I}", f"a cat{SOI}", f"one more{SOI}", "No tail."]
    model = force(pipe, script, [I2I, end, I2T, T2I, T2I, I2T, end])
    read: dict[str, list[int]] = {}
    encode = model.reader.encode

    def watch(prompts: Any, padding_side: str = "left") -> Any:
        inputs = encode(prompts, padding_side)
        read[prompts[0].text] = inputs["input_ids"][0].tolist()
        return inputs

    monkeypatch.setattr(model.reader, "encode", watch)
    talk = pipe.conversation()
    talk.ask("make it blue", SESSION["images"][0], seed=1)
    talk.ask("Now draw two cats, and say what is odd.", seed=1, height=64, width=64)
    model.done()

    made = {**SESSION, "images": talk.images}
    example, batch = encoder.encode(made), Collator(encoder)([made])
    assert [example.text[span.start : span.end] for span in example.spans] == [
        f"{I2I} image_1: make it blue{SOI}{QUERIES}{EOI}", "", f"{I2T} Gladly.{T2I} a cat{SOI}{QUERIES}{EOI}",
        f"{T2I} one more{SOI}{QUERIES}{EOI}", f"{I2T} No tail.",
    ]  # fmt: skip
    # Every message begins with a choice of what is done; what is scored first is [I2T].
    starts = [text for text, offered in zip(model.asked, model.choices, strict=True) if offered[0] == I2T]
    assert [example.text[: span.start] for span in example.spans] == starts
    ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
    for text in starts:
        *before, choice = read[text + I2T]
        assert ids[: len(before)] == before
        assert choice == encoder.added_tokens[0]
        assert labels[len(before) - 1] == IGNORE != labels[len(before)]
    assert all(example.text.startswith(text) for text in model.read)  # what the model went on from


@pytest.mark.parametrize("vlm", ["llava15", "qwen3_vl"])
def test_queries_are_read_as_at_inference(built: Any, vlm: str) -> None:
    pipe, encoder = built(vlm)
    for made, prefix in ((DRAWING, f"{T2I} a cat{SOI}"), (EDITING, f"{I2I} image_1: make it blue{SOI}")):
        spoken = pipe.vision_language
        request = made["messages"][0]["content"][-1]["text"]
        images = made["images"][:1] if made is EDITING else []
        asked = pipe.protocol.asked(type("Asked", (), {"images": images, "text": request})())
        wanted = spoken.query_states([asked], spoken.template.gap + prefix, encoder.queries)
        model = GenLlavaForTraining(spoken, pipe.generation_head, pipe.image_decoder).eval()
        batch = Collator(encoder)([made])
        with torch.no_grad():
            states = model._query_states(model._read(batch)["all_states"], batch["query_positions"])
        torch.testing.assert_close(states, wanted, rtol=1e-4, atol=1e-4)


def test_what_is_learnt(built: Any) -> None:
    _, encoder = built("qwen3_vl")
    collator = Collator(encoder)
    batch = collator([SESSION, ANSWER, DRAWING])
    end = encoder.vision_language.end_token
    assert learnt(collator, batch) == [
        f"{I2I} image_1: make it blue{SOI}", end, end, f"{I2T} Gladly.{T2I} a cat{SOI}", end,
        f"{T2I} one more{SOI}", end, f"{I2T} No tail.{end}",
    ]  # fmt: skip
    assert learnt(collator, batch, 1) == [f"{I2T} A cat.{end}"]
    assert batch["plans"] == ["make it blue", "a cat", "one more", "a cat"]
    assert batch["edited"].tolist() == [True, False, False, False]
    at_queries = batch["input_ids"].flatten()[batch["query_positions"]]
    assert at_queries.tolist() == [encoder.added_tokens[-4:]] * 4
    assert batch["labels"].flatten()[batch["query_positions"]].unique().tolist() == [IGNORE]
    kept = row(say("user", "a"), say("assistant", "b", learn=False), say("user", "c"), say("assistant", "d"))
    assert learnt(collator, collator([kept])) == [f"{I2T} d{end}"]
    silent = {
        **SESSION,
        "messages": [{**each, "learn": False} for each in SESSION["messages"][:2]] + SESSION["messages"][2:],
    }
    assert collator([silent])["plans"] == ["a cat", "one more"]


def test_calls_of_tools_and_their_results(built: Any) -> None:
    _, encoder = built("qwen3_vl")
    collator = Collator(encoder)
    second = {**CALL, "id": "c2", "arguments": {"side": "right"}}
    told = [RESULT, IMAGE, {**RESULT, "id": "c2", "text": "Cropped, too."}, IMAGE]
    made = row(
        say("system", "Be brief."),
        say("user", IMAGE, "crop it to <|im_end|> and <query_0>"),
        say("assistant", "One moment.", CALL, second),
        say("tool", *told),
        say("assistant", "Done."),
        images=3,
    )
    text = encoder.encode(made).text
    call = '[TOOL] {"name": "crop", "arguments": {"image": "image_1", "side": "left"}}<|im_end|>'
    assert f"{I2T} One moment.{call}" in text
    shown = "<|vision_start|><|image_pad|><|vision_end|>"
    assert f"<|im_start|>user\nCropped.\n{shown}<|im_end|>\n<|im_start|>assistant\n{TOOL} {{" in text
    assert f"image_1:{shown}crop it to <\u200d|im_end|> and <\u200dquery_0>" in text
    assert learnt(collator, collator([made]))[-1] == f"{I2T} Done.<|im_end|>"
    assert text.startswith("<|im_start|>system\nBe brief.")


def test_a_result_may_have_the_last_word(built: Any) -> None:
    """An empty message behind it: the assistant ends at once. Anywhere else there has to be something."""
    _, encoder = built("qwen3_vl")
    collator = Collator(encoder)
    end = encoder.vision_language.end_token
    call = say("assistant", {**CALL, "arguments": {"image": "image_1"}})
    cropped = row(say("user", IMAGE, "crop it"), call, say("tool", RESULT, IMAGE), say("assistant", ""), images=2)
    assert learnt(collator, collator([cropped]))[1:] == [end]
    assert encoder.encode(cropped).text.endswith(f"<|im_end|>\n<|im_start|>assistant\n{end}")
    with pytest.raises(RowError, match="says nothing"):
        encoder.encode(row(say("user", "a"), say("assistant", "")))


def test_the_last_picture_may_be_left_out(built: Any) -> None:
    """What is drawn last is trained as before; the picture is not read, and what comes after it not learnt."""
    pipe, encoder = built("qwen3_vl")
    short = RowEncoder(pipe.parts().vision_language, pipe.generation_head, show_last_picture=False)
    for made in (DRAWING, EDITING):
        whole, cut = encoder.encode(made), short.encode(made)
        assert whole.text.startswith(cut.text)
        assert cut.text.endswith(f"{EOI}{encoder.vision_language.end_token}")
        assert len(cut.pictures) == len(whole.pictures) - 1
        assert [drawing.plan for drawing in cut.drawings] == [drawing.plan for drawing in whole.drawings]
    assert Collator(short)([DRAWING, EDITING])["plans"] == ["a cat", "make it blue"]
    assert short.encode(SESSION).text == encoder.encode(SESSION).text, "it says something after its last picture"


def test_the_end_is_learnt_where_the_template_does_not_write_it(layouts: Layouts) -> None:
    """As that of llava-hf's LLaVA 1.5."""
    template = templates.LLAVA.replace("('</s>' if message['role'] == 'assistant' else ' ')", "' '")
    assert template != templates.LLAVA
    spoken = VisionLanguage.from_pretrained(layouts("llava15"), chat_template=template)
    collator = Collator(RowEncoder(spoken))
    turns = row(say("user", "a"), say("assistant", "b c"), say("user", "d"), say("assistant", "e f"))
    batch = collator([turns])
    assert collator.encoder.encode(turns).text == f"USER: a ASSISTANT: {I2T} b c USER: d ASSISTANT: {I2T} e f</s>"
    assert learnt(collator, batch) == [f"{I2T} b c</s>", f"{I2T} e f</s>"]


def test_task_tokens_may_be_left_out(built: Any) -> None:
    pipe, _ = built("qwen3_vl")
    encoder = RowEncoder(pipe.parts().vision_language, task_token_dropout=0.5)
    texts = [encoder.encode({**ANSWER, "seed": seed}).text for seed in range(200)]
    assert 70 < sum(I2T in text for text in texts) < 130
    assert texts == [encoder.encode({**ANSWER, "seed": seed}).text for seed in range(200)]
    assert {text.rsplit("assistant\n", 1)[1] for text in texts} == {f"{I2T} A cat.<|im_end|>", "A cat.<|im_end|>"}


def test_rows_that_cannot_be_read_are_named(built: Any) -> None:
    _, encoder = built("qwen3_vl")
    most = Collator(encoder)([ANSWER])["input_ids"].shape[1] - 1
    bad: dict[str, dict[str, Any]] = {
        "images.0: ": {**ANSWER, "images": [b"no picture"]},
        "the messages place 1 pictures": {**ANSWER, "images": []},
        f"t:1: it has {most + 1} tokens, of at most {most}": ANSWER,
        "words after a tool call": row(say("user", "a"), say("assistant", CALL, "b")),
        "does not end with what the assistant says": row(say("user", "a"), say("assistant", "b"), say("user", "c")),
        "says nothing": row(say("user", "a"), say("assistant", "  ")),
        "two messages of the assistant": row(say("user", "a"), say("assistant", "b"), say("assistant", "c")),
    }
    for words, made in bad.items():
        with pytest.raises(RowError, match=words):
            Collator(encoder, max_length=most)([made])
    rejected: list[str] = []
    collator = Collator(encoder, max_length=most, on_rejected=lambda made, error: rejected.append(str(error)))
    fine = row(say("user", "hi"), say("assistant", "hello"))
    batch = collator([*bad.values(), fine])
    assert len(rejected) == len(bad)
    assert learnt(collator, batch) == [f"{I2T} hello<|im_end|>"]
    with pytest.raises(RowError, match="no row of the batch is left"):
        collator([ANSWER])


# --- the losses ---


def test_cross_entropy_is_that_of_the_model_itself(built: Any) -> None:
    pipe, encoder = built("qwen3_vl")
    batch = Collator(encoder)([ANSWER, row(say("user", "hi"), say("assistant", "hello"))])
    model = GenLlavaForTraining(pipe.vision_language).eval()
    with torch.no_grad():
        own = pipe.vlm(**{name: value for name, value in batch.items() if name != "row_ids"}).loss
        torch.testing.assert_close(model(**batch)["loss"], own)


def test_gradients_reach_head_and_language_model_through_a_frozen_decoder(layouts: Layouts) -> None:
    model, collator = new_model(layouts, weights=LossWeights(cross_entropy=0, denoising=1, alignment=0))
    for part in (model.decoder, model.editor):
        part.requires_grad_(False)
    model.train()
    assert (model.decoder["unet"].training, model.vlm.training) == (False, True)
    outputs = model(**collator([SESSION]))
    outputs["loss"].backward()
    assert float(outputs["denoising"].detach()) > 0
    assert all(weight.grad is None for part in (model.decoder, model.editor) for weight in part.parameters())
    head = model.generation_head
    assert all(float(weight.grad.norm()) > 0 for weight in (head.project_in.weight, head.project_out.weight))
    rows = model.vlm.get_input_embeddings().weight.grad.norm(dim=1)
    assert bool((rows[collator.encoder.added_tokens[-4:]] > 0).all())
    alone = LossWeights(cross_entropy=0, denoising=0, alignment=1)
    aligned, _ = new_model(layouts, weights=alone)
    aligned(**collator([SESSION]))["loss"].backward()
    assert float(aligned.generation_head.project_out.weight.grad.norm()) > 0
    assert all(weight.grad is None for weight in aligned.decoder["text_encoder"].parameters())


def test_alignment_is_relative_to_what_is_wanted(layouts: Layouts) -> None:
    model, collator = new_model(layouts)
    batch = collator([DRAWING, EDITING])
    with torch.no_grad():
        states = model._query_states(model._read(batch)["all_states"], batch["query_positions"])
        made = model.generation_head(states)
        errors = []
        for embeds, plan, parts in zip(made, batch["plans"], (model.decoder, model.editor), strict=True):
            tokenizer = model.image_decoder.pipeline.tokenizer
            ids = tokenizer([plan], padding="max_length", max_length=77, return_tensors="pt").input_ids
            encoder = parts["text_encoder"] if "text_encoder" in parts else model.decoder["text_encoder"]
            wanted = encoder(ids)[0][0]
            errors.append((embeds - wanted).square().mean() / wanted.var())
        torch.testing.assert_close(model(**batch)["alignment"], torch.stack(errors).mean(), rtol=1e-4, atol=1e-5)


def test_a_step_in_parts_is_the_whole_step(layouts: Layouts) -> None:
    model, collator = new_model(layouts, "llava15")
    rows = [{**each, "id": str(n), "seed": n} for n, each in enumerate([SESSION, ANSWER, DRAWING, EDITING])]
    whole = model(**collator(rows))
    batches = [collator(rows[:1]), collator(rows[1:2]), collator(rows[2:])]  # the second one without a drawing
    counts = [model.count_items(batch) for batch in batches]
    totals = {name: torch.tensor(sum(count[name] for count in counts)) for name in counts[0]}
    assert totals == {name: torch.tensor(count) for name, count in model.count_items(collator(rows)).items()}
    parts = [model(**batch, num_items=totals) for batch in batches]
    assert [sorted(part) for part in parts] == [sorted(whole)] * 3
    for name in whole:
        torch.testing.assert_close(sum(part[name] for part in parts), whole[name], rtol=1e-4, atol=1e-4)
    assert float(parts[1]["denoising"]) == 0


def test_processes_without_drawings_run_the_same_networks(layouts: Layouts, monkeypatch: pytest.MonkeyPatch) -> None:
    model, collator = new_model(layouts)
    batch = collator([ANSWER])
    alone = model(**batch)
    ran: list[str] = []
    for name in ("decoder", "editor"):
        getattr(model, name)["unet"].register_forward_hook(lambda *given, name=name: ran.append(name))
    monkeypatch.setattr("genllava_finetune.modeling.drawings._in_many_processes", lambda: True)
    outputs = model(**batch)
    outputs["loss"].backward()
    assert ran == ["decoder", "editor"]
    assert {name: float(value.detach()) for name, value in outputs.items()} == {
        name: float(value.detach()) for name, value in alone.items()
    }
    assert float(model.generation_head.project_out.weight.grad.abs().sum()) == 0


@pytest.mark.slow
def test_half_precision_and_checkpointed_gradients(layouts: Layouts) -> None:
    model, collator = new_model(layouts, "qwen3_vl")
    model.train()
    batch = collator([{**SESSION, "seed": 4}])

    def gradients() -> dict[str, Tensor]:
        model.zero_grad()
        model(**batch)["loss"].backward()
        return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}

    plain = gradients()
    model.vlm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.decoder["unet"].enable_gradient_checkpointing()
    again = gradients()
    assert plain.keys() == again.keys()
    for name in plain:
        torch.testing.assert_close(again[name], plain[name], rtol=1e-3, atol=1e-4)
    full = float(model(**batch)["loss"].detach())
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(**batch)
    outputs["loss"].backward()
    assert float(outputs["loss"].detach()) == pytest.approx(full, rel=0.05)
    model.to(torch.bfloat16)(**batch)["loss"].backward()


def test_captions_need_no_language_model(layouts: Layouts) -> None:
    model, collator = new_model(layouts, weights=LossWeights(cross_entropy=0), bridge="caption")
    model.vlm.register_forward_pre_hook(lambda *given: pytest.fail("the language model was run"))
    outputs = model(**collator([SESSION, ANSWER]))
    outputs["loss"].backward()
    assert set(outputs) == {"loss", "denoising"}
    assert float(model.decoder["text_encoder"].get_input_embeddings().weight.grad.norm()) > 0


def test_edits_without_a_place_for_a_source(layouts: Layouts, caplog: pytest.LogCaptureFixture) -> None:
    spoken = VisionLanguage.from_pretrained(layouts("llava15"))
    head = new_head()
    model = GenLlavaForTraining(spoken, head, ImageDecoder(load_diffusion(layouts("sd15"))))
    batch = Collator(RowEncoder(spoken, head), resolution=SIDE)([EDITING])
    model(**batch)
    outputs = model(**batch)
    assert float(outputs["denoising"]) == 0
    assert float(outputs["alignment"].detach()) > 0
    assert [record.message for record in caplog.records if "train words and alignment only" in record.message] == [
        "edits: nothing here has a place for a source picture: they train words and alignment only"
    ]


class Warmth(AuxiliaryLoss):
    """The mean red of a row's pictures, read from the mean state."""

    weight = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(32, 1)

    def collate(self, rows: Any, examples: Any) -> dict[str, Tensor]:
        red = [
            [each["images"][0].resize((1, 1)).getpixel((0, 0))[0] / 255] if each["images"] else [0.0] for each in rows
        ]
        return {"red": torch.tensor(red)}

    def forward(self, outputs: Any, batch: Any) -> dict[str, Tensor]:
        made = self.read(outputs["hidden_states"].mean(1))
        assert outputs["image_features"] is not None
        return {"loss": (made - batch["red"]).square().mean(), "error": (made - batch["red"]).abs().mean().detach()}


def test_a_recipe_may_bring_losses_of_its_own(layouts: Layouts) -> None:
    model, collator = new_model(layouts, auxiliaries={"warmth": Warmth()})
    batch = collator([ANSWER, EDITING])
    assert batch["warmth.red"].shape == (2, 1)
    outputs = model(**batch)
    terms = {name: outputs[name] * model.term_weights[name] for name in ("cross_entropy", "denoising", "alignment")}
    torch.testing.assert_close(outputs["loss"], sum(terms.values()) + 0.5 * outputs["warmth"])
    assert model.term_weights["warmth_error"] == model.term_weights["token_accuracy"] == 0
    assert float(outputs["warmth_error"]) > 0
    outputs["loss"].backward()
    assert float(model.auxiliaries["warmth"].read.weight.grad.norm()) > 0


def test_a_head_with_queries_of_its_own_and_an_encoder_of_a_world(layouts: Layouts) -> None:
    model, collator = new_model(layouts)
    encoder, tokens = collator.encoder, collator([DRAWING])
    ids, labels = (tuple(tokens[name][0].tolist()) for name in ("input_ids", "labels"))

    class Ready:
        vision_language, queries = encoder.vision_language, encoder.queries

        def encode(self, made: Any) -> Example:
            example = encoder.encode(made)
            return Example("", example.pictures, (), example.drawings, example.row_id, None, ids, labels)

    ready: Any = Ready()
    given = Collator(ready, resolution=SIDE)([DRAWING])
    assert given.keys() == tokens.keys()
    assert all(torch.equal(given[name], tokens[name]) for name in ("input_ids", "labels", "query_positions"))
    torch.testing.assert_close(given["pixel_values"], tokens["pixel_values"])
    model.generation_head = new_head(query_tokens=False)
    model(**given)["denoising"].backward()
    assert float(model.generation_head.query_embeds.grad.norm()) > 0
    assert float(model.vlm.get_input_embeddings().weight.grad[encoder.added_tokens[-4:]].norm()) == 0


def test_what_is_trained_is_a_pipeline(layouts: Layouts, tmp_path: Path) -> None:
    model, collator = new_model(layouts, "llava15")
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    batch = collator([{**each, "seed": n} for n, each in enumerate([ANSWER, DRAWING, EDITING])])
    losses = []
    for _ in range(5):
        loss = model.train()(**batch)["loss"]
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
    pipe = model.eval().to_pipeline(drawing_options={"num_inference_steps": 2})
    assert (pipe.config["protocol"], pipe.config["bridge"]) == ("genllava", "head")
    pipe.save_pretrained(tmp_path / "saved")
    again = GenLlavaPipeline.from_pretrained(tmp_path / "saved", device="cpu")
    options: dict[str, Any] = {"plan": "a cat", "seed": 3, "height": 64, "width": 64}
    assert same(again.generate("a cat", **options), pipe.generate("a cat", **options))
    asked = [user_message("a cat, please")]
    assert again.vision_language.score(asked, [T2I]) == pytest.approx(
        pipe.vision_language.score(asked, [T2I]), abs=1e-4
    )
