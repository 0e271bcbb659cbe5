"""What every store has to do: the same tests for threads in memory, in a folder, in PostgreSQL, and in savers of the
user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from langgraph.checkpoint.memory import InMemorySaver
from PIL import Image
from talking import NOW, answer, at, graph_of, said, say, state

from genllava.errors import InvalidRequest
from genllava_agent.errors import StoreFailed, ThreadNotFound, ThreadQuarantined
from genllava_agent.records import ImageRecord
from genllava_agent.stores import open_store
from genllava_agent.stores.base import Artifacts, Store
from genllava_agent.stores.serializer import serializer

KEY = "0" * 64


def noise(seed: int = 0, size: tuple[int, int] = (20, 30)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def artifacts(store: Store, name: str = "a") -> Artifacts:
    """Of a thread that exists."""
    if not store.exists(name):
        say(store, name, "hello")
    return store.artifacts(name)


# --- checkpoints ---


def test_a_thread_comes_with_its_first_checkpoint(store: Store) -> None:
    assert (said(store, "a"), store.exists("a"), store.names()) == ([], False, [])
    with store.lock("a", NOW):
        store.artifacts("a").put_image(noise())
        assert store.saver("a").get_tuple(at("a")) is None
        assert list(store.saver("a").list(None)) == []
        store.settle("a")
        assert store.names() == []
    say(store, "a", "one")
    assert (said(store, "a"), store.exists("a"), store.names()) == (["one", "one!"], True, ["a"])


def test_looking_makes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert said(store, "a") == []
    assert not store.artifacts("a").has(KEY, "png")
    with pytest.raises(ThreadNotFound):
        store.artifacts("a").get(KEY, "png")
    assert store.old("a") is None
    store.close()
    assert sorted(tmp_path.rglob("*")) == before


def test_what_was_said_is_there_again(lasting: str) -> None:
    with_quotes = "\x01 \U0001f600 'quoted' \\u0000 %s"
    stores = [open_store(lasting) for _ in range(2)]
    say(stores[0], "a", "one", with_quotes)
    say(stores[1], "a", *(f"turn {number}" for number in range(7)))
    expected = ["one", "one!", with_quotes, f"{with_quotes}!"]
    expected += [f"turn {number}{mark}" for number in range(7) for mark in ("", "!")]
    for store in (*stores, open_store(lasting)):
        assert said(store, "a") == expected
        assert state(store, "a").values["request"] == {"text": "turn 6"}
        store.close()
        assert said(store, "a") == expected, "a store that was closed is opened again by its use"
        store.close()


def test_a_question_is_answered_elsewhere(lasting: str) -> None:
    store = open_store(lasting)
    say(store, "a", "one", "ask two")
    store.close()
    store = open_store(lasting)
    assert [interrupt.value for interrupt in state(store, "a").interrupts] == [{"question": "ask two"}]
    assert state(store, "a").next == ("think",)
    answer(store, "a", "three")
    assert said(store, "a") == ["one", "one!", "ask two", "three!"]
    store.close()


def test_threads_know_nothing_of_each_other(store: Store) -> None:
    say(store, "a", "one")
    say(store, "b", "two")
    say(store, "a", "three")
    assert said(store, "a") == ["one", "one!", "three", "three!"]
    assert said(store, "b") == ["two", "two!"]
    assert store.names() == ["a", "b"]


def test_earlier_checkpoints_can_be_gone_back_to(store: Store) -> None:
    say(store, "a", "one", "two")
    graph = graph_of(store.saver("a"))
    ends = [each for each in graph.get_state_history(at("a")) if not each.next]
    assert [len(end.values["messages"]) for end in ends] == [4, 2]
    with store.lock("a", NOW):
        graph_of(store.saver("a")).update_state(ends[1].config, None, "__copy__")
        store.settle("a")
    assert said(store, "a") == ["one", "one!"]
    say(store, "a", "three")
    assert said(store, "a") == ["one", "one!", "three", "three!"]


def test_delete_forgets_everything(store: Store) -> None:
    key = ""
    say(store, "a", "one")
    with store.lock("a", NOW):
        key = store.artifacts("a").put_image(noise())
        store.delete("a")
        store.delete("a")
    assert (store.names(), store.exists("a"), said(store, "a")) == ([], False, [])
    assert not store.artifacts("a").has(key, "png")
    with pytest.raises((ThreadNotFound, ThreadQuarantined)):
        store.artifacts("a").image(key)
    say(store, "a", "two")
    assert said(store, "a") == ["two", "two!"]


def test_a_saver_can_empty_a_thread(store: Store) -> None:
    """As is done where bringing an old thread over was cut off."""
    with store.lock("a", NOW):
        store.saver("a").delete_thread("a")
    assert not store.exists("a")
    say(store, "a", "one")
    with store.lock("a", NOW):
        store.saver("a").delete_thread("a")
    say(store, "a", "two")
    assert said(store, "a") == ["two", "two!"]


# --- artifacts ---


def test_pictures_come_back_pixel_for_pixel(store: Store) -> None:
    mask = Image.fromarray(np.eye(9, dtype=np.uint8) * 255)
    kept = artifacts(store)
    with store.lock("a", NOW):
        keys = [kept.put_image(noise()), kept.put_image(mask), kept.put_image(noise())]
    assert keys[0] == keys[2] != keys[1]
    again = store.artifacts("a")
    assert again.image(keys[0]).tobytes() == noise().tobytes()
    assert (again.image(keys[1]).mode, again.image(keys[1]).tobytes()) == ("L", mask.tobytes())
    record = ImageRecord(id="image_1", key=keys[0], width=30, height=20, origin="user", turn=1)
    assert again.picture(record).tobytes() == noise().tobytes()
    assert again.has(keys[0], "png")
    assert not again.has(keys[0], "jpg")


def test_what_is_kept_does_not_change_with_what_was_given_or_taken(store: Store) -> None:
    kept = artifacts(store)
    image, latents = noise(), torch.randn(4, 2, 2, dtype=torch.float16)
    with store.lock("a", NOW):
        image_key, latents_key = kept.put_image(image), kept.put_latents(latents)
    before = latents.float().clone()
    image.paste((0, 0, 0), (0, 0, 9, 9))
    latents.zero_()
    kept.image(image_key).paste((0, 0, 0), (0, 0, 9, 9))
    kept.latents(latents_key).zero_()
    assert kept.image(image_key).tobytes() == noise().tobytes()
    assert kept.latents(latents_key).dtype == torch.float32
    assert torch.equal(kept.latents(latents_key), before)


def test_what_is_damaged_is_noticed_and_healed_by_putting_it_again(store: Store) -> None:
    kept = artifacts(store)
    with store.lock("a", NOW):
        key, latents = kept.put_image(noise()), kept.put_latents(torch.ones(4, 2, 2))
        data = kept.get(key, "png")
        kept.put(key, "png", data[:100])
        kept.put(latents, "safetensors", b"x" + kept.get(latents, "safetensors")[1:])
        for look in (lambda: kept.image(key), lambda: kept.latents(latents)):
            with pytest.raises(ThreadQuarantined):
                look()
        kept.put_image(noise())
        kept.put_latents(torch.ones(4, 2, 2))
    assert kept.image(key).tobytes() == noise().tobytes()
    assert torch.equal(kept.latents(latents), torch.ones(4, 2, 2))


def test_artifacts_belong_to_one_thread(store: Store) -> None:
    kept = artifacts(store)
    with store.lock("a", NOW):
        key = kept.put_image(noise())
    with pytest.raises(ThreadQuarantined):
        artifacts(store, "b").image(key) if artifacts(store, "b").has(key, "png") else _missing(store, key)


def _missing(store: Store, key: str) -> None:
    with store.lock("b", NOW):
        store.artifacts("b").put_image(noise(1))  # so that there is something of it at every place
    store.artifacts("b").image(key)


@pytest.mark.parametrize("key", ["../../a/artifacts/" + KEY, "0" * 63, "", f"{KEY}\n", "A" * 64, "%2e", "\0"])
def test_only_keys_name_artifacts(store: Store, key: str) -> None:
    kept = artifacts(store)
    with pytest.raises(ThreadQuarantined):
        kept.get(key, "png")
    with store.lock("a", NOW), pytest.raises(ThreadQuarantined):
        kept.put(key, "png", b"")
    with pytest.raises(ThreadQuarantined):
        kept.get(KEY, "py")


# --- branches ---


def test_a_branch_has_what_it_is_given_and_nothing_else(store: Store) -> None:
    kept = artifacts(store)
    with store.lock("a", NOW):
        named, other = kept.put_image(noise()), kept.put_image(noise(1))
        latents = kept.put_latents(torch.ones(4, 2, 2))
        with store.lock("b", NOW):
            store.branch("a", "b", [(named, "png"), (latents, "safetensors"), (named, "png")])
            assert not store.exists("b")
            values = state(store, "a").values
            graph_of(store.saver("b")).update_state(at("b"), {"messages": values["messages"]}, as_node="reply")
            store.settle("b")
        store.delete("a")
    assert store.names() == ["b"]
    assert said(store, "b") == ["hello", "hello!"]
    assert store.artifacts("b").image(named).tobytes() == noise().tobytes()
    assert torch.equal(store.artifacts("b").latents(latents), torch.ones(4, 2, 2))
    with pytest.raises(ThreadQuarantined):
        store.artifacts("b").image(other)


def test_a_branch_does_not_replace_a_thread(store: Store) -> None:
    say(store, "a", "one")
    say(store, "b", "two")
    with store.lock("b", NOW), pytest.raises(InvalidRequest):
        store.branch("a", "b", [])
    assert said(store, "b") == ["two", "two!"]


def test_a_branch_without_its_artifacts_leaves_nothing(store: Store) -> None:
    kept = artifacts(store)
    with store.lock("a", NOW):
        key = kept.put_image(noise())
    with store.lock("b", NOW), pytest.raises(ThreadQuarantined):
        store.branch("a", "b", [(key, "png"), (KEY, "png")])
    assert not store.exists("b")
    assert not store.artifacts("b").has(key, "png")


def test_a_branch_that_was_cut_off_is_removed_by_the_next_store(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    kept = artifacts(store)
    with store.lock("a", NOW):
        key = kept.put_image(noise())
        with store.lock("b", NOW), store.lock("c", NOW):
            store.branch("a", "b", [(key, "png")])
            store.branch("a", "c", [(key, "png")])
            open_store(tmp_path).close()
            assert store.artifacts("b").has(key, "png"), "somebody is at it"
            graph_of(store.saver("c")).update_state(at("c"), {"at": "x"}, as_node="reply")
    store.close()
    store = open_store(tmp_path)
    assert (tmp_path / "threads" / "b").exists() is False
    assert store.names() == ["a", "c"]
    assert store.artifacts("c").has(key, "png")
    store.close()


# --- places ---


@pytest.mark.parametrize("name", ["", "x" * 201, "\ud800", "\u00e9" * 100, None, 7, b"x"])
def test_names_that_cannot_be_are_refused_everywhere(store: Store, name: Any) -> None:
    uses = [store.saver, store.artifacts, store.exists, store.delete, lambda name: store.lock(name, NOW).__enter__()]
    for use in uses:
        with pytest.raises(InvalidRequest):
            use(name)
    assert store.names() == []


@pytest.mark.parametrize("place", ["", " ", "ftp://x", 7, b"x", "a\0b"])
def test_places_that_cannot_be(place: Any) -> None:
    with pytest.raises(StoreFailed):
        open_store(place)


def test_a_store_is_a_place(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert open_store(store) is store


def test_a_saver_of_the_users_own_has_all_checkpoints(tmp_path: Path) -> None:
    saver = InMemorySaver()  # with whatever serializer they like
    store = open_store(tmp_path, saver)
    say(store, "a", "one")
    with store.lock("a", NOW):
        key = store.artifacts("a").put_image(noise())
    again = open_store(tmp_path, InMemorySaver(serde=serializer()))
    assert again.artifacts("a").has(key, "png"), "no other store takes them for what was left by a crash"
    assert not again.exists("a")
    assert open_store(tmp_path).names() == []
    assert open_store(tmp_path, saver).names() == ["a"]
    assert said(open_store(tmp_path, saver), "a") == ["one", "one!"]
