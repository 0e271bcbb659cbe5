"""Language models without task tokens: actions by scoring words, work verb by verb."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from diffusers import StableDiffusionInstructPix2PixPipeline, StableDiffusionPipeline
from PIL import Image

from genllava.assembly import assemble
from genllava.errors import InvalidRequest
from genllava_agent import VisualAgent
from genllava_agent.deciders import LabelScoring, TaskTokens, default_decider, score_labels

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

FOLDER = Path(__file__).parents[1] / "genllava"


def module(name: str) -> ModuleType:
    """A file of the tests of the model, which makes small parts in public layouts."""
    spec = util.spec_from_file_location(f"genllava_tests_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> GenLlavaPipeline:
    """LLaVA, Stable Diffusion and InstructPix2Pix with random weights."""
    folder = tmp_path_factory.mktemp("native")
    parts, layouts = module("conftest"), module("test_assembly")
    build = SimpleNamespace(text_encoder=parts.build_text_encoder)
    layouts.save_llava(folder / "llava")
    shared = layouts.diffusion_parts(build)
    StableDiffusionPipeline(unet=parts.build_unet(4), **shared).save_pretrained(folder / "drawer")
    StableDiffusionInstructPix2PixPipeline(unet=parts.build_unet(8), **shared).save_pretrained(folder / "editor")
    return assemble(folder / "llava", folder / "drawer", folder / "editor", num_inference_steps=2, guidance_scale=5.0)


@pytest.fixture
def agent(native: GenLlavaPipeline) -> VisualAgent:
    return VisualAgent(native, store=":memory:", seed=1, margin=0)


@pytest.fixture
def picture() -> Callable[[], Image.Image]:
    return lambda: Image.new("RGB", (32, 32), "red")


def test_models_without_task_tokens_get_it(native: GenLlavaPipeline, pipeline: GenLlavaPipeline) -> None:
    assert isinstance(default_decider(native), LabelScoring)
    assert isinstance(default_decider(pipeline), TaskTokens)


def test_a_label_scores_as_the_model_would_write_it(native: GenLlavaPipeline) -> None:
    import torch

    from genllava.protocols.shapes import layout
    from genllava.protocols.shapes.native import prompt_ids

    language, label, question = native.language, "draw a new picture", "What should be done?"
    ids = layout.text_ids(language.tokenizer, label)
    prompt = prompt_ids(language, question, 0)
    with torch.no_grad():
        rows = native.llava(input_ids=torch.tensor([[*prompt, *ids]])).logits[0].log_softmax(-1)
    wanted = sum(float(rows[len(prompt) - 1 + place, token]) for place, token in enumerate(ids)) / len(ids)
    both = score_labels(native, question, [label, "edit the picture"])
    assert both[0] == pytest.approx(wanted, abs=1e-4)
    assert score_labels(native, question, ["edit the picture", label])[1] == pytest.approx(wanted, abs=1e-4)


def test_probabilities_are_over_what_is_possible(agent: VisualAgent, picture: Callable[[], Image.Image]) -> None:
    without = agent("red circle").steps[0].probabilities
    assert set(without) == {"[I2T]", "[T2I]"}, "there is nothing to edit"
    assert sum(without.values()) == pytest.approx(1)
    with_picture = agent("red circle", picture()).steps[0].probabilities
    assert set(with_picture) == {"[I2T]", "[T2I]", "[I2I]"}
    assert sum(with_picture.values()) == pytest.approx(1)
    assert list(with_picture.values()) == sorted(with_picture.values(), reverse=True)


def test_the_likeliest_is_done_and_nothing_more(agent: VisualAgent) -> None:
    reply = agent("red circle")
    (step,) = reply.steps
    kinds = {"[I2T]": "understand", "[T2I]": "generate"}
    assert step.action == kinds[next(iter(step.probabilities))]


def test_where_it_is_unsure_it_asks(native: GenLlavaPipeline) -> None:
    agent = VisualAgent(native, store=":memory:", margin=0.9)
    reply = agent("red circle")
    assert reply.pending is not None
    done = reply.thread.choose("generate")
    assert [step.action for step in done.steps] == ["generate"]


def test_answers(agent: VisualAgent, native: GenLlavaPipeline, picture: Callable[[], Image.Image]) -> None:
    reply = agent("what is this?", picture(), task="understand")
    assert reply.text == native.understand(picture(), "what is this?").text
    assert reply.steps[0].tokens > 0


def test_drawings_and_edits(agent: VisualAgent, native: GenLlavaPipeline) -> None:
    thread = agent.thread()
    drawn = thread("red circle", task="generate")
    assert drawn.images[0].record.plan == "red circle", "the plan is the request itself"
    alone = native.generate("red circle", seed=1)
    assert drawn.image is not None
    assert alone.image is not None
    assert drawn.image.tobytes() == alone.image.tobytes()
    edited = thread("blue star", task="edit")
    (made,) = edited.images
    assert made.record.parents == ("image_1",)
    assert edited.steps[0].source == "image_1"
    wanted = native.edit(alone, "blue star", seed=1)
    assert wanted.image is not None
    assert made.image.tobytes() == wanted.image.tobytes()


def test_an_edit_of_nothing_is_refused(agent: VisualAgent) -> None:
    with pytest.raises(InvalidRequest, match="no picture to edit"):
        agent("blue star", task="edit")


def test_as_a_chat_model(agent: VisualAgent) -> None:
    model: Any = agent.chat_model(task="generate")
    reply = model.invoke("red circle")
    assert [block["type"] for block in reply.content_blocks] == ["text", "image"]
    assert reply.usage_metadata["output_tokens"] > 0
