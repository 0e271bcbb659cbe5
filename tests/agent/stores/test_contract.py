"""What every store has to do: the same tests for threads in memory, in a folder and in PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genllava.errors import Cancelled, InvalidRequest
from genllava_agent import VisualAgent
from genllava_agent.errors import (
    AnswerPending,
    NothingPending,
    NothingToUndo,
    ThreadBusy,
    ThreadNotFound,
    ThreadQuarantined,
)
from genllava_agent.history import History
from genllava_agent.records import Head, ImageRecord, Pending, Question, Request, Turn
from genllava_agent.stores.base import Store
from genllava_agent.stores.folder import FolderStore
from genllava_agent.stores.waiting import Waiting

NOW = Waiting(0.0)
Talk = Callable[..., VisualAgent]


def noise(seed: int = 0, size: tuple[int, int] = (20, 30)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def make_turn(number: int, parent: str | None = None, **fields: Any) -> Turn:
    return Turn(id=f"turn{number}", parent=parent, number=number, at=1.0, request=Request(text="say"), **fields)


def make_record(key: str, number: int = 1, latents: str | None = None) -> ImageRecord:
    return ImageRecord(id=f"image_{number}", key=key, width=30, height=20, origin="user", turn=1, latents=latents)


def make_pending(key: str, question: str | None = None) -> Pending:
    asked = None
    if question is not None:
        asked = Question(
            kind="approval", text="?", action="generate", instruction="", choices=("approve",), interrupt=question
        )
    return Pending(id=key, parent=None, number=1, at=1.0, request=Request(text="say"), question=asked)


def keep(store: Store, name: str, *turns: Turn) -> None:
    with store.lock(name, NOW):
        for turn in turns:
            store.open(name).commit(turn, Head(name=name, turn=turn.id))


def test_a_thread_comes_with_its_first_head(store: Store) -> None:
    thread = store.open("a")
    assert thread.head() is None
    assert not store.exists("a")
    assert store.names() == []
    with store.lock("a", NOW):
        thread.put_image(noise())
        assert store.names() == []
        thread.save_head(Head(name="a"))
    assert store.exists("a")
    assert store.names() == ["a"]
    assert store.open("a").head() == Head(name="a")


def test_turns_come_back_as_they_were(store: Store) -> None:
    first = make_turn(1, text="\x00 \U0001f600 'quoted' \\u0000 %s", stream=tuple(range(300)), seconds=0.1 + 0.2)
    second = make_turn(2, "turn1", seed=2**63 - 1)
    keep(store, "a", first, second)
    assert store.open("a").turn("turn1") == first
    assert store.open("a").history("turn2") == (first, second)
    assert store.open("a").history("turn2", History((first,))) == (first, second)
    assert store.open("a").history("turn1", History((first, second))) == (first,)
    assert store.open("a").history(None) == ()
    assert store.open("a").head() == Head(name="a", turn="turn2")


def test_a_missing_turn_is_damage(store: Store) -> None:
    keep(store, "a", make_turn(2, "turn1"))
    with pytest.raises(ThreadQuarantined):
        store.open("a").history("turn2")


def test_a_history_in_a_circle_is_damage(store: Store) -> None:
    keep(store, "a", make_turn(1, "turn2"), make_turn(2, "turn1"))
    with pytest.raises(ThreadQuarantined):
        store.open("a").history("turn2")


def test_pictures_come_back_pixel_for_pixel(store: Store) -> None:
    thread = store.open("a")
    mask = Image.fromarray(np.eye(9, dtype=np.uint8) * 255)
    with store.lock("a", NOW):
        keys = [thread.put_image(noise()), thread.put_image(mask), thread.put_image(noise())]
    assert keys[0] == keys[2] != keys[1]
    again = store.open("a")
    assert again.image(keys[0]).tobytes() == noise().tobytes()
    assert again.image(keys[1]).mode == "L"
    assert again.image(keys[1]).tobytes() == mask.tobytes()


def test_what_is_kept_does_not_change_with_what_was_given_or_taken(store: Store) -> None:
    thread = store.open("a")
    image, latents = noise(), torch.randn(4, 2, 2, dtype=torch.float16)
    with store.lock("a", NOW):
        image_key, latents_key = thread.put_image(image), thread.put_latents(latents)
    before = latents.float().clone()
    image.paste((0, 0, 0), (0, 0, 9, 9))
    latents.zero_()
    thread.image(image_key).paste((0, 0, 0), (0, 0, 9, 9))
    thread.latents(latents_key).zero_()
    assert thread.image(image_key).tobytes() == noise().tobytes()
    assert thread.latents(latents_key).dtype == torch.float32
    assert torch.equal(thread.latents(latents_key), before)


def test_artifacts_belong_to_one_thread(store: Store) -> None:
    with store.lock("a", NOW):
        key = store.open("a").put_image(noise())
        store.open("a").save_head(Head(name="a"))
    keep(store, "b", make_turn(1))
    with pytest.raises(ThreadQuarantined):
        store.open("b").image(key)


@pytest.mark.parametrize("key", ["../../a/artifacts/" + "0" * 64, "0" * 63, "", "0" * 64 + "\n", "A" * 64, "%2e", "\0"])
def test_only_keys_name_artifacts(store: Store, key: str) -> None:
    keep(store, "a", make_turn(1))
    with pytest.raises(ThreadQuarantined):
        store.open("a").get(key, "png")
    with store.lock("a", NOW), pytest.raises(ThreadQuarantined):
        store.open("a").put(key, "png", b"")
    with pytest.raises(ThreadQuarantined):
        store.open("a").get("0" * 64, "py")


def test_delete_forgets_everything(store: Store) -> None:
    with store.lock("a", NOW):
        key = store.open("a").put_image(noise())
        store.open("a").save_head(Head(name="a"))
        store.delete("a")
        store.delete("a")
    assert store.names() == []
    assert not store.exists("a")
    assert store.open("a").head() is None
    with pytest.raises(ThreadNotFound if isinstance(store, FolderStore) else ThreadQuarantined):
        store.open("a").image(key)
    keep(store, "a", make_turn(1))
    assert store.open("a").head() == Head(name="a", turn="turn1")


def test_a_copy_has_all_that_its_turns_name_and_nothing_else(store: Store) -> None:
    with store.lock("a", NOW):
        thread = store.open("a")
        named, other = thread.put_image(noise()), thread.put_image(noise(1))
        latents = thread.put_latents(torch.ones(4, 2, 2))
        turn = make_turn(1, images=(make_record(named, latents=latents), make_record(named, 2)))
        thread.commit(turn, Head(name="a", turn="turn1"))
        with store.lock("b", NOW):
            store.open("b").copy_from(thread, [turn], Head(name="b", turn="turn1"))
        store.delete("a")
    copy = store.open("b")
    assert copy.head() == Head(name="b", turn="turn1")
    assert copy.history("turn1") == (turn,)
    assert copy.image(named).tobytes() == noise().tobytes()
    assert torch.equal(copy.latents(latents), torch.ones(4, 2, 2))
    with pytest.raises(ThreadQuarantined):
        copy.image(other)


def test_turns_that_no_other_thread_has(store: Store) -> None:
    first, second = make_turn(1), make_turn(2, "turn1")
    keep(store, "a", first, second, make_turn(3, "turn2"))
    with store.lock("b", NOW):
        store.open("b").copy_from(store.open("a"), [first, second], Head(name="b", turn="turn2"))
    keep(store, "c", make_turn(4))
    assert [store.turns_of_its_own(name) for name in ("a", "b", "c", "new")] == [{"turn3"}, set(), {"turn4"}, set()]
    with store.lock("b", NOW):
        store.delete("b")
    assert store.turns_of_its_own("a") == {"turn1", "turn2", "turn3"}
    assert store.names() == ["a", "c"]


def test_a_copy_does_not_replace_a_thread(store: Store) -> None:
    keep(store, "a", make_turn(1))
    keep(store, "b", make_turn(2))
    with store.lock("b", NOW), pytest.raises(InvalidRequest):
        store.open("b").copy_from(store.open("a"), [make_turn(1)], Head(name="b", turn="turn1"))
    assert store.open("b").head() == Head(name="b", turn="turn2")


def test_a_copy_without_its_artifacts_is_no_thread(store: Store) -> None:
    keep(store, "a", turn := make_turn(1, images=(make_record("0" * 64),)))
    with store.lock("b", NOW), pytest.raises(ThreadQuarantined):
        store.open("b").copy_from(store.open("a"), [turn], Head(name="b", turn="turn1"))
    assert not store.exists("b")


def test_states_last_as_long_as_their_turn_waits(store: Store) -> None:
    thread = store.open("a")

    def kept() -> list[tuple[str, str]]:
        places = [("t", "q1"), ("t", "q2")]
        return [place for place in places if thread.saver.get_tuple(at(*place)) is not None]

    def at(turn: str, question: str) -> Any:
        return {"configurable": {"thread_id": turn, "checkpoint_ns": question}}

    def wait(question: str) -> None:
        checkpoint: Any = {
            "v": 4, "id": "1", "ts": "", "channel_values": {"x": [1]}, "channel_versions": {"x": "1"},
            "versions_seen": {}, "updated_channels": None,
        }  # fmt: skip
        place = thread.saver.put(at("t", question), checkpoint, {}, {"x": "1"})
        thread.saver.put_writes(place, [("x", 1)], "task")

    with store.lock("a", NOW):
        thread.save_head(Head(name="a", pending=make_pending("t")))
        wait("q1")
        thread.save_head(Head(name="a", pending=make_pending("t", "q1")))
        assert kept() == [("t", "q1")]
        wait("q2")
        assert kept() == [("t", "q1"), ("t", "q2")]
        thread.save_head(Head(name="a", pending=make_pending("t", "q2")))
        assert ("t", "q2") in kept()
        thread.commit(make_turn(1), Head(name="a", turn="turn1"))
        assert kept() == []


def test_a_lock_that_was_let_go_is_free_at_once(store: Store) -> None:
    for _ in range(50):
        with store.lock("a", NOW):
            pass


def test_locks_keep_others_out_and_others_only(store: Store) -> None:
    outcomes: list[str] = []

    def other() -> None:
        try:
            with store.lock("a", NOW):
                outcomes.append("in")
        except ThreadBusy:
            outcomes.append("busy")
        with store.lock("b", NOW):
            outcomes.append("b")

    def run() -> None:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    with store.lock("a", NOW):
        run()
        with pytest.raises(ThreadBusy), store.lock("a", Waiting()):
            pass
    run()
    assert outcomes == ["busy", "b", "in", "b"]


def test_waiting_can_be_cancelled(store: Store) -> None:
    wanted, outcomes = threading.Event(), list[str]()

    def other() -> None:
        try:
            with store.lock("a", Waiting(None, wanted.is_set)):
                outcomes.append("in")
        except Cancelled:
            outcomes.append("cancelled")

    with store.lock("a", NOW):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        wanted.set()
        thread.join(5)
    assert outcomes == ["cancelled"]
    with store.lock("a", NOW):
        pass


def test_whoever_comes_first_is_served_first(store: Store) -> None:
    served: list[int] = []

    def wait(number: int) -> None:
        with store.lock("a", Waiting()):
            served.append(number)

    waiting = []
    with store.lock("a", NOW):
        for number in range(6):
            waiting.append(threading.Thread(target=wait, args=(number,)))
            waiting[-1].start()
            waiting[-1].join(0.15)  # long enough to stand in line
    for thread in waiting:
        thread.join()
    assert served == list(range(6))


@pytest.mark.parametrize("name", ["", "x" * 201, "\ud800", "\u00e9" * 100, None, 7, b"x"])
def test_names_that_cannot_be_are_refused_everywhere(store: Store, name: Any) -> None:
    for use in (store.open, store.exists, store.delete, lambda name: store.lock(name, NOW).__enter__()):
        with pytest.raises(InvalidRequest):
            use(name)
    assert store.names() == []


# --- threads, on every store ---


def test_a_conversation_is_there_again(lasting: str, talk: Talk) -> None:
    thread = talk(lasting).thread("a")
    replies = [thread("draw a circle", task="generate", seed=3), thread("make it red", task="edit", seed=4)]
    turns, pixels = thread.history(), [reply.images[0].image.tobytes() for reply in replies]
    again = talk(lasting).thread("a", must_exist=True)
    assert again.history() == turns
    assert [image.image.tobytes() for image in again.images.values()] == pixels
    third = again("draw a circle", task="generate", seed=5)
    assert [turn.number for turn in thread.history()] == [1, 2, 3]
    assert thread.images["image_3"].image.tobytes() == third.images[0].image.tobytes()


def test_the_same_seed_draws_the_same_on_every_store(place: str, talk: Talk) -> None:
    thread = talk(place).thread("a")
    thread("draw", task="generate", seed=3)
    reference = talk(":memory:").thread("a")
    reference("draw", task="generate", seed=3)
    for ours, theirs in ((thread, reference),):
        ours("make it red", task="edit", seed=4)
        theirs("make it red", task="edit", seed=4)
    assert [i.record.key for i in thread.images.values()] == [i.record.key for i in reference.images.values()]


def test_ways_back(place: str, talk: Talk) -> None:
    agent = talk(place)
    thread = agent.thread("a")
    for number in range(3):
        thread(f"say {number}", task="understand")
    turns = thread.history()
    thread.undo(2)
    assert thread.history() == turns[:1]
    thread.redo()
    assert thread.history() == turns[:2]
    branch = thread.branch("b")
    assert branch.history() == turns[:2]
    branch("other", task="understand")
    assert thread.history() == turns[:2]
    thread.redo()
    assert thread.history() == turns
    with pytest.raises(NothingToUndo):
        thread.redo()
    with pytest.raises(InvalidRequest):
        thread.branch("b")
    with pytest.raises(InvalidRequest):
        thread.branch("a")
    with pytest.raises(ThreadNotFound):
        agent.thread("c").undo()
    assert agent.threads() == ["a", "b"]


def test_questions_last_and_are_answered_elsewhere(lasting: str, talk: Talk) -> None:
    straight = talk(":memory:").thread("a")("draw a circle", task="generate", seed=7)
    talk(lasting).thread("a")("draw a circle", task="generate", seed=7, approve="generate")
    thread = talk(lasting).thread("a")
    assert thread.pending is not None
    with pytest.raises(AnswerPending):
        thread("something else")
    with pytest.raises(AnswerPending):
        thread.resume()
    assert thread.history() == []
    reply = talk(lasting).thread("a").approve()
    assert reply.images[0].record.key == straight.images[0].record.key
    assert thread.pending is None
    with pytest.raises(NothingPending):
        thread.approve()
    store, turn = talk(lasting).store.open("a"), thread.history()[0].id
    assert store.saver.get_tuple({"configurable": {"thread_id": turn}}) is None


def test_a_question_is_forgotten_with_its_turn(place: str, talk: Talk) -> None:
    agent = talk(place)
    thread = agent.thread("a")
    thread("draw a circle", task="generate", approve="generate")
    thread.discard()
    with pytest.raises(ThreadNotFound):  # there was nothing else on it
        thread.discard()
    thread("say", task="understand")
    thread("draw a circle", task="generate", approve="generate")
    thread.discard()
    with pytest.raises(NothingPending):
        thread.discard()
    assert [turn.number for turn in thread.history()] == [1]


def test_a_turn_that_is_closed_leaves_nothing(place: str, talk: Talk) -> None:
    thread = talk(place).thread("a")
    thread("say", task="understand")
    turns = thread.history()
    count = sum(1 for _ in talk(":memory:").thread("b").stream("draw a circle", task="generate", seed=1))
    for heard in range(1, count):
        events = thread.stream("draw a circle", task="generate", seed=1)
        for _ in range(heard):
            event = next(events)
        events.close()  # type: ignore[attr-defined]
        if type(event).__name__ == "TurnFinished":
            break
        assert thread.unfinished is None, event
        assert thread.history() == turns, event
    thread("say", task="understand")
    assert [turn.number for turn in thread.history()] == [1, 2]


def test_branching_to_the_name_of_a_thread_does_not_wait_for_it(place: str, talk: Talk) -> None:
    """Two threads that branch to each other's name would wait for each other."""
    agent = talk(place)
    for name in ("a", "b"):
        agent.thread(name)("say", task="understand")
    refused = threading.Event()

    def branch() -> None:
        with pytest.raises(InvalidRequest):
            agent.thread("a").branch("b")
        refused.set()

    with agent.store.lock("b", NOW):
        worker = threading.Thread(target=branch, daemon=True)
        worker.start()
        assert refused.wait(30)
    worker.join()
