"""The ledger: nothing that was written is lost, whatever ends the process that writes it."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from genllava.errors import InvalidRequest
from genllava_finetune.curate.answers import Answer, first_object, read_answer
from genllava_finetune.curate.clustering import assign, groups, tf_idf
from genllava_finetune.curate.ledger import Entry, Ledger, merge, request_key
from genllava_finetune.curate.sources import Scene, read_scenes
from genllava_finetune.data.errors import DataError
from genllava_finetune.data.records import Rejected


def entry(key: str, attempt: int = 1, **more: Any) -> Entry:
    return Entry(key, "step", attempt, **({"status": "ok", "answer": f"words \u2028 of {key}"} | more))


def test_entries_are_read_again_and_the_last_attempt_counts(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.add(entry("a", status="invalid"))
        ledger.add(entry("a", 2, parsed={"x": [1, "ü"]}, usage={"input_tokens": 3, "output_tokens": 4}))
        ledger.add(entry("b", status="error"))
    with Ledger(path) as ledger:
        assert ledger.latest("a") == entry(
            "a", 2, parsed={"x": [1, "ü"]}, usage={"input_tokens": 3, "output_tokens": 4}
        )
        assert "b" not in ledger  # an error is no answer
        assert len(path.read_bytes().splitlines()) == 3


@pytest.mark.parametrize("cut", [1, 20, 10_000])
def test_a_line_that_was_not_finished_is_taken_away(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.add(entry("a"))
        whole = path.read_bytes()
        ledger.add(entry("b", answer="long " * 30_000))
    path.write_bytes(path.read_bytes()[:-cut])
    with Ledger(path) as ledger:
        assert (ledger.latest("a"), ledger.latest("b")) == (entry("a"), None)
        assert path.read_bytes() == whole
        ledger.add(entry("b"))
    with Ledger(path) as ledger:
        assert ledger.latest("b") == entry("b")


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.add(entry("a"))
        ledger.add(entry("b"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{broken\n" + lines[1])
    with pytest.raises(DataError, match=r"ledger\.jsonl, line 2: it is no entry"), Ledger(path):
        pass
    assert path.read_bytes() == lines[0] + b"{broken\n" + lines[1]


def test_two_do_not_write_at_a_time(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        with pytest.raises(InvalidRequest, match="another process is writing"), Ledger(tmp_path / "l"):
            pass
        ledger.add(entry("a"))
    with Ledger(tmp_path / "l") as ledger:
        assert "a" in ledger


def test_a_full_disk_leaves_what_there_was(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Ledger(path) as ledger:
        ledger.add(entry("a"))
        size = path.stat().st_size
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, before[1]))  # a part of the next line still fits
            with pytest.raises(DataError, match=r"ledger\.jsonl: File too large.*run the same command again"):
                ledger.add(entry("b"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert path.stat().st_size == size
        assert "b" not in ledger
        ledger.add(entry("b"))
    with Ledger(path) as ledger:
        assert [ledger.latest(key) for key in "ab"] == [entry("a"), entry("b")]


def test_shards_are_read_while_others_write_and_merged_by_key(tmp_path: Path) -> None:
    with Ledger(tmp_path / "one") as one, Ledger(tmp_path / "two", reads=(tmp_path / "one",)) as two:
        one.add(entry("a"))
        assert "a" not in two
        two.refresh()
        assert two.latest("a") == entry("a")
        two.add(entry("b"))
        two.add(entry("a", answer="another"))
    (tmp_path / "one").write_bytes((tmp_path / "one").read_bytes() + b'{"key": "c", "st')
    with Ledger(tmp_path / "main") as main:
        assert merge(main, (tmp_path / "one", tmp_path / "two")) == 2
        assert merge(main, (tmp_path / "one", tmp_path / "two")) == 0
        assert [main.latest(key) for key in "abc"] == [entry("a"), entry("b"), None]


def test_a_key_depends_on_all_parts_and_not_on_their_order() -> None:
    assert request_key({"a": 1, "b": {"c": "é"}}) == request_key({"b": {"c": "é"}, "a": 1})
    assert len({request_key({"a": value}) for value in (1, "1", 1.5, None, [1], {"1": 1})}) == 6


class _Form(Answer):
    name: str = Field(min_length=1)
    number: int


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ('{"name": "a", "number": 1}', "ok", ""),
        ('Sure!\n```json\n{"name": "a",\n "number": 1, "more": {}}\n```', "ok", ""),
        ('{no} then {"name": "a\nb", "number": 1} and {', "ok", ""),
        ('{"name": "", "number": 1}', "invalid", "name: String should have at least 1 character"),
        ('{"name": "a"}', "invalid", "number: Field required"),
        ("I cannot say.", "invalid", "there is no JSON object in the answer"),
        ("  ", "invalid", "it is empty"),
        ('[{"name": "a"', "invalid", "there is no JSON object in the answer"),
        ('{"refused": true}', "refused", "the model says that it refuses"),
        ('{"refused": false, "name": "I refuse", "number": 2}', "ok", ""),
        ('{"a":' * 100_000, "invalid", "there is no JSON object in the answer"),
    ],
)
def test_answers_are_read(text: str, status: str, reason: str) -> None:
    reading = read_answer(_Form, text)
    assert (reading.status, reading.reason) == (status, reason)
    assert (reading.parsed is not None) == (status == "ok")


def test_arguments_of_a_tool_call_go_before_the_words() -> None:
    assert read_answer(_Form, "words", {"name": "a", "number": 3}).parsed == {"name": "a", "number": 3}
    assert first_object('x {"a": {"b": 1}} {"c": 2}') == {"a": {"b": 1}}


def test_similar_instructions_come_together() -> None:
    poems = [f"Write a short poem about the {word}" for word in ("sea", "seaside", "sea and sand", "seas")]
    dangers = [
        f"List all dangers at this {word}" for word in ("crossing", "road crossing", "crossings", "old crossing")
    ]
    found = groups(tf_idf([*poems, *dangers]), 2, 3)
    assert sorted(sorted(members) for members in found) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert found == groups(tf_idf([*poems, *dangers]), 2, 3)
    assert groups(tf_idf(["one"]), 300, 0) == [[0]]


def test_instructions_go_to_near_captions_and_none_to_all() -> None:
    vectors = tf_idf(["a boat on the sea", "a boat at sea", "a boat", "tell me of the boat", "explain the engine"])
    found = assign(vectors[:3], vectors[3:], 1)
    assert found[:2] == [[0], [0]]
    assert sum(each == [0] for each in assign(vectors[[0] * 8], vectors[3:], 1)) == 8  # twice the even share
    assert sum(each == [0] for each in assign(vectors[[0] * 8], vectors[[3, 4, 4, 4]], 1)) == 4
    assert all(sorted(each) == [0, 1] for each in assign(vectors[:3], vectors[3:], 2))


def test_coco_captions_and_boxes(tmp_path: Path, scene_files: dict[str, Path]) -> None:
    images = scene_files["llava"].parent
    captions = {
        "info": {"year": 2017},
        "annotations": [
            {"image_id": 7, "id": 1, "caption": "A red wall."},
            {"image_id": 7, "id": 2, "caption": " Red"},
        ],
        "images": [{"id": 7, "file_name": "red.png", "width": 8, "height": 8}, {"id": 8, "file_name": "gone.png"}],
    }
    instances = {
        "images": [{"id": 7, "file_name": "red.png", "width": 8, "height": 16}],
        "categories": [{"id": 3, "name": "wall"}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": [2, 4, 4, 8.5], "iscrowd": 0}],
    }
    for indent in (None, 1):
        (tmp_path / "c.json").write_text(json.dumps(captions, indent=indent))
        (tmp_path / "i.json").write_text(json.dumps(instances, indent=indent))
        (_, scene), (origin, gone) = read_scenes(tmp_path / "c.json", images, tmp_path / "i.json")
        assert isinstance(scene, Scene)
        assert (scene.id, scene.captions, scene.image) == ("7", ("A red wall.", "Red"), images / "red.png")
        assert [box.line() for box in scene.boxes] == ["wall: [0.250, 0.250, 0.750, 0.781]"]
        assert isinstance(gone, Rejected)
        assert ("gone.png" in gone.reason, gone.id) == (True, "8")
        assert origin.line == 2
    with pytest.raises(InvalidRequest, match="go with COCO's captions"):
        list(read_scenes(scene_files["llava"], None, tmp_path / "i.json"))


def test_records_that_are_none_are_named_and_the_others_kept(scene_files: dict[str, Path]) -> None:
    path = scene_files["llava"]
    good = path.read_text().splitlines()
    bad = [
        '{"image": "../red.png", "captions": ["a"]}',
        '{"image": "red.png", "captions": ["a"], "boxes": [{"category": "a", "box": [0, 0, 100, 1]}]}',
        '{"captions": ["a"]}',
        good[0],
        '{"image": "red.png", "captions": ["a"',
    ]
    path.write_text("\n".join([good[0], *bad, *good[1:]]))
    found = list(read_scenes(path))
    reasons = {origin.line: scene.reason for origin, scene in found if isinstance(scene, Rejected)}
    assert [origin.line for origin, scene in found if isinstance(scene, Scene)] == [1, 7, 8, 9]
    assert list(reasons) == [2, 3, 4, 5, 6]
    assert "'..'" in reasons[2]
    assert reasons[3].startswith("boxes.0.box.2: ")
    assert reasons[4] == "image: Field required"
    assert reasons[5] == "the record 1 has the same id"
    assert replace(found[0][0]).file == str(path)
