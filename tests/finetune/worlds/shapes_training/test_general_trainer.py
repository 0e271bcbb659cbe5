"""The shapes model in the general trainer: its losses are those of its own one, and its pipeline stays what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from genllava import GenLlavaPipeline
from genllava.errors import InvalidRequest
from genllava.protocols.shapes.tokens import QUERY, SEEN
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.rows import row_dict
from genllava_finetune.modeling.collator import Collator
from genllava_finetune.modeling.model import ConditionDropout, GenLlavaForTraining
from genllava_finetune.modeling.objectives import draw_noise
from genllava_finetune.recipes.parts import load_pipeline
from genllava_finetune.recipes.recipe import Model, Part, load_recipe
from genllava_finetune.train.run import Run
from genllava_finetune.worlds.shapes.training import image_decoder, joint_loss
from genllava_finetune.worlds.shapes.training.decoder_rows import DrawingEncoder, decoder_rows
from genllava_finetune.worlds.shapes.training.dialogue_rows import DialogueRows, dialogue_of
from genllava_finetune.worlds.shapes.training.image_decoder import denoising_error
from genllava_finetune.worlds.shapes.training.joint_loss import ImageDecoderParts, JointLoss
from genllava_finetune.worlds.shapes.training.language_tokenizer import token_ids
from genllava_finetune.worlds.shapes.training.row_encoder import ShapesEncoder
from genllava_finetune.worlds.shapes.training.sight import sight_loss
from genllava_finetune.worlds.shapes.training.text_encoder import tokenize_plans


@pytest.fixture(scope="module")
def pipeline() -> GenLlavaPipeline:
    return GenLlavaPipeline.from_pretrained(device="cpu")


def rows_with(encoder: ShapesEncoder, edits: list[bool]) -> list[dict[str, Any]]:
    """Some rows whose drawings are these in order (edits or new pictures), and one that draws nothing."""
    found, wanted, words = list[dict[str, Any]](), list(edits), True
    for number, row in enumerate(DialogueRows(200)):
        drawings = [drawing.source is not None for drawing in encoder.encode(row_dict(row)).drawings]
        if drawings == wanted[:1] or (not drawings and words):
            words = words and bool(drawings)
            wanted = wanted[len(drawings) :]
            found.append({**row_dict(row), "seed": number})
        if not wanted and not words:
            return found
    raise AssertionError("no such rows")


def test_the_losses_are_those_of_the_parts_own_trainer(
    pipeline: GenLlavaPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = pipeline.parts()
    encoder: Any = ShapesEncoder(parts, null_share=0)
    sight = sight_loss(parts)
    batch = Collator(encoder, resolution=128, auxiliaries={"sight": sight})(rows_with(encoder, [True]))
    decoder: Any = pipeline.decoder
    head: Any = pipeline.generation_head
    model = GenLlavaForTraining(
        parts.vision_language,
        parts.generation_head,
        parts.image_decoder,
        dropout=ConditionDropout(0, 0, 0),
        auxiliaries={"sight": sight},
    )
    query_id, seen_id = token_ids(parts.vision_language.tokenizer, QUERY, SEEN)
    frozen = ImageDecoderParts(decoder.vae, decoder.unet)
    own = JointLoss(pipeline.vlm, head, decoder.text_encoder, query_id, seen_id, frozen)
    own.sight = sight.sight
    monkeypatch.setattr(joint_loss, "segment_weight", lambda labels, _: torch.ones(int((labels != -100).sum())))

    def same_noise(
        unet: Any, latents: torch.Tensor, source: torch.Tensor, states: torch.Tensor, _: torch.Tensor
    ) -> torch.Tensor:
        """The error without its weights of regions and noise levels, behind the noise of the general trainer."""
        noise = draw_noise(batch["seeds"].tolist(), latents.shape[1:], latents.device)
        sigma = torch.sigmoid(noise.normal)
        even = torch.ones(len(latents), 1, 1, 1)
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randn_like", lambda _: noise.latents)
            error = denoising_error(unet, latents, source, states, even, sigma)
        return error * (sigma.square() + image_decoder.LEAST_NOISE)

    monkeypatch.setattr(joint_loss, "denoising_error", same_noise)
    with torch.no_grad():
        found = model(**batch)
        expected = own(
            batch["input_ids"],
            batch["labels"],
            batch["pixel_values"],
            tokenize_plans(decoder.tokenizer, batch["plans"]),
            batch["target_pixels"],
            batch["source_pixels"],
            batch["edited"],
            {name.removeprefix("sight."): value for name, value in batch.items() if name.startswith("sight.")},
        )
    names = {"cross_entropy": "cross_entropy", "alignment": "align", "denoising": "denoise", "sight": "sight"}
    for name, old in names.items():
        assert float(found[name]) > 0, name
        torch.testing.assert_close(found[name], expected[old], rtol=1e-4, atol=1e-5, msg=name)
    assert float(found["token_accuracy"]) > 0.9


def test_a_row_is_encoded_as_the_dialogue_it_was_made_of(pipeline: GenLlavaPipeline) -> None:
    encoder = ShapesEncoder(pipeline.parts(), null_share=0)
    for row in DialogueRows(12, seed=3):
        _, dialogue = dialogue_of(row.id)
        example = encoder.encode(row_dict(row))
        users = [turn.user for turn in dialogue.turns]
        asked = [message.content[-1].text for message in row.messages if message.role == "user"]  # type: ignore[union-attr]
        assert asked == users
        drawn = [step.text.split(": ", 1)[-1] for turn in dialogue.turns for step in turn.steps if step.target]
        assert [drawing.plan for drawing in example.drawings] == drawn
        assert len(example.pictures) == len(example.scenes) == len(row.images)


def test_a_drawing_without_words_stands_in_the_place_of_some(pipeline: GenLlavaPipeline) -> None:
    row = {**row_dict(DialogueRows(1)[0]), "seed": 1}
    example = ShapesEncoder(pipeline.parts(), null_share=1).encode(row)
    assert [drawing.plan for drawing in example.drawings] == [""]
    assert set(example.labels or ()) == {-100}


def test_rows_of_others_are_refused(pipeline: GenLlavaPipeline) -> None:
    encoder = ShapesEncoder(pipeline.parts())
    for name in ("coco:1", "shapes-dialogue:nothing:0:x", "shapes-dialogue:everything:0:1"):
        with pytest.raises(RowError, match="none of the shapes world's dialogues"):
            encoder.encode({"id": name})
    with pytest.raises(InvalidRequest, match="withhold is one of nothing, research, not 'all'"):
        DialogueRows(1, withhold="all")


def test_the_decoder_learns_the_pictures_and_plans_of_its_rows(pipeline: GenLlavaPipeline) -> None:
    rows = list(decoder_rows(6))
    examples = [DrawingEncoder(pipeline.parts()).encode(row) for row in rows]
    for row, example in zip(rows, examples, strict=True):
        (drawing,), said = example.drawings, row["messages"][1]["content"][0]
        assert drawing.plan == said.get("prompt", said.get("instruction"))
        assert drawing.target.tobytes() == row["images"][-1].tobytes()
        assert (drawing.source is not None) == (said["type"] == "edit")
    assert {example.drawings[0].source is None for example in examples} == {True, False}


def test_new_weights_are_of_networks_that_are_there() -> None:
    with pytest.raises(InvalidRequest, match=r"no network decoder\.transformer"):
        load_pipeline(Model(pipeline="shipped", new_weights=("decoder.transformer",)))
    with pytest.raises(ValueError, match="new_weights is for networks of a pipeline"):
        Model(vlm=Part(make="a:b"), new_weights=("decoder.unet",))


@pytest.mark.slow
def test_new_weights_grow_from_the_seed(pipeline: GenLlavaPipeline) -> None:
    made: list[Any] = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(load_pipeline(load_recipe("shapes-decoder").model))
    decoder: Any = pipeline.decoder
    weights = [each.decoder.unet.conv_in.weight for each in made]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], decoder.unet.conv_in.weight)
    assert torch.equal(made[0].decoder.vae.encoder.weight, decoder.vae.encoder.weight)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shapes", "shapes-decoder"])
def test_the_recipes_train_and_the_pipeline_keeps_its_settings(
    pipeline: GenLlavaPipeline, name: str, tmp_path: Path
) -> None:
    small = [
        "stages.0.steps=1",
        "stages.0.batch_size=2",
        "stages.0.gradient_accumulation_steps=1",
        "data.0.options.count=4",
    ]
    trained = GenLlavaPipeline.from_pretrained(Run(load_recipe(name, small), tmp_path / name).train(), device="cpu")
    assert trained.config["protocol"] == "shapes"
    assert trained.config["protocol_options"] == pipeline.config["protocol_options"]
    assert trained.config["drawing_options"] == pipeline.config["drawing_options"]
    assert list(trained.controlnets) == list(pipeline.controlnets)
    plan = "at the top left a large red circle, on white"
    assert trained.generate("a large red circle at the top left, on white", seed=0).plan == plan
