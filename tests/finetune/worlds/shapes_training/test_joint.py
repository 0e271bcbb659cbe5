"""The weights of the joint loss."""

from __future__ import annotations

import random
from pathlib import Path

import torch

from genllava.checkpoints import SHIPPED
from genllava.protocols.shapes.tokens import I2I, I2T, T2I
from genllava_finetune.worlds.shapes.training.assembling import unpack
from genllava_finetune.worlds.shapes.training.dialogues import IGNORE
from genllava_finetune.worlds.shapes.training.joint import LOOKUPS, SORT_WINDOW, Joint, LanguageModel
from genllava_finetune.worlds.shapes.training.joint_loss import segment_weight
from genllava_finetune.worlds.shapes.training.language_tokenizer import token_ids, train_tokenizer
from genllava_finetune.worlds.shapes.training.recipe import PartRecipe

SEEN = 9


def test_every_token_weighs_one_over_the_root_of_its_segments_length() -> None:
    labels = torch.tensor([[0, 1, 1, 1, 1, 0, 0, 1], [1, 0, 1, 1, 0, 0, 0, 0]])
    labels[labels == 0] = IGNORE
    expected = torch.tensor([4, 4, 4, 4, 1, 1, 2, 2]).rsqrt()
    assert torch.equal(segment_weight(labels, SEEN), expected)


def test_what_is_seen_and_what_is_said_of_it_are_two_segments() -> None:
    labels = torch.tensor([[IGNORE, 1, 1, SEEN, 1, 1, IGNORE, 1]])
    assert torch.equal(segment_weight(labels, SEEN), torch.tensor([3, 3, 3, 2, 2, 1]).rsqrt())


def language_model(workspace: Path, steps: int) -> LanguageModel:
    if not workspace.exists():
        unpack(SHIPPED, workspace)
    part = LanguageModel(PartRecipe(steps=steps, batch_size=4, learning_rate=1e-3), 0, workspace)
    part.prepare(train_tokenizer(0, dialogues=200), tokens_per_image=4)
    return part


def test_lookups_come_first_and_those_of_shapes_before_others(tmp_path: Path) -> None:
    part = language_model(tmp_path / "parts", steps=400)
    colon = part.tokenizer.encode("star:", add_special_tokens=False)[-1]
    tasks = set(token_ids(part.tokenizer, I2T, T2I, I2I))
    for step, found in ((0, {6}), (60, {LOOKUPS}), (150, set()), (220, set()), (600, set())):
        examples = [part._draw(random.Random(seed), step) for seed in range(40)]
        counts = {example.ids.count(colon) - 1 for example in examples}  # one stands after the picture's number
        alone = not any(example.pictures or example.plans for example in examples)
        assert alone == (step < 250)
        said = {token for example in examples for token in example.ids} & tasks
        assert len(said) == {0: 0, 60: 0, 150: 1, 220: 0, 600: 3}[step], "only changes say something"
        assert not found or counts == found, step


def test_a_batch_depends_on_its_step_alone(tmp_path: Path) -> None:
    """The windows that batches are cut from are the same wherever a resumed run comes in."""
    one, other = (language_model(tmp_path / "parts", steps=1000) for _ in range(2))
    first = 96 // SORT_WINDOW * SORT_WINDOW
    in_order = [one.batch(step)["input_ids"] for step in range(first, first + SORT_WINDOW)]
    for step in (first + 5, first + 1):
        assert torch.equal(other.batch(step)["input_ids"], in_order[step - first])


def test_how_many_rows_go_through_at_once_changes_no_loss_and_no_gradient(tmp_path: Path) -> None:
    unpack(SHIPPED, tmp_path)
    part = Joint(PartRecipe(steps=8, batch_size=5, learning_rate=1e-3), 0, tmp_path)
    module = part.build()
    batch = part.batch(3)
    assert len({len(set(ids.tolist())) for ids in batch["input_ids"]}) > 1
    found = []
    for rows in (1, 2, 5):
        module.rows_at_once = rows
        module.zero_grad()
        torch.manual_seed(0)
        losses = module(**batch)
        losses["loss"].backward()
        found.append((losses, module.llava.model.language_model.layers[0].mlp.up_proj.weight.grad.clone()))
    for losses, gradient in found[1:]:
        for name, loss in losses.items():
            torch.testing.assert_close(loss, found[0][0][name], rtol=1e-4, atol=1e-5, msg=name)
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-3, atol=1e-6)
