"""Converters of captions, questions and tool data, on small files in the originals' layouts with their quirks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genllava.images import load_image
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.exporting import to_llava_json
from genllava_finetune.data.records import Rejected
from genllava_finetune.data.rows import Row
from genllava_finetune.data.storing import load_rows
from tests.finetune.data.public_layouts import (
    FAITHFUL,
    coco,
    convert,
    llava,
    only_row,
    reasons,
    run,
    said,
    small_photographs,
    tar,
    turns,
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_photographs(tmp_path_factory.mktemp("pictures"))


def test_coco_captions_are_described_or_drawn(tmp_path: Path, images: Path) -> None:
    file = coco(tmp_path)
    described, drawn = (convert(kind, file, images) for kind in ("coco_captions", "coco_generation"))
    row = only_row(described[0])
    (_, (shown_first, asks)), answer = said(row)
    assert shown_first is ...
    assert asks
    assert answer == ("assistant", ["A grey cat on a cushion."])
    assert (row.id, row.license, row.images) == ("coco_captions:770337", "CC-BY-4.0", (images / "coco/cat.jpg",))
    row = only_row(drawn[1])
    (_, (asks,)), (_, (draws,)) = said(row)
    assert "A cup of {coffee}." in asks
    assert draws == {"type": "draw", "prompt": "A cup of {coffee}.", "image": 0}
    assert (row.id, row.source, row.images) == ("coco_generation:771687", "coco_generation", (images / "coco/cup.png",))
    for records in (described, drawn):
        assert [result.id for record in records[2:6] for result in record.results] == ["3", "4", "5", "6"]
        assert reasons(records) == {
            3: "a text is empty: the caption",
            4: "the caption's picture is not in the list of images: 5",
            5: f"there is no picture file: coco/gone.jpg in {images}",
            6: "a text is missing: the caption, None",
            7: "the record is no JSON object",
        }


def test_the_same_caption_is_asked_for_in_the_same_words_and_others_in_others(tmp_path: Path, images: Path) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text("caption\timage\n" + "A cat.\tcoco/cat.jpg\n" * 40)
    for kind, sentences in (("cc_captions", 4), ("cc_generation", 4)):
        first, second = ([said(only_row(record))[0] for record in convert(kind, file, images)] for _ in range(2))
        assert first == second
        assert len({str(asked) for asked in first}) == sentences


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "head.tsv",
            '\ufefffilepath\ttitle\ncoco/cat.jpg\t"A ""cat"",\n\tgrey"\ncoco/gone.jpg\tx\n'
            "coco/cup.png\tA cup\u2028.\n\ncoco",
            {
                3: 'A "cat",\n\tgrey',
                4: "there is no picture file",
                5: "A cup\u2028.",
                7: "the line has too few columns: 1",
            },
        ),
        (
            "Train_GCC-training.tsv",
            'a "cat\tcoco/cat.jpg\nthe cup, hot\tcoco/cup.png\nfar\thttps://example.org/a.jpg\n\tcoco/cat.jpg\n',
            {1: 'a "cat', 2: "the cup, hot", 3: "the picture is an address", 4: "a text is empty: the caption"},
        ),
        (
            "pairs.csv",
            'caption,split,image\n"A cat, grey",train,coco/cat.jpg\nA cup,train,../cup.png\n',
            {2: "A cat, grey", 3: "the picture's path has '..' in it"},
        ),
        ("plain.csv", "A cat,coco/cat.jpg\nA cup,vg/cat.jpg", {1: "A cat", 2: "A cup"}),
        ("bytes.tsv", b"caf\xe9\tcoco/cup.png\ncup\tcoco/cup.png\n", {1: "a text is not in UTF-8", 2: "cup"}),
        (
            "long.tsv",
            f"{'x' * 200_000}\tcoco/cup.png\ncup\tcoco/cup.png\n",
            {1: "the line is no line of a table", 2: "cup"},
        ),
    ],
)
def test_tables_of_captions(
    tmp_path: Path, images: Path, name: str, content: str | bytes, expected: dict[int, str]
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    records = convert("cc_captions", tmp_path / name, images)
    found = reasons(records)
    found |= {
        record.origin.line: said(row)[1][1][0] for record in records for row in record.results if isinstance(row, Row)
    }
    assert found.keys() == expected.keys()
    for line, due in expected.items():
        assert found[line].startswith(due)


def test_webdataset_tars(tmp_path: Path, images: Path) -> None:
    cat, cup = (images / "coco/cat.jpg").read_bytes(), (images / "coco/cup.png").read_bytes()
    tar(
        tmp_path / "00000.tar",
        a__jpg=cat,
        a__json=b'{"caption": "not this one"}',
        a__txt="A \u2028cat.\n".encode(),
        b__json=b'{"caption": "A cup.", "width": 32}',
        b__png=cup,
        c__jpg=cat,
        d__txt=b"No picture.",
        e__jpg=cat,
        e__txt=b"\xff",
        f__jpg=b"LINK",
        f__txt=b"A link.",
        g__jpg=cat,
        g__json=b'{"width": 32}',
    )
    whole = tar(tmp_path / "00001.tar", a__jpg=cat, a__txt=b"Again.", b__txt=b"Torn.", b__png=cup).read_bytes()
    (tmp_path / "00001.tar").write_bytes(whole[: whole.index(cup) + 100])
    (tmp_path / "00002.tar").write_bytes(b"no tar" * 200)
    records = convert("webdataset_captions", tmp_path)
    rows = {row.id: row for record in records for row in record.results if isinstance(row, Row)}
    assert {id.split(":")[1]: said(row)[1][1] for id, row in rows.items()} == {
        "00000/a": ["A \u2028cat."],
        "00000/b": ["A cup."],
        "00001/a": ["Again."],
    }
    assert rows["webdataset_captions:00000/b"].images == (cup,)
    found = [(Path(record.origin.file).stem, *record.results) for record in records[2:]]
    starts = {
        "00000/c": "there is no caption beside the picture",
        "00000/d": "there is no picture beside the caption",
        "00000/e": "the caption cannot be read: 00000/e.txt",
        "00000/f": "a member of the tar is no file: f.jpg",
        "00000/g": "a text is missing: the caption, None",
    }
    for (_, result), (id, start) in zip(found, starts.items(), strict=False):
        assert isinstance(result, Rejected)
        assert result.id == id
        assert result.reason.startswith(start)
    assert [file for file, result in found[5:] if isinstance(result, Rejected)] == ["00001", "00002"]
    assert all(
        result.reason.startswith("the tar is damaged") for _, result in found[6:] if isinstance(result, Rejected)
    )
    (drawn,) = (
        row for record in convert("webdataset_generation", tmp_path / "00000.tar")[:1] for row in record.results
    )
    assert isinstance(drawn, Row)
    assert load_image(drawn.images[0]).size == (32, 24)
    with pytest.raises(DataError, match="there is no tar"):
        convert("webdataset_captions", tmp_path / "none.tar")


# --- ScienceQA ---

MAGNETS = {
    "question": "Which magnet is stronger?",
    "choices": ["the red one", "the blue one"],
    "answer": 1,
    "hint": "Two magnets.",
    "image": "image.png",
    "lecture": "Magnets pull.",
    "solution": "The blue one is larger.",
    "split": "train",
}


def scienceqa(folder: Path, images: Path) -> Path:
    """ScienceQA's original folder."""
    problems: dict[str, Any] = {
        "1": MAGNETS,
        "2": {**MAGNETS, "image": None, "hint": "", "lecture": "", "solution": "", "answer": 0},
        "3": {**MAGNETS, "split": "test"},
        "4": {**MAGNETS, "image": "gone.png"},
        "5": {**MAGNETS, "image": None, "answer": 2},
        "6": {**MAGNETS, "image": None, "answer": True},
        "7": {**MAGNETS, "image": None, "choices": []},
        "8": {**MAGNETS, "image": None, "question": ""},
        "../9": MAGNETS,
        "10": 5,
    }
    (folder / "images/train/1").mkdir(parents=True)
    (folder / "images/train/1/image.png").write_bytes((images / "coco/cup.png").read_bytes())
    (folder / "problems.json").write_text(json.dumps(problems))
    return folder


def test_scienceqa_with_its_three_forms_of_answers(tmp_path: Path, images: Path) -> None:
    folder = scienceqa(tmp_path, images)
    asked = "Question: Which magnet is stronger?\nContext: Two magnets.\nOptions: (A) the red one (B) the blue one\n"
    answers = {
        "scienceqa": ("Magnets pull.\nThe blue one is larger.\nThe answer is B.", "The answer is A."),
        "scienceqa_answer_first": ("The answer is B.\nMagnets pull.\nThe blue one is larger.", "The answer is A."),
        "scienceqa_letter": ("B", "A"),
    }
    asks = set()
    for kind, (explained, bare) in answers.items():
        first, second = map(only_row, convert(kind, folder)[:2])
        (_, (picture, question)), (_, answer) = said(first)
        assert picture is ...
        assert question.startswith(asked)
        assert answer == [explained]
        assert first.images == (folder / "images/train/1/image.png",)
        assert first.id == f"{kind}:1"
        asks.add(question.removeprefix(asked))
        (_, (question,)), (_, answer) = said(second)
        assert question.startswith("Question: Which magnet is stronger?\nOptions: ")
        assert answer == [bare]
    assert len(asks) == 3
    records = convert("scienceqa", folder / "problems.json")
    assert [result.id for record in records[2:] for result in record.results] == [*"345678", "../9", "10"]
    for (number, reason), start in zip(
        reasons(records).items(),
        [
            "a split that is held out for evaluation is not read: 'test'",
            "there is no picture file: train/4/gone.png",
            "the answer is no number of a choice: 2 of 2",
            "the answer is no number of a choice: True of 2",
            "choices is no list of 1 to 26 texts: []",
            "a text is empty: question",
            "the picture's path has '..' in it",
            "the record is no JSON object",
        ],
        strict=True,
    ):
        assert reason.startswith(start), number


def test_scienceqa_in_the_table_of_the_hub(tmp_path: Path, images: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    cup = (images / "coco/cup.png").read_bytes()
    cells = [{"bytes": cup, "path": "image.png"}, None, {"bytes": None, "path": "image.png"}]
    rows = [{**MAGNETS, "image": cell, "task": "closed choice"} for cell in cells]
    for split in ("train", "test"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{split}-00000-of-00001.parquet")
    held_out, first, second, third = convert("scienceqa_letter", tmp_path)
    assert reasons([held_out])[1].startswith("a split that is held out for evaluation is not read: test")
    assert only_row(first).images == (cup,)
    assert said(only_row(first))[1] == ("assistant", ["B"])
    assert only_row(first).id == "scienceqa_letter:train-00000-of-00001-1"
    assert only_row(second).images == ()
    assert reasons([third])[3].startswith("the picture is not in the table")


# --- LLaVA-Plus and MM-Instruct ---


def plus(tool_turn: str, question: str = "<image>\nWhere is the cat?", **more: Any) -> dict[str, Any]:
    call = {"API_name": "grounding_dino", "API_params": {"caption": "cat"}}
    return {
        "unique_id": "g-1",
        "image_id": 33471,
        "file_name": "coco/cat.jpg",
        "data_source": "coco",
        "conversations": [
            {"from": "human", "value": question},
            {"from": "gpt", "thoughts": "I need boxes.", "actions": [call], "value": "I will use grounding_dino."},
            {"from": "human", "value": tool_turn},
            {"from": "gpt", "thoughts": "Thanks.", "actions": [], "value": "On the left."},
        ],
        **more,
    }


BOXES = "{'boxes': [[0.1, 0.2, 0.5, 0.9]], 'phrases': ['cat']}"


@pytest.mark.parametrize(
    ("turn", "rest"),
    [
        (f"grounding_dino output: {BOXES}\n\nAnswer my first question: <image>\nWhere is the cat?", None),
        (f"grounding_dino output: {BOXES}\n\nAnswer my first question: Where is the cat?\n<image>", None),
        (
            f"grounding_dino model outputs: {BOXES}\n\n"
            "Please summarize the model outputs and answer my first question: Where is the cat?",
            None,
        ),
        (f"{BOXES}\n\nPlease summarize the model outputs and answer my first question.", None),
        (f"grounding_dino output: {BOXES}", None),
        (f"grounding_dino output: {BOXES}\n\nAnswer my first question: And is it grey?", "And is it grey?"),
    ],
)
def test_llava_plus_has_tool_messages(tmp_path: Path, images: Path, turn: str, rest: str | None) -> None:
    row = only_row(convert("llava_plus", llava(tmp_path / "a.json", plus(turn)), images)[0])
    call = {"type": "tool_call", "id": "call_2", "name": "grounding_dino", "arguments": {"caption": "cat"}}
    result = {"type": "tool_result", "id": "call_2", "name": "grounding_dino", "text": BOXES, "error": False}
    assert said(row) == [
        ("user", [..., "Where is the cat?"]),
        ("assistant", ["I will use grounding_dino.", call]),
        ("tool", [result]),
        *([] if rest is None else [("user", [rest])]),
        ("assistant", ["On the left."]),
    ]
    assert row.id.split("#")[0] == "llava_plus:g-1"
    assert row.images == (images / "coco/cat.jpg",)
    with pytest.raises(RowError, match="LLaVA's JSON has no tool_call block"):
        list(to_llava_json([row], images))


def test_llava_plus_without_tools_and_with_what_it_cannot_have(tmp_path: Path, images: Path) -> None:
    talk = turns("<image>\nWhat?", "A cat.")
    talk[1] |= {"thoughts": "No tool.", "actions": []}
    said_twice = plus("x")
    said_twice["conversations"][1]["actions"] *= 2
    no_name, no_arguments = plus("x"), plus("x")
    no_name["conversations"][1]["actions"] = [{"API_params": {}}]
    no_arguments["conversations"][1]["actions"] = [{"API_name": "ocr", "API_params": [1]}]
    plain = {"id": "1", "image": "coco/cat.jpg", "conversations": talk}
    file = llava(tmp_path / "a.json", plain, said_twice, no_name, no_arguments, plus("x", question="Where?"))
    records = convert("llava_plus", file, images)
    assert said(only_row(records[0])) == [("user", [..., "What?"]), ("assistant", ["A cat."])]
    assert reasons(records) == {
        2: "a turn calls several tools, and only one result can follow: turn 2",
        3: "an action has no API_name: turn 2",
        4: "the API_params of an action are no JSON object: turn 2",
        5: "<image> stands not as often as there are pictures: 0 times, for 1",
    }


def test_mm_instruct_trains_on_its_answers_and_not_on_its_benchmark(tmp_path: Path, images: Path) -> None:
    (record,) = convert("mm_instruct", llava(tmp_path / "train.json", FAITHFUL[0]), images)
    assert (only_row(record).source, only_row(record).license) == ("mm_instruct", "CC-BY-4.0")
    question = {
        "question_id": 5,
        "image": "coco/cat.jpg",
        "text": "Write a poem.",
        "caption": "A cat.",
        "category": "x",
    }
    (tmp_path / "test.json").write_text("".join(json.dumps(question) + "\n" for _ in range(2)))
    records = convert("mm_instruct", tmp_path / "test.json", images)
    reason = "it is an instruction of the benchmark, which has no answer to learn"
    assert [(record.origin.line, record.results) for record in records] == [
        (n, (Rejected(reason, "5"),)) for n in (1, 2)
    ]


def test_every_kind_is_prepared_at_the_command_line(tmp_path: Path, images: Path) -> None:
    (tmp_path / "science").mkdir()
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("caption\timage\nA cat.\tcoco/cat.jpg\nA cup.\tcoco/gone.png\n")
    tars = tar(tmp_path / "00000.tar", a__jpg=(images / "coco/cat.jpg").read_bytes(), a__txt=b"A cat.", b__txt=b"x")
    boxes = plus("grounding_dino output: x\n\nAnswer my first question: Where is the cat?")
    layouts = {
        "mm_instruct": (llava(tmp_path / "train.json", FAITHFUL[0], {}), images, 1),
        "scienceqa": (scienceqa(tmp_path / "science", images), None, 2),
        "llava_plus": (llava(tmp_path / "plus.json", boxes, {}), images, 1),
        "coco_generation": (coco(tmp_path), images, 2),
        "cc_captions": (pairs, images, 1),
        "webdataset_generation": (tars, None, 1),
    }
    for kind, (location, folder, rows) in layouts.items():
        pictures = [] if folder is None else ["--images", str(folder)]
        assert run("prepare", kind, "--from", str(location), *pictures, "-o", str(tmp_path / kind)) == 0
        stored = list(load_rows(tmp_path / kind))
        assert len(stored) == rows, kind
        assert all(row.source == kind for row in stored)
        assert (tmp_path / kind / "rejects.jsonl").read_text().strip(), kind
