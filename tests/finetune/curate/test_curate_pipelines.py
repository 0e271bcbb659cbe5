"""The pipelines whole, against a server that also answers with errors, garbage, refusals and rate limits."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda

from genllava.errors import InvalidRequest
from genllava_agent.cli import main
from genllava_finetune.curate.asking import Limits, Stopped
from genllava_finetune.curate.curation import Curated, curate
from genllava_finetune.curate.making import Options
from genllava_finetune.curate.models import ModelChoice
from genllava_finetune.data.errors import DataError
from genllava_finetune.data.storing import load_rows

Files = dict[str, Path]
SECRET = "sk-secret-of-the-test"


def run(server: Any, files: Files, pipeline: str, output: Path, **settings: Any) -> Curated:
    limits = Limits(**({"first_wait": 0.01} | settings.pop("limits", {})))
    return curate(pipeline, files[pipeline], output, ModelChoice("openai:small", server.url), limits=limits, **settings)


def rows(folder: Path) -> dict[str, Any]:
    """The rows by id: their pictures' names, and their messages as text."""
    return {
        row.id: ([image.name for image in row.images], [message.content for message in row.messages])
        for row in load_rows(folder / "rows")
    }


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "rows").glob("*.parquet"))}


def ledger(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_bytes().splitlines()]


def says(messages: list[dict[str, Any]], *words: str) -> bool:
    said = "".join(message["content"] for message in messages)
    return all(word in said for word in words)


def in_turn(*faults: str | None) -> Callable[[str, int], str | None]:
    """What goes wrong with a request when it comes first, one after the other."""
    known = dict[str, str | None]()

    def fault(number: str, before: int) -> str | None:
        return known.setdefault(number, faults[len(known) % len(faults)]) if before == 0 else None

    return fault


EXPECTED = {
    "llava": (9, {"ok": 9, "refused": 2, "invalid": 1}, 14),
    "mm_instruct": (2, None, None),
    "gvit": (3, {"ok": 3, "refused": 1}, 4),
}


@pytest.mark.parametrize("pipeline", EXPECTED)
def test_a_pipeline_with_all_that_can_go_wrong(
    chat_server: Any, scene_files: Files, tmp_path: Path, pipeline: str
) -> None:
    passing = in_turn("busy", "limited", "broken", "not json", None)

    def faults(messages: list[dict[str, Any]], number: str, before: int) -> str | None:
        if says(messages, "background knowledge that", "A blue wall"):  # the conversation, also its repair
            return "garbage"
        if says(messages, "needs thought", "A red wall") or says(messages, "must need thought", "A red wall"):
            return "garbage" if len(messages) == 2 else None  # it is put right when it is asked for
        if says(messages, "You describe a picture", "A green wall") or says(messages, "that edits", "a blue wall"):
            return "refused"
        if says(messages, "You describe a picture", "A white wall") or says(messages, "Judge it", "A green wall"):
            return "filtered"
        if says(messages, "Carry out", "A white wall"):
            return "refused"
        return passing(number, before)

    chat_server.faults = faults
    done = run(chat_server, scene_files, pipeline, tmp_path / "out")
    count, statuses, answered = EXPECTED[pipeline]
    assert done.prepared.card.rows == len(rows(tmp_path / "out")) == count
    assert set(chat_server.answered.values()) == {1}  # none that was answered came again
    if statuses is not None:
        assert done.statuses == statuses
        assert sum(chat_server.answered.values()) == answered
    assert done.sent == sum(chat_server.asked.values()) > sum(chat_server.answered.values())
    if pipeline == "mm_instruct":
        steps = Counter(entry["step"] for entry in ledger(tmp_path / "out"))
        assert steps == {"mm.augment": 4, "mm.cluster": 1, "mm.summarise": 1, "mm.assign": 1, "mm.match": 4} | {
            "mm.answer": 4, "mm.filter": 3,
        }  # fmt: skip
    rejected = [json.loads(line) for line in (tmp_path / "out" / "rows" / "rejects.jsonl").read_text().splitlines()]
    assert len(rejected) == {"llava": 3, "mm_instruct": 2, "gvit": 1}[pipeline]
    assert all(each["file"] == str(scene_files[pipeline]) and each["line"] for each in rejected)
    every = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert not [path for path, data in every.items() if SECRET.encode() in data]

    asked = chat_server.asked.total()
    again = run(chat_server, scene_files, pipeline, tmp_path / "out")
    assert (again.prepared.before, again.sent, chat_server.asked.total()) == (True, 0, asked)
    assert again.statuses == done.statuses


def test_what_the_rows_hold(chat_server: Any, scene_files: Files, tmp_path: Path) -> None:
    run(chat_server, scene_files, "llava", tmp_path / "l", options=Options(license="CC-BY-4.0", kinds=("detail",)))
    found = next(iter(load_rows(tmp_path / "l" / "rows")))
    assert (found.id, found.source, found.license) == ("llava:detail:red.png", "curated-llava", "CC-BY-4.0")
    assert bytes(found.images[0]) == (scene_files["llava"].parent / "red.png").read_bytes()
    assert [block.type for block in found.messages[0].content] == ["image", "text"]
    detail, conversation = chat_server.bodies[0]["messages"], None
    assert says(detail, "- wall: [0.100, 0.200, 0.900, 1.000]")
    run(chat_server, scene_files, "llava", tmp_path / "c", options=Options(kinds=("conversation",)))
    conversation = chat_server.bodies[-1]["messages"]
    assert not says(conversation, "0.900")
    blocks = rows(tmp_path / "c")["llava:conversation:white.png"][1]
    assert [[block.type for block in message] for message in blocks] == [
        ["image", "text"],
        ["text"],
        ["text"],
        ["text"],
    ]

    run(chat_server, scene_files, "gvit", tmp_path / "g")
    made = {id: (images, said[1][0].model_dump()) for id, (images, said) in rows(tmp_path / "g").items()}
    images, draw = made["gvit:draw:red.png"]
    assert (images, draw["type"], draw["image"]) == (["red.png"], "draw", 0)
    images, edit = made["gvit:edit:e1"]
    assert (images, edit["type"], edit["source"], edit["image"]) == (["red.png", "blue.png"], "edit", 0, 1)
    assert any(says(body["messages"], "make it white") for body in chat_server.bodies)  # they are asked at once


def test_budgets_stop_and_the_same_command_goes_on(chat_server: Any, scene_files: Files, tmp_path: Path) -> None:
    run(chat_server, scene_files, "llava", tmp_path / "whole")
    chat_server.asked.clear()
    for stops in (1, 2):
        with pytest.raises(
            Stopped, match=r"^the budget of this run is used up: 5 requests, 200 tokens\. What is answered is kept: run"
        ):
            run(chat_server, scene_files, "llava", tmp_path / "parts", limits={"max_requests": 5})
        assert chat_server.asked.total() == 5 * stops
    run(chat_server, scene_files, "llava", tmp_path / "parts", limits={"max_requests": 5})
    assert (chat_server.asked.total(), set(chat_server.asked.values())) == (12, {1})
    assert shards(tmp_path / "parts") == shards(tmp_path / "whole")

    chat_server.asked.clear()
    with pytest.raises(Stopped, match="used up: 3 requests, 120 tokens"):
        run(chat_server, scene_files, "llava", tmp_path / "t", limits={"max_tokens": 100, "concurrency": 1})
    assert chat_server.asked.total() == 3  # of 40 tokens each


def test_so_many_at_a_time_and_no_more(chat_server: Any, scene_files: Files, tmp_path: Path) -> None:
    chat_server.delay = 0.03
    run(chat_server, scene_files, "llava", tmp_path / "out", limits={"concurrency": 3})
    assert chat_server.peak == 3


def test_a_server_that_asks_to_wait_is_left_alone(chat_server: Any, scene_files: Files, tmp_path: Path) -> None:
    chat_server.retry_after = "1"
    chat_server.faults = lambda messages, number, before: "limited" if chat_server.asked.total() == 1 else None
    run(chat_server, scene_files, "gvit", tmp_path / "out", limits={"concurrency": 1})
    first, second, *_ = chat_server.times
    assert 1.0 <= second - first < 4.0
    chat_server.retry_after = "86400"
    chat_server.faults = lambda messages, number, before: "limited"
    with pytest.raises(Stopped, match="the server asks to wait 86400 seconds"):
        run(chat_server, scene_files, "llava", tmp_path / "other")


def test_what_gets_no_answer_is_asked_again_the_next_time(chat_server: Any, scene_files: Files, tmp_path: Path) -> None:
    slow = lambda messages, number, before: "slow" if says(messages, "a blue wall") else None  # noqa: E731
    chat_server.faults = slow
    with pytest.raises(Stopped, match="1 requests got no answer, the first: TimeoutError"):
        run(chat_server, scene_files, "gvit", tmp_path / "out", limits={"timeout": 0.8, "retries": 1})
    assert sorted(chat_server.asked.values()) == [1, 1, 1, 2]
    assert Counter(entry["status"] for entry in ledger(tmp_path / "out")) == {"ok": 3, "error": 1}
    assert not (tmp_path / "out" / "rows").exists()
    chat_server.faults = lambda messages, number, before: None
    assert run(chat_server, scene_files, "gvit", tmp_path / "out").prepared.card.rows == 4
    assert sorted(chat_server.asked.values()) == [1, 1, 1, 3]


def test_a_server_that_is_down_ends_the_run_and_secrets_are_not_written(
    chat_server: Any, scene_files: Files, tmp_path: Path
) -> None:
    chat_server.faults = lambda messages, number, before: "busy"  # and its message has the key in it
    with pytest.raises(Stopped, match="10 requests in a row got no answer") as stopped:
        run(chat_server, scene_files, "llava", tmp_path / "out", limits={"retries": 0, "concurrency": 1})
    assert chat_server.asked.total() == 10
    assert "***" in str(stopped.value)
    assert SECRET not in str(stopped.value) + (tmp_path / "out" / "ledger.jsonl").read_text()


def test_any_chat_model_and_any_embeddings(scene_files: Files, tmp_path: Path) -> None:
    said = [
        'Here:\n```json\n{"instructions": ["Write a poem.", "Write a poem."]}\n```',
        '{"instruction": "Write a short poem."}',
        '{"reason": "It suits.", "makes_sense": true}',
        '{"answer": "Red."}',
        "It is good.",
        '{"reason": "", "coherent": true, "grounded": true}',
    ]
    called = list[int]()

    class Counting(DeterministicFakeEmbedding):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            called.append(len(texts))
            return super().embed_documents(texts)

    for _ in range(2):  # the second time nothing is asked, nor embedded
        model = GenericFakeChatModel(messages=iter([AIMessage(text) for text in said]))
        embeddings, options = Counting(size=4), Options(matches=1)
        settings: dict[str, Any] = {"embeddings": embeddings, "options": options, "limit": 1}
        done = curate("mm_instruct", scene_files["mm_instruct"], tmp_path / "out", model, **settings)
        said = []
    assert called == [1, 2]
    assert done.statuses == {"ok": 5}
    assert done.tokens == 0
    ((_, messages),) = rows(tmp_path / "out").values()
    assert [message[-1].text for message in messages] == ["Write a short poem.", "Red."]


def command(*words: str | Path, pipeline: str = "llava") -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(["data", "curate", pipeline, *map(str, words)])
    return ended.value.code


def test_bad_input_at_the_command_line(
    chat_server: Any,
    scene_files: Files,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, out = scene_files["llava"], tmp_path / "out"
    model = ("--model", "openai:small", "--base-url", chat_server.url)

    def message(*words: str | Path, code: int = 2, pipeline: str = "llava") -> str:
        assert command(*words, pipeline=pipeline) == code
        return capsys.readouterr().err

    assert "-o FOLDER is missing" in message("--from", file, *model)
    assert "did you mean llava?" in message("--from", file, "-o", out, *model, pipeline="lava")
    assert "no file" in message("--from", tmp_path / "none", "-o", out, *model)
    assert "'0' is not a whole number from 1" in message("--from", file, "-o", out, *model, "--max-requests", "0")
    assert "provider" in message("--from", file, "-o", out, "--model", "nobody:small")
    assert "langchain-cohere" in message("--from", file, "-o", out, "--model", "cohere:command")
    (tmp_path / "empty.jsonl").write_text("\n")
    assert "is empty: there is no record" in message("--from", tmp_path / "empty.jsonl", "-o", out, *model)
    (file.parent / "bare.jsonl").write_text('{"image": "red.png"}\n{"image": "blue.png", "captions": []}\n')
    assert "The first, line 1: it has no captions" in message("--from", file.parent / "bare.jsonl", "-o", out, *model)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "OPENAI_API_KEY" in message("--from", file, "-o", out, *model)
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    assert not out.exists()
    assert "does not accept the API key (401)" in message("--from", file, "-o", out, *model, code=1)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    other = ("--model", "openai:large", "--base-url", chat_server.url)
    assert "no such model" in message("--from", file, "-o", tmp_path / "large", *other, code=1)
    assert chat_server.answered.total() == 0

    assert command("--from", file, "-o", out, *model, "--kind", "detail") == 0
    assert f"{out / 'rows'}: 4 rows. Answers: 4 ok. This run: 4 requests, 160 tokens" in capsys.readouterr().out
    assert "another kinds (['detail'], not ['conversation'" in message("--from", file, "-o", out, *model)
    assert "another pipeline (llava, not gvit): choose another -o" in message(
        "--from", scene_files["gvit"], "-o", out, *model, pipeline="gvit"
    )
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    assert "holds no curation: choose another -o" in message("--from", file, "-o", tmp_path / "full", *model)
    assert "is not a folder" in message("--from", file, "-o", file, *model)


def test_a_rejected_request_is_told_before_anything_is_spent(
    chat_server: Any, scene_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = chat_server.serve

    def reject(handler: Any, body: dict[str, Any]) -> None:
        if "response_format" in body:
            chat_server.send(handler, 400, {"error": {"message": "response_format is unknown"}})
        else:
            serve(handler, body)

    monkeypatch.setattr(chat_server, "serve", reject)
    with pytest.raises(Stopped, match=r"the provider rejects the request: .*response_format is unknown"):
        run(chat_server, scene_files, "gvit", tmp_path / "out")
    assert run(chat_server, scene_files, "gvit", tmp_path / "out", structured=False).prepared.card.rows == 4


def test_one_rejected_request_costs_one_row(chat_server: Any, scene_files: Files, tmp_path: Path) -> None:
    chat_server.faults = lambda messages, number, before: "too long" if says(messages, "a blue wall") else None
    for _ in range(2):
        done = run(chat_server, scene_files, "gvit", tmp_path / "out", limits={"concurrency": 1})
        assert done.statuses == {"ok": 3, "invalid": 1}
    (rejected,) = (tmp_path / "out" / "rows" / "rejects.jsonl").read_text().splitlines()
    assert "the answer is invalid: OpenAIInvalidRequestError" in rejected
    assert json.loads(rejected)["line"] == 3
    assert chat_server.asked.total() == 5


def test_structured_output_that_is_a_tool_call(scene_files: Files, tmp_path: Path) -> None:
    class Calling(GenericFakeChatModel):
        def with_structured_output(self, schema: Any, **settings: Any) -> Any:
            form = {"refused": False, "description": f"As {schema['title']} has it."}
            call = {"name": schema["title"], "args": form, "id": "1"}
            return RunnableLambda(lambda messages: {"raw": AIMessage("Here:", tool_calls=[call]), "parsed": None})

    options = Options(kinds=("detail",))
    curate("llava", scene_files["llava"], tmp_path / "out", Calling(messages=iter([])), options=options)
    said = rows(tmp_path / "out")["llava:detail:red.png"][1]
    assert said[1][0].text == "As Detail has it."
    assert ledger(tmp_path / "out")[0]["answer"] == 'Here:\n{"refused": false, "description": "As Detail has it."}'


def test_a_full_disk_ends_the_run_and_what_is_answered_is_kept(
    chat_server: Any, scene_files: Files, tmp_path: Path
) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
        with pytest.raises(DataError, match="run the same command again"):
            run(chat_server, scene_files, "llava", tmp_path / "out", limits={"concurrency": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    kept = len(ledger(tmp_path / "out"))
    assert 2 <= kept <= 8
    assert run(chat_server, scene_files, "llava", tmp_path / "out").prepared.card.rows == 12
    assert 12 <= chat_server.answered.total() <= 14  # only what was under way is asked again
    assert len(ledger(tmp_path / "out")) == 12


def test_a_loop_that_runs_already(chat_server: Any, scene_files: Files, tmp_path: Path) -> None:
    from genllava_finetune.curate.curation import curate_async

    model = ModelChoice("openai:small", chat_server.url)
    done = asyncio.run(curate_async("gvit", scene_files["gvit"], tmp_path / "out", model))
    assert done.prepared.card.rows == 4
    with pytest.raises(InvalidRequest, match="turns must be at least 1"):
        asyncio.run(curate_async("llava", scene_files["llava"], tmp_path / "x", model, options=Options(turns=0)))


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["llava", "mm_instruct", "gvit"])
def test_killed_at_any_moment_nothing_is_asked_twice_and_nothing_is_lost(
    chat_server: Any, scene_files: Files, tmp_path: Path, pipeline: str
) -> None:
    path, concurrency = scene_files[pipeline], 3
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    more = [line | {"id": f"{n}", "captions": [f"Number {n} is a wall."]} for n in range(4) for line in [lines[0]]]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines + more))
    passing = in_turn("busy", "limited", "broken", None, None)

    def faults(messages: list[dict[str, Any]], number: str, before: int) -> str | None:
        lasting = {"0": "refused", "1": "garbage", "2": "filtered"}.get(number[0])
        return passing(number, before) or lasting

    chat_server.faults = faults
    run(chat_server, scene_files, pipeline, tmp_path / "whole")
    chat_server.asked.clear()
    chat_server.answered.clear()
    chat_server.faults = lambda messages, number, before: faults(messages, number, 1)  # the lasting ones alone
    chat_server.delay = 0.02
    words = ["--from", path, "-o", tmp_path / "killed", "--model", "openai:small", "--base-url", chat_server.url]
    words += ["--concurrency", concurrency]
    chance, kills, code = random.Random(pipeline), 0, None
    while code != 0:
        known = {
            chat_server.numbers.get(text)
            for entry in (ledger(tmp_path / "killed") if (tmp_path / "killed" / "ledger.jsonl").exists() else [])
            for text in (entry["answer"], entry["reason"])
        }
        before, asked = chat_server.asked.copy(), chat_server.asked.total()
        arguments = [sys.executable, "-m", "genllava_agent.cli", "data", "curate", pipeline, *map(str, words)]
        process = subprocess.Popen(arguments, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
        after = asked + chance.randint(1, 9)
        while kills < 5 and process.poll() is None and chat_server.asked.total() < after:
            time.sleep(0.002)
        if kills < 5 and process.poll() is None:
            time.sleep(chance.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
            kills += 1
        code = process.wait(60)
        assert code in (0, -signal.SIGKILL)
        again = {number for number, count in chat_server.asked.items() if count > before[number]}
        assert not again & known  # what is in the ledger was not asked again
    assert kills >= 3
    assert shards(tmp_path / "killed") == shards(tmp_path / "whole")
    entries = Counter((entry["key"], entry["attempt"]) for entry in ledger(tmp_path / "killed"))
    assert set(entries.values()) == {1}
    assert sum(chat_server.asked.values()) - len(chat_server.asked) <= kills * concurrency
