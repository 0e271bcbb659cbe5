"""LLaVA's JSON as rows and back, and JSON files that are large or broken."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from genllava_finetune.data.converters.json_records import json_members, json_objects, json_values
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.exporting import export_llava, to_llava_json
from genllava_finetune.data.records import Origin, Rejected
from genllava_finetune.data.rows import Row, read_row
from tests.finetune.data.public_layouts import (
    FAITHFUL,
    convert,
    llava,
    only_row,
    reasons,
    run,
    said,
    small_photographs,
    turns,
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_photographs(tmp_path_factory.mktemp("pictures"))


# --- records of JSON files ---


@pytest.mark.parametrize("chunk", [500, 1 << 18])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"a": "]\\"}"},\n 12.5e3 , true]', [{"a": ']"}'}, 12500.0, True]),
        ('\ufeff[{"a": 1},\n{"b": 2, "c', [{"a": 1}, "nothing is read from here on: the file ends in a value"]),
        ('[{"a": 1},\n', [{"a": 1}, "nothing is read from here on: the file ends too early, in its line 2"]),
        (
            '[{"a": 1} {"b": 2}]',
            [{"a": 1}, "nothing is read from here on: line 1 of the file has '{' where ',' is due"],
        ),
        (
            '[{"a": 1},\n{"b" 2, "c": [1]}, 3]',
            [{"a": 1}, "the record is no JSON: Expecting ':' delimiter in line 2", 3],
        ),
        ("[nan, 1]", ["the record is no JSON: Expecting value in line 1", 1]),
        ("[1] [2]", [1, "nothing is read from here on: line 1 of the file goes on with '[' after"]),
        (b'[{"a": "\xff"}, 2]', ["the record is not in UTF-8", 2]),
        ("[" + "9" * 5000 + ", 2]", ["the record is no JSON: Exceeds the limit", 2]),
        ("[1, " + "[" * 10**5 + "]" * 10**5 + ", 2]", [1, "the JSON is nested too deeply: it begins in line 1", 2]),
        ('\ufeff{"a": "x\u2028y"}\n\n[1]\r\n{"a":', [{"a": "x\u2028y"}, [1], "the line is no whole JSON value"]),
        (b'{"a": "\xff"}\n2\n', ["the line is not in UTF-8", 2]),
        ('{"a":' * 10**6 + "\n2\n", ["the JSON is nested too deeply", 2]),
        ("", []),
        (" [ ] ", []),
    ],
)
def test_what_is_broken_is_named_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | bytes, expected: list[Any], chunk: int
) -> None:
    monkeypatch.setattr("genllava_finetune.data.converters.json_records._CHUNK", chunk)
    file = tmp_path / "records"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = [value for _, value in json_values(file)]
    assert len(found) == len(expected)
    for value, due in zip(found, expected, strict=True):
        if isinstance(value, Rejected):
            assert value.reason.startswith(due)
        else:
            assert value == due


def test_origins_are_numbers_of_records_or_lines(tmp_path: Path) -> None:
    file = tmp_path / "records"
    file.write_text('[{},\n\n{}, "no object"]')
    assert [origin for origin, _ in json_objects(file)] == [Origin(str(file), number) for number in (1, 2, 3)]
    assert list(json_objects(file))[2][1] == Rejected("the record is no JSON object")
    file.write_text("{}\n\n{}")
    assert [origin.line for origin, _ in json_objects(file)] == [1, 3]
    file.write_text('{"x": {"list": [0]}, "list": [{"a": "\\\\"}, 2], "y": 1}')
    assert [(origin.line, value) for origin, value in json_values(file, "list")] == [(1, {"a": "\\"}), (2, 2)]
    assert [(origin.line, key) for origin, key, _ in json_members(file)] == [(1, "x"), (2, "list"), (3, "y")]
    with pytest.raises(DataError, match="there is no list 'none' in it"):
        list(json_values(file, "none"))
    with pytest.raises(DataError, match="cannot be read: No such file"):
        list(json_values(tmp_path / "none"))


def test_a_broken_record_does_not_make_the_rest_be_held(tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    file.write_text('[{"a" 1},' + ",\n".join([json.dumps({"words": "x" * 10_000})] * 1000) + "]")  # 10 MB
    tracemalloc.start()
    values = sum(isinstance(value, dict) for _, value in json_values(file))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values == 1000
    assert peak < 4 * 2**20


@pytest.mark.parametrize("depth", [99, 500, 960, 985, 993, 10**4])
@pytest.mark.parametrize("lines", [False, True])
def test_no_depth_of_a_record_ends_the_reading(tmp_path: Path, images: Path, depth: int, lines: bool) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    action = '{"id": "1", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "actions": [%s]}]}'
    call = '{"API_name": "detect", "API_params": ' + deep + "}"
    records = [action % call, f'{{"image": {deep}}}', f'{{"conversations": {deep}}}', json.dumps(FAITHFUL[0])]
    file = tmp_path / "deep.json"
    file.write_text("\n".join(records) if lines else "[" + ",\n".join(records) + "]")
    found = convert("llava_plus", file, images)
    assert [type(record.results[0]) for record in found] == [Rejected] * 3 + [Row]


def test_a_large_list_is_read_in_little_memory(tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    file.write_text("[" + ",\n".join([json.dumps({"words": "x" * 10_000})] * 3000) + "]")  # 30 MB
    tracemalloc.start()
    assert sum(1 for _ in json_values(file)) == 3000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


# --- LLaVA's JSON ---


def test_llava_json_round_trips(tmp_path: Path, images: Path) -> None:
    rows = [only_row(record) for record in convert("llava_instruct", llava(tmp_path / "a.json", *FAITHFUL), images)]
    assert list(to_llava_json(rows, images)) == FAITHFUL
    assert len({row.id for row in rows}) == len(FAITHFUL)
    assert sorted(path.name for path in images.rglob("*.*")) == ["cat.jpg", "cat.jpg", "cup.png"]  # nothing written


def test_where_pictures_stand(tmp_path: Path, images: Path) -> None:
    file = llava(tmp_path / "a.json", *FAITHFUL)
    rows = {
        row.id.split(":")[1].split("#")[0]: row
        for record in convert("llava_mix665k", file, images)
        for row in [only_row(record)]
    }
    assert said(rows["middle"]) == [("user", ["Look: ", ..., " What is it?"]), ("assistant", ["A cup."])]
    assert said(rows["two"])[0] == ("user", [..., ..., "Alike?"])
    assert said(rows["late"])[2:] == [
        ("user", [..., "And this?"]),
        ("assistant", ["A cat."]),
        ("user", ["And", ...]),
        ("assistant", ["A cup."]),
    ]
    assert said(rows["words"]) == [("user", ["  Write HTML.\n\n"]), ("assistant", ["Use <image> or <img>."])]
    assert said(rows["system"])[0] == ("system", ["Be brief."])
    assert rows["late"].images == (images / "coco/cat.jpg", images / "coco/cup.png")
    assert (rows["late"].source, rows["late"].license) == ("llava_mix665k", "unknown")


def test_what_llava_json_is_wrong_with_is_named(tmp_path: Path, images: Path) -> None:
    (images.parent / "outside.jpg").write_bytes((images / "coco/cat.jpg").read_bytes())
    if not (images / "linked.jpg").is_symlink():
        (images / "linked.jpg").symlink_to(images.parent / "outside.jpg")
    asks = turns("<image>\nWhat?", "A cat.")
    cases: list[tuple[Any, str]] = [
        ({"id": 1, "image": "coco/gone.jpg", "conversations": asks}, "there is no picture file: coco/gone.jpg"),
        ({"id": 1, "image": "../outside.jpg", "conversations": asks}, "the picture's path has '..' in it"),
        ({"id": 1, "image": str(images / "coco/cat.jpg"), "conversations": asks}, "the picture's path is absolute"),
        ({"id": 1, "image": "linked.jpg", "conversations": asks}, "the picture is a link out of its folder"),
        ({"id": 1, "image": "coco", "conversations": asks}, "the picture is no file"),
        ({"id": 1, "image": "", "conversations": asks}, "the picture has no file name"),
        ({"id": 1, "image": 5, "conversations": asks}, "the picture has no file name"),
        ({"id": 1, "image": "coco/cat.jpg", "conversations": turns("What?", "A cat.")}, "<image> stands not as often"),
        (
            {"id": 1, "image": "coco/cat.jpg", "conversations": turns("<image><image>", "A.")},
            "<image> stands not as often",
        ),
        ({"id": 1, "conversations": asks}, "<image> stands not as often as there are pictures: 1 times, for 0"),
        ({"id": 1, "image": "coco/cat.jpg", "conversations": []}, "conversations is no list of turns: []"),
        ({"id": 1, "image": "coco/cat.jpg"}, "conversations is no list of turns: None"),
        ({"id": 1, "conversations": turns("What?", " ")}, "a text is empty: turn 2"),
        ({"id": 1, "conversations": [{"from": "human"}]}, "a text is missing: turn 1, None"),
        ({"id": 1, "conversations": ["hello"]}, "a turn is of none of human, gpt and system: turn 1"),
        (
            {"id": 1, "conversations": [{"from": [], "value": "a"}]},
            "a turn is of none of human, gpt and system: turn 1",
        ),
        (
            {"id": 1, "conversations": turns("a") + turns("b", "c")},
            "two turns of the same speaker follow each other: turn 2",
        ),
        ({"id": 1, "conversations": turns("Hi.", first="gpt")}, "there is no turn but the assistant's"),
        ({"id": 1, "conversations": turns("a")}, "there is nothing that the assistant says"),
        ({"id": 1, "conversations": turns("a", "\ud800")}, "a text is not in UTF-8: turn 2"),
        ({"id": True, "conversations": turns("a", "b")}, "the id is no text and no number: True"),
        ({"id": [1], "conversations": turns("a", "b")}, "the id is no text and no number: [1]"),
        ({"id": 1, "system": 5, "conversations": turns("a", "b")}, "a text is missing: system, 5"),
        ("a text", "the record is no JSON object"),
    ]
    file = tmp_path / "a.json"
    good = {"id": "good", "conversations": turns("a", "b")}
    file.write_text(json.dumps([record for record, _ in cases] + [good]))
    records = convert("llava_instruct", file, images)
    found = reasons(records)
    for number, (record, reason) in enumerate(cases, start=1):
        assert found.pop(number, "no reject").startswith(reason), record
    assert not found
    assert said(only_row(records[-1])) == [("user", ["a"]), ("assistant", ["b"])]
    assert records[0].results == (Rejected(reasons(records)[1], "1"),)


def test_ids_and_leading_answers(tmp_path: Path) -> None:
    talk = turns("a", "b")
    file = llava(
        tmp_path / "a.json",
        {"id": 7, "conversations": talk},
        {"id": 7.0, "conversations": talk},
        {"id": "7", "conversations": turns("a", "c")},
        {"conversations": talk},
        {"id": "lead", "conversations": turns("Welcome!", "a", "b", first="gpt")},
    )
    records = convert("sharegpt4v", file)
    ids = [record.results[0].id for record in records]
    assert [id.split("#")[0] for id in ids] == [f"sharegpt4v:{id}" for id in ("7", "7", "7", "record-4", "lead")]
    assert ids[0] == ids[1] != ids[2]
    row, left_out = records[4].results
    assert isinstance(row, Row)
    assert said(row) == [("user", ["a"]), ("assistant", ["b"])]
    assert left_out == Rejected("the first turn is the assistant's and was left out; the others gave a row", row.id)


def test_without_a_folder_of_pictures_paths_are_relative_to_the_file(images: Path) -> None:
    file = llava(images / "here.json", FAITHFUL[0])
    assert only_row(convert("llava_pretrain", file)[0]).images == (images / "coco/cat.jpg",)
    file.unlink()


def test_a_truncated_file_keeps_what_is_before(tmp_path: Path, images: Path) -> None:
    whole = llava(tmp_path / "a.json", *FAITHFUL[:3]).read_bytes()
    for cut in (whole[:-40], whole[: whole.rindex(b"}")], whole[:-1]):
        (tmp_path / "cut.json").write_bytes(cut)
        records = convert("llava_instruct", tmp_path / "cut.json", images)
        kept = 3 if cut == whole[:-1] else 2
        assert [type(record.results[0]) for record in records] == [Row] * kept + [Rejected]
        assert records[-1].origin == Origin(str(tmp_path / "cut.json"), kept + 1)
    lines = "\n".join(json.dumps(record) for record in FAITHFUL[:3])
    (tmp_path / "cut.json").write_text(lines[:-10])
    assert list(reasons(convert("llava_instruct", tmp_path / "cut.json", images))) == [3]


# --- writing LLaVA's JSON ---


def shown(*content: dict[str, Any], answer: dict[str, Any] | None = None, **more: Any) -> Row:
    said = answer or {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]}
    return read_row(
        {
            "messages": [{"role": "user", "content": list(content)}, said],
            "id": "x:1",
            "source": "x",
            "license": "MIT",
            **more,
        }
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {"answer": {"role": "assistant", "content": [{"type": "draw", "prompt": "a cat"}]}, "images": [b""]},
            "no draw block",
        ),
        ({"tools": [{"type": "function"}]}, "no tools that are offered"),
        (
            {"answer": {"role": "assistant", "content": [{"type": "tool_call", "id": "1", "name": "detect"}]}},
            "no tool_call block",
        ),
    ],
)
def test_what_llava_json_cannot_say_is_an_error(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    good, bad = shown({"type": "text", "text": "Hi."}), shown({"type": "text", "text": "Hi."}, **row)
    with pytest.raises(RowError, match=f"x:1: LLaVA's JSON has {reason}"):
        export_llava([good, bad], tmp_path / "out.json", tmp_path / "pictures")
    assert list(tmp_path.iterdir()) == []


def test_a_literal_placeholder_of_the_user_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(RowError, match="x:1: a text of the user has <image> in it"):
        list(to_llava_json([shown({"type": "text", "text": "What does <image> mean?"})], tmp_path))


def test_pictures_without_a_place_are_written_once_and_none_is_overwritten(tmp_path: Path, images: Path) -> None:
    cat, rocket = (images / "coco/cat.jpg").read_bytes(), (images / "vg/cat.jpg").read_bytes()
    rows = [shown({"type": "image"}, images=[file]) for file in (cat, rocket, cat, Image.new("RGB", (4, 4), "red"))]
    names = [record["image"] for record in to_llava_json(rows, tmp_path)]
    assert names[0] == names[2]
    assert len(set(names)) == 3
    assert [Path(name).suffix for name in names] == [".jpeg", ".jpeg", ".jpeg", ".png"]
    assert (tmp_path / names[0]).read_bytes() == cat
    assert (tmp_path / names[1]).read_bytes() == rocket
    (tmp_path / names[0]).write_bytes(b"mine")
    with pytest.raises(DataError, match="is another picture"):
        list(to_llava_json(rows[:1], tmp_path))
    assert (tmp_path / names[0]).read_bytes() == b"mine"


def test_prepared_and_exported_at_the_command_line(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = {"id": "torn", "image": "torn.jpg", "conversations": turns("<image>", "A cat.")}
    (images / "torn.jpg").write_bytes((images / "coco/cat.jpg").read_bytes()[:400])
    file = llava(tmp_path / "a.json", *FAITHFUL, FAITHFUL[0], torn)
    out, back = str(tmp_path / "out"), tmp_path / "back.json"
    assert run("prepare", "llava_instruct", "--from", str(file), "--images", str(images), "-o", out) == 0
    rejects = [json.loads(line) for line in (tmp_path / "out/rejects.jsonl").read_text().splitlines()]
    number = len(FAITHFUL)
    assert [(reject["file"], reject["line"]) for reject in rejects] == [
        (str(file), number + 1),
        (str(file), number + 2),
    ]
    assert rejects[0]["reason"] == "there was a row with this id before"
    assert rejects[1]["reason"].startswith("the picture cannot be read")
    assert run("export", "llava", out, "-o", str(back)) == 0
    assert json.loads(back.read_text()) == FAITHFUL
    assert (tmp_path / "back_images/vg/cat.jpg").read_bytes() == (images / "vg/cat.jpg").read_bytes()
    assert f"{number} rows in {back}" in capsys.readouterr().out
    with pytest.raises(DataError, match="is there already"):
        run("export", "llava", out, "-o", str(back))
    (images / "torn.jpg").unlink()
