"""The growing cache against the one of transformers, which copies everything for every token."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from transformers import MistralConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from genllava.protocols.shapes.growing_cache import ROOM, GrowingLayer, new_cache


def states(rows: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(rows, 2, tokens, 4), torch.randn(rows, 2, tokens, 4)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_done_to_it_or_its_copies_it_holds_what_it_would_if_it_copied(seed: int) -> None:
    rng = random.Random(seed)
    torch.manual_seed(seed)
    layers = [(GrowingLayer(), DynamicLayer(), 3)]
    for _ in range(120):
        place = rng.randrange(len(layers))
        growing, plain, rows = layers[place]
        match rng.choice(["read", "read", "read", "read many", "go back", "copy", "select"]):
            case "read" | "read many" as how:
                fresh = states(rows, 1 if how == "read" else rng.choice([7, ROOM]))
                for ours, theirs in zip(growing.update(*fresh), plain.update(*fresh), strict=True):
                    assert torch.equal(ours, theirs)
            case "go back" if plain.get_seq_length() > 3:
                surplus = rng.randint(0, 3)
                growing.crop(-surplus)
                plain.crop(-surplus)
            case "copy" if len(layers) < 6:
                layers.append((copy.copy(growing), copy.copy(plain), rows))
            case "select" if plain.get_seq_length() and len(layers) < 6:
                chosen = torch.tensor([rng.randrange(rows) for _ in range(rng.choice([rows, 2]))])
                other = copy.copy(growing), copy.copy(plain), len(chosen)
                for layer in other[:2]:
                    layer.batch_select_indices(chosen)
                layers.append(other)
        for growing, plain, _ in layers:
            assert growing.get_seq_length() == plain.get_seq_length()
            if plain.is_initialized:
                assert torch.equal(growing.keys, plain.keys)
                assert torch.equal(growing.values, plain.values)


def test_a_token_is_written_behind_the_others() -> None:
    layer = GrowingLayer()
    layer.update(*states(2, 10))
    place = layer.keys.data_ptr()
    for _ in range(ROOM):
        layer.update(*states(2, 1))
        assert layer.keys.data_ptr() == place
    layer.update(*states(2, 1))
    assert layer.keys.data_ptr() != place


def test_what_was_read_in_inference_mode_can_be_gone_on_from_outside() -> None:
    layer, fresh = GrowingLayer(), states(1, 2)
    with torch.inference_mode():
        layer.update(*states(1, 3))
    keys, _ = layer.update(*fresh)
    assert torch.equal(keys[:, :, 3:], fresh[0])


def test_layers_with_a_sliding_window_are_left_alone() -> None:
    assert all(type(layer) is GrowingLayer for layer in new_cache(MistralConfig(sliding_window=None)).layers)
    assert all(type(layer) is DynamicSlidingWindowLayer for layer in new_cache(MistralConfig(sliding_window=8)).layers)
