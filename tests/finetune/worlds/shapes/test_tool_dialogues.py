"""Dialogues with tools: every call fits its schema, and made again it gives what the row says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from genllava.protocols.verbs import check_call
from genllava_finetune.data.rows import row_dict
from genllava_finetune.worlds.shapes.language.tool_requests import DESCRIPTIONS, REQUESTS
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.plan import read_plan
from genllava_finetune.worlds.shapes.tool_dialogues import KINDS, ToolDialogue, run_call, tool_dialogues
from genllava_tools.registry import find
from genllava_tools.tool import Need

COUNT = 200
Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(map(as_dict, tool_dialogues(7, COUNT)))


def as_dict(made: ToolDialogue) -> Row:
    """The row as data sets hold it, with what is known of it."""
    return row_dict(made.row) | {"kind": made.kind, "names": made.names, "unavailable": made.unavailable}


def blocks(row: Row, kind: str, role: str = "") -> list[dict[str, Any]]:
    said = [message for message in row["messages"] if not role or message["role"] == role]
    return [block for message in said for block in message["content"] if block["type"] == kind]


def test_the_same_seed_gives_the_same_rows(rows: list[Row]) -> None:
    for row, again in zip(rows[:12], map(as_dict, tool_dialogues(7, 12)), strict=True):
        assert row["messages"] == again["messages"]
        assert [image.tobytes() for image in row["images"]] == [image.tobytes() for image in again["images"]]
    assert [as_dict(made)["messages"] for made in tool_dialogues(8, 4)] != [row["messages"] for row in rows[:4]]


def test_rows_have_the_form_of_all_rows(rows: list[Row]) -> None:
    for row in rows:
        assert len(blocks(row, "image")) == len(row["images"])
        assert row["messages"][0]["role"] == "user"
        last = row["messages"][-1]
        assert (last["role"], [block["type"] for block in last["content"]]) == ("assistant", ["text"])
        assert all(block["text"].strip() for block in blocks(row, "text"))
        assert set(row["names"]) == {tool["function"]["name"] for tool in row["tools"]}
        called = [(block["id"], block["name"]) for block in blocks(row, "tool_call")]
        assert called == [(block["id"], block["name"]) for block in blocks(row, "tool_result")]


def test_calls_fit_their_schemas_and_give_what_is_said(rows: list[Row]) -> None:
    """Each is made again, on the pictures that there were."""
    calls = 0
    for row in rows:
        shown = len(blocks({"messages": row["messages"][:1]}, "image"))
        for call, result in zip(blocks(row, "tool_call"), blocks(row, "tool_result"), strict=True):
            calls += 1
            tool = replace(find(row["names"][call["name"]]), name=call["name"])
            if row["unavailable"] == call["name"]:
                remedy = f"run `hf download models/{call['name']}`"
                tool = replace(tool, needs=(Need(f"the {call['name']} model", remedy, lambda: False),))
            else:
                assert bool(check_call(row["tools"], call["name"], call["arguments"])) <= result["error"]
            again, error = run_call(tool, call["arguments"], row["images"][:shown])
            assert error == result["error"]
            assert result["text"].startswith(again.text)
            for image in again.images:
                assert image.convert("RGB").tobytes() == row["images"][shown].tobytes()
                shown += 1
                assert f"image_{shown} was made." in result["text"]
        assert shown == len(row["images"])
    assert calls > COUNT * 0.75


def test_each_kind_is_what_it_says(rows: list[Row]) -> None:
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in KINDS}
    assert {len(some) for some in by_kind.values()} == {COUNT // len(KINDS)}
    assert {call["name"] for row in by_kind["needed"] for call in blocks(row, "tool_call")} >= {
        "crop",
        "measure",
        "flip",
    }
    assert any(len(blocks(row, "tool_call")) == 2 for row in by_kind["needed"]), "one after the other"
    assert not any(blocks(row, "tool_call") for row in by_kind["needless"])
    assert all(row["tools"] for row in by_kind["needless"])
    mended = said = 0
    for row in by_kind["error"]:
        first, *others = blocks(row, "tool_result")
        assert first["error"]
        if others:
            mended += 1
            assert [each["error"] for each in others] == [False]
            assert row["messages"][1]["learn"] is False, "how to fail is not learnt"
            assert "learn" not in row["messages"][3]
        else:
            said += 1
            assert first["text"] in blocks(row, "text", "assistant")[-1]["text"]
    assert mended > said > 3
    for row in by_kind["unfamiliar"]:
        for tool in row["tools"]:
            name, says = tool["function"]["name"], tool["function"]["description"]
            assert name not in REQUESTS
            assert says in DESCRIPTIONS[row["names"][name]]


def test_what_is_told_is_true(rows: list[Row]) -> None:
    told = 0
    for row in rows:
        said = blocks(row, "text", "assistant")[-1]["text"]
        if said.startswith("It shows "):
            told += 1
            assert read_plan(said.removeprefix("It shows ").removesuffix(".")) == parse(row["images"][-1]).scene
        if "pixels wide" in said:
            told += 1
            name = blocks(row, "tool_call")[-1]["arguments"]["image"]
            size = row["images"][int(name.removeprefix("image_")) - 1].size
            assert [str(side) for side in size] == [
                word.strip(".") for word in said.split() if word.strip(".").isdigit()
            ]
    assert told > 5
