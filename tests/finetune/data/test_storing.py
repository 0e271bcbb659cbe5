"""Rows in Parquet files and in WebDataset tars."""

from __future__ import annotations

import io
import json
import pickle
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genllava.images import load_image
from genllava_finetune.data.encoded_pictures import EncodedPicture
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.rows import Row, read_row, row_dict
from genllava_finetune.data.saving import save_rows
from genllava_finetune.data.storing import Format, load_rows, read_card

FORMATS: list[Format] = ["parquet", "webdataset"]
DEEP = 1_000_000


def said(role: str, *blocks: str | dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": b} if isinstance(b, str) else b for b in blocks], **more}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder, noise = tmp_path / "pictures", np.random.default_rng(0)
    (folder / "train").mkdir(parents=True)
    for number, kind in enumerate(("jpg", "png", "webp")):
        pixels = noise.integers(0, 255, (20 + number, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "train" / f"{number}.{kind}")
    return folder


@pytest.fixture
def rows(pictures: Path) -> list[Row]:
    files = sorted((pictures / "train").iterdir())
    image = {"type": "image"}
    call = {"type": "tool_call", "id": "c", "name": "crop", "arguments": {"box": [0.1, 0.30000000000000004], "n": None}}
    result = {"type": "tool_result", "id": "c", "name": "crop", "text": "", "error": False}
    talks: list[tuple[list[Any], list[Any]]] = [
        ([said("user", image, "What is\nit?"), said("assistant", "ein Hündchen 🐕")], [files[0]]),
        (
            [
                said("system", "Be brief."),
                said("user", "Draw a cat"),
                said("assistant", {"type": "draw", "prompt": "a cat", "image": 0}, learn=False),
                said("user", "blue"),
                said("assistant", {"type": "edit", "instruction": "blue", "source": 0, "image": 1}, "done"),
            ],
            [files[1].read_bytes(), files[2]],
        ),
        ([said("user", image, "crop"), said("assistant", call), said("tool", result, image), said("assistant", "so")],
         [files[0], Image.new("RGB", (5, 6), "red")]),
        ([said("user", "no picture"), said("assistant", "none")], []),
    ]  # fmt: skip
    tools = [{"type": "function", "function": {"name": "crop", "parameters": {"type": "object"}}}]
    common = {"source": "s", "license": "CC-BY-4.0"}
    return [
        read_row({**common, "messages": talk, "images": images, "id": f"s:{i}", "tools": tools if i == 2 else []})
        for i, (talk, images) in enumerate(talks)
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_rows_come_back_as_they_were(rows: list[Row], pictures: Path, tmp_path: Path, format: Format) -> None:
    card = save_rows(iter(rows), tmp_path / "out", name="s", license="CC-BY-4.0", format=format, shard_rows=2)
    assert (card.rows, card.rejected, [shard.rows for shard in card.shards]) == (4, {}, [2, 2])
    found = list(load_rows(tmp_path / "out"))
    for before, after in zip(rows, found, strict=True):
        assert {**row_dict(after), "images": 0} == {**row_dict(before), "images": 0}
    assert found[0].images[0] == (pictures / "train/0.jpg").read_bytes()  # not encoded again
    assert found[1].images == tuple((pictures / f"train/{name}").read_bytes() for name in ("1.png", "2.webp"))
    assert [each.name for each in found[0].images + found[1].images] == ["0.jpg", "", "2.webp"]
    assert load_image(found[2].images[1]).getpixel((2, 2)) == (255, 0, 0)
    again = save_rows(load_rows(tmp_path / "out"), tmp_path / "again", name="s", format=format, shard_rows=2)
    for shard in again.shards:
        assert (tmp_path / "again" / shard.name).read_bytes() == (tmp_path / "out" / shard.name).read_bytes()


def test_datasets_reads_the_parquet_files(rows: list[Row], tmp_path: Path) -> None:
    from datasets import load_dataset

    save_rows(rows, tmp_path / "out", name="s", shard_rows=2)
    files = str(tmp_path / "out/*.parquet")
    for data in (
        list(load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))),
        list(load_dataset("parquet", data_files=files, split="train", streaming=True)),
    ):
        assert [example["images"][0].size for example in data[:3]] == [(30, 20), (30, 21), (30, 20)]
        assert [example["messages"] for example in data] == [row_dict(row)["messages"] for row in rows]
        assert data[2]["tools"] == list(rows[2].tools)


def test_webdataset_reads_the_tars(rows: list[Row], tmp_path: Path) -> None:
    import webdataset

    card = save_rows(rows, tmp_path / "out", name="s", format="webdataset")
    path = str(tmp_path / "out" / card.shards[0].name)
    samples = list(webdataset.WebDataset(path, shardshuffle=False, empty_check=False).decode("pil"))
    assert [sample["__key__"] for sample in samples] == [f"{number:09d}" for number in range(4)]
    assert samples[0]["0.jpg"].size == (30, 20)
    assert samples[1]["json"]["messages"][1]["content"] == [{"type": "text", "text": "Draw a cat"}]


@pytest.mark.parametrize("format", FORMATS)
def test_a_damaged_file_is_named_and_rows_before_the_damage_are_read(
    rows: list[Row], tmp_path: Path, format: Format
) -> None:
    card = save_rows(rows, tmp_path / "out", name="s", format=format)
    path = tmp_path / "out" / card.shards[0].name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 5])
    read = list[Row]()
    with pytest.raises(DataError, match=rf"{card.shards[0].name} cannot be read behind"):
        read.extend(load_rows(tmp_path / "out"))
    path.write_bytes(b"")
    with pytest.raises(DataError, match=card.shards[0].name):
        list(load_rows(tmp_path / "out"))


def tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as file:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))


def test_malformed_rows_of_a_tar_are_named_and_the_others_read(tmp_path: Path) -> None:
    good = {"messages": [said("user", "a"), said("assistant", "b")], "images": [], "source": "s", "license": "l"}
    bad = {
        "1.json": b"{",
        "2.json": b'{"id": "x", "messages": ' + b"[" * DEEP + b"]" * DEEP + b"}",
        "3.json": b"[]",
        "4.txt": b"nothing",
        "5.json": json.dumps({**good, "id": "5", "images": ["missing.jpg"]}).encode(),
        "6.json": json.dumps({**good, "id": "6", "messages": []}).encode(),
        "7.json": b"\xff",
    }
    tar(tmp_path / "x.tar", {**bad, "0.json": json.dumps({**good, "id": "0"}).encode()})
    errors = list[RowError]()
    assert [row.id for row in load_rows(tmp_path, errors.append)] == ["0"]
    assert len(errors) == len(bad)
    assert all("x.tar" in str(error) for error in errors)
    assert "x.tar: 2: the JSON is nested too deeply" in str(errors[1])
    assert "'6'" in str(errors[5])
    with pytest.raises(RowError, match=r"x\.tar: 1 is no row"):
        list(load_rows(tmp_path))


def test_malformed_rows_of_a_parquet_file_are_named_and_the_others_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def row(id: str, *messages: str) -> dict[str, Any]:
        return {"images": [], "messages": list(messages), "source": "s", "license": "l", "id": id}

    right = [json.dumps(said("user", "a")), json.dumps(said("assistant", "b"))]
    found = [row("0", *right), row("1", "{"), row("2", "[" * DEEP + "]" * DEEP), row("3"), row("4", *right)]
    pq.write_table(pa.Table.from_pylist(found), tmp_path / "x.parquet")
    errors = list[RowError]()
    assert [row.id for row in load_rows(tmp_path / "x.parquet", errors.append)] == ["0", "4"]
    assert [f"x.parquet: row {place}" in str(error) for place, error in zip("23", errors, strict=False)] == [True, True]
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(RowError, match=r"row 1 is no row: KeyError: 'source'"):
        list(load_rows(tmp_path / "x.parquet"))


def test_what_is_no_data_set(rows: list[Row], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no data set at"):
        list(load_rows(tmp_path / "missing"))
    save_rows(rows, tmp_path / "out", name="s")
    path = tmp_path / "out/dataset.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(DataError, match="is of version 2 of the row format"):
        list(load_rows(tmp_path / "out"))
    path.write_text(path.read_text().replace('"version": 2', '"version": 1').replace("rows-00000", "../rows-00000"))
    with pytest.raises(DataError, match=r"dataset\.json cannot be read"):
        list(load_rows(tmp_path / "out"))
    path.write_text("{}")
    with pytest.raises(DataError, match=r"dataset\.json cannot be read"):
        read_card(tmp_path / "out")
    path.unlink()
    with pytest.raises(DataError, match="is not finished"):
        list(load_rows(tmp_path / "out"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"x": float("nan")}, "not JSON compliant"),
        ({"x": 2**70}, "too big|[Vv]alue"),
        ({"x": "\ud800"}, "surrogates"),
        ({"x": {1, 2}}, "set"),
    ],
)
def test_what_json_cannot_hold_is_rejected(tmp_path: Path, arguments: dict[str, Any], says: str) -> None:
    call = {"type": "tool_call", "id": "c", "name": "n", "arguments": arguments}
    row = read_row({"messages": [said("assistant", call)], "source": "s", "license": "l", "id": "1"})
    card = save_rows([row], tmp_path / "out", name="s")
    assert (card.rows, card.rejected) == (0, {"the row cannot be stored as JSON": 1})
    line = json.loads((tmp_path / "out/rejects.jsonl").read_text())
    assert line["id"] == "1"
    assert re.search(says, line["reason"])


def test_arguments_nested_without_end_are_rejected(tmp_path: Path) -> None:
    deep: Any = []
    for _ in range(DEEP // 10):
        deep = [deep]
    call = {"type": "tool_call", "id": "c", "name": "n", "arguments": {"x": deep}}
    row = read_row({"messages": [said("assistant", call)], "source": "s", "license": "l", "id": "1"})
    assert save_rows([row], tmp_path / "out", name="s").rejected == {"the row cannot be stored as JSON": 1}


def test_an_encoded_picture_keeps_its_name_when_it_is_pickled() -> None:
    again = pickle.loads(pickle.dumps(EncodedPicture(b"x", "a/b.jpg")))
    assert (again, again.name) == (b"x", "a/b.jpg")
