"""Mixtures: shares, order, resuming, workers and ranks; and rows grouped by length."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from scipy.stats import binom
from torch.utils.data import DataLoader

from genllava.errors import InvalidRequest
from genllava.images import load_image
from genllava_finetune.data.errors import DataError
from genllava_finetune.data.length_grouping import approximate_length
from genllava_finetune.data.mixture import Mixture, MixtureSource, Stopping
from genllava_finetune.data.rows import Row, read_row, row_dict
from genllava_finetune.data.saving import save_rows

WEIGHTS = {"parquet": 3.0, "tar": 1.0, "memory": 2.0}


def row(source: str, number: int, picture: Any = None) -> Row:
    words = {"type": "text", "text": "word " * (number * 7 % 40 + 1)}
    asked = [words] if picture is None else [{"type": "image"}, words]
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": [words]}]
    images = [] if picture is None else [picture]
    return read_row(
        {"images": images, "messages": messages, "source": source, "license": "l", "id": f"{source}:{number}"}
    )


def ids(rows: Iterable[Row]) -> list[str]:
    return [row.id for row in rows]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[MixtureSource]:
    folder, picture = tmp_path_factory.mktemp("stored"), Image.new("RGB", (4, 4), "red")
    save_rows((row("parquet", i, picture) for i in range(40)), folder / "parquet", name="p", shard_rows=8)
    save_rows((row("tar", i) for i in range(14)), folder / "tar", name="t", format="webdataset", shard_rows=10)
    memory = [row("memory", i, picture) for i in range(30)]
    return [
        MixtureSource("parquet", 3, path=folder / "parquet"),
        MixtureSource("tar", 1, path=folder / "tar", max_rows=12),
        MixtureSource("memory", 2, rows=memory),
    ]


def test_realised_shares_are_the_weights(
    sources: list[MixtureSource], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genllava_finetune.data.mixture._LOG_EVERY", 1000)
    total, rows = sum(WEIGHTS.values()), 2000
    mixture = Mixture(sources, seed=3, epochs=None)
    with caplog.at_level(logging.INFO, "genllava_finetune.data.mixture"):
        counts = Counter(row.source for row in islice(mixture, rows))
    assert mixture.realised_shares() == pytest.approx({name: counts[name] / rows for name in WEIGHTS})
    for name, weight in WEIGHTS.items():
        least, most = binom.interval(0.9999, rows, weight / total)
        assert least <= counts[name] <= most
    assert any("parquet 5" in record.message and "(weight 50.00%)" in record.message for record in caplog.records)


def test_when_an_epoch_ends(sources: list[MixtureSource]) -> None:
    def counted(stopping: Stopping, **more: Any) -> Counter[str]:
        return Counter(ids(Mixture(sources, seed=1, stopping=stopping, **more)))

    once = counted("all_exhausted_without_replacement")
    assert set(once.values()) == {1}
    assert Counter(id.split(":")[0] for id in once) == {"parquet": 40, "tar": 12, "memory": 30}  # max_rows of the tar
    assert max(int(id.split(":")[1]) for id in once if id.startswith("tar")) == 11
    every = counted("all_exhausted")
    assert set(every) == set(once)
    assert max(every.values()) > 1
    first = counted("first_exhausted")
    assert set(first.values()) == {1}
    assert len(first) < len(once)
    twice = [MixtureSource("tar", path=sources[1].path, repeat=2)]
    order = ids(Mixture(twice, stopping="first_exhausted"))
    assert Counter(order) == {f"tar:{i}": 2 for i in range(14)}
    assert order[:14] != order[14:]  # another order each time


def test_order(sources: list[MixtureSource]) -> None:
    plain = ids(Mixture(sources[:1], shuffle=False))
    assert plain == [f"parquet:{i}" for i in range(40)]
    one, two = Mixture(sources, seed=1), Mixture(sources, seed=2)
    assert ids(one) == ids(one) == ids(Mixture(sources, seed=1))
    assert ids(one) != ids(two)
    first = ids(one)
    one.set_epoch(1)
    second = ids(one)
    assert first != second
    assert ids(islice(Mixture(sources, seed=1, epochs=None), len(first) + len(second))) == first + second


def test_rows_are_whole(sources: list[MixtureSource]) -> None:
    for found in Mixture(sources, stopping="all_exhausted_without_replacement"):
        name, number = found.id.split(":")
        expected = row(name, int(number))
        assert found.messages[1] == expected.messages[1]
        assert len(found.images) == (name != "tar")


class Made(list[Row]):
    """Rows in memory that say which of them were asked for."""

    def __getitem__(self, index: Any) -> Any:
        self.asked = [*getattr(self, "asked", []), index]
        return super().__getitem__(index)


def test_rows_in_memory_are_not_encoded_and_those_that_are_skipped_not_made() -> None:
    pictures = [Image.effect_noise((5, 4), 50).convert("RGB") for _ in range(12)]
    rows = Made(row("memory", number, picture) for number, picture in enumerate(pictures))
    mixture = Mixture([MixtureSource("memory", rows=rows)], seed=3, epochs=1)
    mixture.skip_batches(2, 3)
    found = list(mixture)
    assert len(rows.asked) == len(found) == 6
    whole = list(Mixture([MixtureSource("memory", rows=rows)], seed=3))
    assert ids(whole[6:]) == ids(found)
    grouped = list(Mixture([MixtureSource("memory", rows=rows)], seed=3, group_by_length=2))  # these are encoded
    for one, other in zip(
        sorted(whole, key=lambda each: each.id), sorted(grouped, key=lambda each: each.id), strict=True
    ):
        assert {**row_dict(one), "images": []} == {**row_dict(other), "images": []}
        assert load_image(one.images[0]).tobytes() == load_image(other.images[0]).tobytes()


@pytest.mark.parametrize("group", [None, 4])
def test_resuming_gives_the_rows_of_the_uninterrupted_run(
    sources: list[MixtureSource], group: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genllava_finetune.data.mixture.BATCHES_IN_WINDOW", 3)
    settings: dict[str, Any] = {"seed": 5, "epochs": None, "group_by_length": group}
    whole = ids(islice(Mixture(sources, **settings), 400))
    for stopped in (0, 1, 11, 12, 13, 60, 150, 151, 299):  # within windows, at their ends, in later epochs
        first = Mixture(sources, **settings)
        rows = iter(first)
        assert ids(islice(rows, stopped)) == whole[:stopped]
        state = json.loads(json.dumps(first.state_dict()))
        second = Mixture(sources, **settings)
        second.load_state_dict(state)
        assert ids(islice(second, 100)) == whole[stopped : stopped + 100]
        assert sum(second._counts.sum(0)) == stopped + 100


def test_a_state_at_the_end_of_an_epoch(sources: list[MixtureSource]) -> None:
    mixture = Mixture(sources, seed=1, epochs=1)
    total = len(ids(mixture))
    state = mixture.state_dict()
    again = Mixture(sources, seed=1, epochs=2)
    again.load_state_dict(state)
    both = Mixture(sources, seed=1, epochs=2)
    assert ids(again) == ids(both)[total:]


def batches(mixture: Mixture, workers: int, count: int) -> list[list[str]]:
    loader = DataLoader(mixture, batch_size=3, num_workers=workers, collate_fn=ids)
    return list(islice(loader, count))


def test_resuming_with_workers_by_skipping(sources: list[MixtureSource]) -> None:
    for workers in (0, 2):
        whole = batches(Mixture(sources, seed=2, epochs=None), workers, 60)
        for skipped in (1, 2, 25):
            mixture = Mixture(sources, seed=2, epochs=None)
            mixture.skip_batches(skipped, 3)
            assert batches(mixture, workers, 30) == whole[skipped : skipped + 30]


@pytest.mark.parametrize(("world_size", "workers"), [(2, 0), (2, 2), (7, 0)])
def test_ranks_and_workers_have_other_rows_and_together_all(
    sources: list[MixtureSource], world_size: int, workers: int
) -> None:
    found = Counter[str]()
    for rank in range(world_size):
        mixture = Mixture(
            sources, seed=2, stopping="all_exhausted_without_replacement", rank=rank, world_size=world_size
        )
        for batch in batches(mixture, workers, 1000):
            found.update(batch)
    assert len(found) == 40 + 12 + 30
    assert set(found.values()) == {1}


def test_a_rank_resumes(sources: list[MixtureSource]) -> None:
    settings: dict[str, Any] = {"seed": 5, "epochs": None, "rank": 1, "world_size": 2}
    whole = ids(islice(Mixture(sources, **settings), 200))
    first = Mixture(sources, **settings)
    rows = iter(first)
    ids(islice(rows, 77))
    second = Mixture(sources, **settings)
    second.load_state_dict(first.state_dict())
    assert ids(islice(second, 100)) == whole[77:177]
    assert whole[:50] != ids(islice(Mixture(sources, **{**settings, "rank": 0}), 50))


def test_sources_that_cannot_be(sources: list[MixtureSource], tmp_path: Path) -> None:
    wrong: list[tuple[list[MixtureSource], str]] = [
        ([], "sources with a name each"),
        ([sources[0], sources[0]], "sources with a name each"),
        ([MixtureSource("a")], "either a path or rows"),
        ([MixtureSource("a", rows=[])], "has no rows"),
        ([MixtureSource("a", 0.0, path=sources[0].path)], "must be above 0"),
        ([MixtureSource("a", float("nan"), path=sources[0].path)], "must be above 0"),
        ([MixtureSource("a", max_rows=0, path=sources[0].path)], "must be above 0"),
    ]
    for given, says in wrong:
        with pytest.raises(InvalidRequest, match=says):
            Mixture(given)
    with pytest.raises(DataError, match="there is no data set"):
        Mixture([MixtureSource("a", path=tmp_path)])


def test_grouped_rows_are_the_same_rows_with_less_padding(sources: list[MixtureSource]) -> None:
    def padding(rows: list[Row]) -> float:
        lengths = [approximate_length(row) for row in rows]
        runs = [lengths[start : start + 4] for start in range(0, len(lengths), 4)]
        return sum(max(run) * len(run) - sum(run) for run in runs) / sum(lengths)

    plain = list(Mixture(sources[:1], seed=1))
    grouped = list(Mixture(sources[:1], seed=1, group_by_length=4))
    assert sorted(ids(plain)) == sorted(ids(grouped))
    assert ids(plain) != ids(grouped)
    assert padding(grouped) < 0.4 * padding(plain)


def test_the_sum_of_token_losses_does_not_depend_on_the_grouping() -> None:
    """A small Llama on rows as batches, padded: alone, in their order, and grouped by length."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, vocab_size=99
    )
    model = LlamaForCausalLM(config).double().eval()
    rows = [row("s", number) for number in range(24)]
    spoken = {row.id: torch.randint(1, 99, (len(row.messages[0].content[0].text) // 4,)) for row in rows}  # type: ignore[union-attr]

    def losses(order: list[Row], size: int) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.double)
        for start in range(0, len(order), size):
            tokens = [spoken[row.id] for row in order[start : start + size]]
            padded = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
            mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(each) for each in tokens], batch_first=True)
            logits = model(input_ids=padded, attention_mask=mask).logits[:, :-1]
            labels = padded.masked_fill(mask == 0, -100)[:, 1:]
            total += torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="sum")
        return total

    grouped = list(Mixture([MixtureSource("s", rows=rows)], seed=1, group_by_length=6))
    assert ids(grouped) != ids(rows)
    with torch.no_grad():
        alone, plain, together = losses(rows, 1), losses(rows, 6), losses(grouped, 6)
    assert float(abs(plain / alone - 1)) < 1e-5
    assert float(abs(together / alone - 1)) < 1e-5
