"""Converters of editing data, on small files in the layouts in which the data sets are published."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genllava_finetune.data.errors import DataError
from genllava_finetune.data.kinds import find_converter
from genllava_finetune.data.preparing import prepare
from genllava_finetune.data.records import Origin, Record, Rejected, Source
from genllava_finetune.data.rows import Row, row_dict
from genllava_finetune.data.storing import load_rows


def picture(seed: int, size: tuple[int, int] = (24, 16), format: str = "JPEG") -> bytes:
    """The file of a picture with a colour of its own and a bit of texture."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, 3) // 2 + random.integers(0, 128, (size[1], size[0], 1))
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, format)
    return file.getvalue()


DAMAGED = picture(99)[:-200]


def write_table(path: Path, columns: Mapping[str, Sequence[Any]], pictures: Sequence[str]) -> None:
    """A Parquet file as `datasets` pushes it to the hub."""
    from datasets import Dataset, Features, Value
    from datasets import Image as ImageFeature

    def value(name: str) -> Any:
        if name in pictures:
            return ImageFeature()
        return Value("int32" if isinstance(columns[name][0], int) else "string")

    cells = {
        name: [each and {"bytes": each, "path": f"{i}.jpg"} for i, each in enumerate(values)]
        if name in pictures
        else list(values)
        for name, values in columns.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    table = Dataset.from_dict(cells, Features({name: value(name) for name in columns}))
    table.to_parquet(str(path)) if path.suffix == ".parquet" else table.save_to_disk(str(path))


def convert(
    kind: str, location: Path | str, images: Path | None = None
) -> tuple[list[Row], list[tuple[Origin, Rejected]]]:
    """Rows and rejects, after seeing that they come in the same order once more and can be stored."""
    converter, source = find_converter(kind), Source(str(location), images)
    records = list(converter.read(source))
    assert records == list(converter.read(source))
    results = [(record.origin, result) for record in records for result in record.results]
    rows = [result for _, result in results if isinstance(result, Row)]
    rejects = [(origin, result) for origin, result in results if isinstance(result, Rejected)]
    with TemporaryDirectory() as folder:
        card = prepare(converter, source, Path(folder), threads=1).card
        assert [row_dict(row) for row in load_rows(folder)] == [row_dict(row) for row in rows]
        assert sum(card.rejected.values()) == len(rejects)
    return rows, rejects


def reasons(rejects: list[tuple[Origin, Rejected]]) -> list[tuple[str, int, str, str]]:
    """File name, line, id and the reason up to its particulars."""
    return [(Path(at.file).name, at.line, it.id, it.reason.split(": ")[0]) for at, it in rejects]


def spoken(row: Row) -> list[Any]:
    """What the messages say, without the words of the format."""
    said = list[Any]()
    for message in row.messages:
        for block in message.content:
            match block.type:
                case "edit":
                    said.append(("edit", block.source, block.image, block.instruction))
                case "draw":
                    said.append(("draw", block.image, block.prompt))
                case "text":
                    said.append(block.text)
                case other:
                    said.append(other)
    return said


PAIRS = [
    ("0000001", "7", "make it night", 1, 2),
    ("0000001", "8", "make it night", 3, 4),
    ("0000002", "9", "add a hat", 5, 6),
]


def write_pairs(root: Path) -> None:
    """The folder form of InstructPix2Pix."""
    for folder, seed, edit, first, second in PAIRS:
        (root / folder).mkdir(parents=True, exist_ok=True)
        caption = "caption" if folder == "0000001" else "input"
        prompt = {caption: "a street", "edit": edit, "output": "a street at night", "url": "x"}
        (root / folder / "prompt.json").write_text(json.dumps(prompt))
        (root / folder / f"{seed}_0.jpg").write_bytes(picture(first))
        (root / folder / f"{seed}_1.jpg").write_bytes(picture(second))
        scores = {"seed": int(seed), "p2p_threshold": 0.5, "cfg_scale": 7.5, "clip_sim_dir": 0.3}
        with (root / folder / "metadata.jsonl").open("a") as file:
            file.write(json.dumps(scores) + "\n")
    seeds = [["0000001", ["7", "8"]], ["0000002", ["9"]]]
    (root / "seeds.json").write_text(json.dumps(seeds))


def pairs_table() -> dict[str, Sequence[Any]]:
    """The same pairs as columns of the hub."""
    return {
        "original_prompt": ["a street"] * 3,
        "original_image": [picture(first) for *_, first, _ in PAIRS],
        "edit_prompt": [edit for _, _, edit, _, _ in PAIRS],
        "edited_prompt": ["a street at night"] * 3,
        "edited_image": [picture(second) for *_, second in PAIRS],
    }


IP2P_PICTURES = ("original_image", "edited_image")


def test_forms_of_instructpix2pix_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pairs(tmp_path / "folder")
    columns = pairs_table()
    first = {name: values[:2] for name, values in columns.items()}
    last = {name: values[2:] for name, values in columns.items()}
    write_table(tmp_path / "hub/data/train-00000-of-00002-abc.parquet", first, IP2P_PICTURES)
    write_table(tmp_path / "hub/data/train-00001-of-00002-def.parquet", last, IP2P_PICTURES)
    write_table(tmp_path / "arrow", columns, IP2P_PICTURES)

    rows, rejects = convert("instructpix2pix", tmp_path / "folder")
    assert not rejects
    assert len(rows) == 3
    assert spoken(rows[2]) == ["image", "add a hat", ("edit", 0, 1, "add a hat")]
    assert [image.name for image in rows[2].images] == ["0000002/9_0.jpg", "0000002/9_1.jpg"]
    assert rows[2].images == (picture(5), picture(6))
    assert (rows[0].license, rows[0].source) == ("unknown", "instructpix2pix")
    assert len({row.id for row in rows}) == 3

    as_dicts = [row_dict(row) for row in rows]
    (tmp_path / "cache").mkdir()
    for number, file in enumerate(sorted((tmp_path / "hub/data").iterdir())):  # as huggingface_hub keeps downloads
        (tmp_path / f"cache/train-{number}.parquet").symlink_to(file)
    for form in ("folder/seeds.json", "hub", "cache", "arrow"):
        other, rejects = convert("instructpix2pix", tmp_path / form)
        assert not rejects
        assert [row_dict(row) for row in other] == as_dicts
    (tmp_path / "folder/seeds.json").unlink()  # then it is read from the folders themselves
    assert [row_dict(row) for row in convert("instructpix2pix", tmp_path / "folder")[0]] == as_dicts

    import datasets

    real = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda name, **how: real(str(tmp_path / name.split("/")[1]), **how))
    streamed = list(find_converter("instructpix2pix").read(Source("owner/hub")))
    assert [row_dict(record.results[0]) for record in streamed] == as_dicts  # type: ignore[arg-type]
    assert streamed[2].origin == Origin("owner/hub/train", 3)


def test_damaged_folder_of_instructpix2pix(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_pairs(root)
    (root / "0000001/8_1.jpg").unlink()
    for name, prompt in {
        "no_edit": '{"input": "a cat", "output": "a dog"}',
        "empty": '{"input": "a cat", "edit": "  ", "output": "a dog"}',
        "broken": '{"input": "a cat", "edi',
        "deep": "[" * 100_000,
    }.items():
        shutil.copytree(root / "0000002", root / name)
        (root / name / "prompt.json").write_text(prompt)
    (root / "no_prompt").mkdir()
    shutil.copytree(root / "0000002", tmp_path / "outside")
    (root / "link").symlink_to(tmp_path / "outside")
    shutil.copytree(root / "0000002", root / "same")
    (root / "same/9_1.jpg").write_bytes(picture(5))
    (root / "same/9_1.jpg").write_bytes((root / "same/9_0.jpg").read_bytes())
    names = ["gone", "no_edit", "empty", "broken", "deep", "no_prompt", "../outside", "link", "same", "0000002"]
    entries = [["0000001", ["7", "8"]], *([name, ["9"]] for name in names), ["0000002", [None]], {"a": 1}]
    text = json.dumps(entries)
    (root / "seeds.json").write_text(text[:-1] + ', ["0000002", ["9"')  # cut off while it was written

    rows, rejects = convert("instructpix2pix", root)
    assert [spoken(row)[1] for row in rows] == ["make it night", "add a hat"]
    assert reasons(rejects) == [
        ("seeds.json", 1, "0000001/8", "there is no picture file"),
        ("seeds.json", 2, "gone", "there is no folder of that name"),
        ("seeds.json", 3, "no_edit", "prompt.json says no edit"),
        ("seeds.json", 4, "empty", "the instruction is empty"),
        ("seeds.json", 5, "broken", "prompt.json is no JSON"),
        ("seeds.json", 6, "deep", "prompt.json is no JSON"),
        ("seeds.json", 7, "no_prompt", "there is no prompt.json in the folder"),
        ("seeds.json", 8, "../outside", "the picture's path has '..' in it"),
        ("seeds.json", 9, "link", "the picture is a link out of its folder"),
        ("seeds.json", 10, "same/9", "the edit changes nothing"),
        ("seeds.json", 12, "", "the entry is not [folder, [seeds]]"),
        ("seeds.json", 13, "", "the entry is not [folder, [seeds]]"),
        ("seeds.json", 14, "", rejects[-1][1].reason.split(": ")[0]),
    ]
    assert "end" in rejects[-1][1].reason


def test_truncated_metadata_of_instructpix2pix(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    (tmp_path / "seeds.json").unlink()
    metadata = tmp_path / "0000001/metadata.jsonl"
    metadata.write_bytes(metadata.read_bytes()[:-20])
    (tmp_path / "0000002/metadata.jsonl").unlink()
    rows, rejects = convert("instructpix2pix", tmp_path)
    assert len(rows) == 1
    assert rows[0].images == (picture(1), picture(2))
    assert [(Path(at.file).name, at.line, it.id) for at, it in rejects] == [
        ("metadata.jsonl", 2, "0000001"),
        ("metadata.jsonl", 1, "0000002"),
    ]


def test_bad_cells_and_files_of_tables(tmp_path: Path) -> None:
    columns = pairs_table()
    same = picture(1, format="PNG")
    as_bmp = io.BytesIO()
    Image.open(io.BytesIO(same)).save(as_bmp, "BMP")
    columns["original_image"] = [None, picture(3), same]
    columns["edited_image"] = [picture(2), DAMAGED, as_bmp.getvalue()]  # the last: another file of the same pixels
    data = tmp_path / "data"
    write_table(data / "train-00000-of-00003.parquet", columns, IP2P_PICTURES)
    columns = pairs_table() | {"edit_prompt": ["", None, " swap "]}
    columns["edited_image"] = [picture(2), picture(4), picture(6, (40, 30))]  # of another size than its source
    write_table(data / "train-00001-of-00003.parquet", columns, IP2P_PICTURES)
    shutil.copy(data / "train-00000-of-00003.parquet", data / "test-00000-of-00001.parquet")
    whole = (data / "train-00001-of-00003.parquet").read_bytes()
    (data / "train-00002-of-00003.parquet").write_bytes(whole[: len(whole) // 2])

    rows, rejects = convert("instructpix2pix", data)
    assert [spoken(row) for row in rows] == [["image", "swap", ("edit", 0, 1, "swap")]]
    assert [Image.open(io.BytesIO(image)).size for image in rows[0].images] == [(24, 16), (40, 30)]
    assert reasons(rejects) == [
        ("test-00000-of-00001.parquet", 1, "", "a split that is held out for evaluation is not read"),
        ("train-00000-of-00003.parquet", 1, "", "there is no source picture"),
        ("train-00000-of-00003.parquet", 2, "", "the edited picture cannot be read"),
        ("train-00000-of-00003.parquet", 3, "", "the edit changes nothing"),
        ("train-00001-of-00003.parquet", 1, "", "the instruction is empty"),
        ("train-00001-of-00003.parquet", 2, "", "the instruction is no text"),
        ("train-00002-of-00003.parquet", 1, "", "the file is damaged, nothing is read of it from here on"),
    ]
    assert len(convert("instructpix2pix", data / "test-00000-of-00001.parquet")[1]) == 3  # read where it is named
    with pytest.raises(DataError, match="has no column source_image: is it another data set"):
        convert("ultraedit", data)
    (tmp_path / "empty").mkdir()
    for location, message in {
        str(tmp_path / "empty"): "there is no Parquet or Arrow file in",
        str(tmp_path / "nothing"): "is no file, no folder and no name",
        "nobody/nothing": "nobody/nothing is no file or folder, and reading it from the hub failed",
    }.items():
        with pytest.raises(DataError, match=message):
            convert("ultraedit", location)


def test_pairs_that_stand_twice_are_stored_once(tmp_path: Path) -> None:
    columns = {name: [*values, *values[:2]] for name, values in pairs_table().items()}
    write_table(tmp_path / "data/train-00000-of-00001.parquet", columns, IP2P_PICTURES)
    prepared = prepare(find_converter("instructpix2pix"), Source(str(tmp_path / "data")), tmp_path / "rows")
    assert (prepared.card.rows, prepared.card.rejected) == (3, {"there was a row with this id before": 2})


def test_what_breaks_off_on_the_way_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    class Streamed:
        def decode(self, enable: bool) -> Iterator[dict[str, Any]]:
            assert not enable
            for *_, edit, first, second in PAIRS:
                yield {"original_image": picture(first), "edit_prompt": edit, "edited_image": picture(second)}
            raise ConnectionError("the connection was reset")

    monkeypatch.setattr(datasets, "load_dataset", lambda name, streaming: {"dev": None, "train": Streamed()})
    records, converter = list[Record](), find_converter("instructpix2pix")
    with pytest.raises(
        DataError, match=r"failed \(after record 3 of owner/name/train\): the connection was reset; run"
    ):
        records.extend(converter.read(Source("owner/name")))
    assert len([result for record in records for result in record.results if isinstance(result, Row)]) == 3
    assert records[0].origin == Origin("owner/name/dev", 1)
    assert isinstance(records[0].results[0], Rejected)


def session(img_id: str, turns: Sequence[tuple[int, int, int]]) -> list[dict[str, Any]]:
    """Rows of MagicBrush: turn_index, and the seeds of source and target."""
    return [
        {
            "img_id": img_id,
            "turn_index": turn,
            "source_img": picture(first, format="PNG"),
            "mask_img": picture(50, format="PNG"),
            "instruction": f"step {turn}",
            "target_img": picture(last, format="PNG"),
        }
        for turn, first, last in turns
    ]


def write_sessions(path: Path, rows: list[dict[str, Any]]) -> None:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    write_table(path, columns, ("source_img", "mask_img", "target_img"))


def test_sessions_of_magicbrush(tmp_path: Path) -> None:
    whole = session("11", [(1, 1, 2), (2, 2, 3), (3, 3, 4)])
    gap = session("12", [(1, 1, 2), (3, 3, 4)])
    turned = session("13", [(2, 6, 7), (1, 5, 6), (1, 5, 9)])
    still = session("14", [(1, 1, 1), (2, 1, 2)])
    broken = session("15", [(1, 1, 2), (2, 2, 3), (3, 3, 4)])
    broken[1]["target_img"] = DAMAGED
    second = session("12", [(4, 4, 5)])
    write_sessions(tmp_path / "data/train-00000-of-00002.parquet", whole[:2])
    rest = [*whole[2:], *gap, *turned, *still, *broken, *second]
    write_sessions(tmp_path / "data/train-00001-of-00002.parquet", rest)
    write_sessions(tmp_path / "data/dev-00000-of-00001.parquet", session("20", [(1, 1, 2)]))

    rows, rejects = convert("magicbrush", tmp_path)
    assert [(row.id, len(row.images), row.license) for row in rows] == [
        ("magicbrush:11:1", 4, "CC-BY-4.0"),  # over the end of a file
        ("magicbrush:12:1", 2, "CC-BY-4.0"),  # turn 2 is missing,
        ("magicbrush:12:3", 2, "CC-BY-4.0"),  # so turn 3 stands alone
        ("magicbrush:13:1", 3, "CC-BY-4.0"),
        ("magicbrush:14:2", 2, "CC-BY-4.0"),
        ("magicbrush:15:1", 2, "CC-BY-4.0"),
        ("magicbrush:15:3", 2, "CC-BY-4.0"),
        ("magicbrush:12:4", 2, "CC-BY-4.0"),
    ]
    assert spoken(rows[0])[:3] == ["image", "step 1", ("edit", 0, 1, "step 1")]
    assert spoken(rows[0])[3:] == ["step 2", ("edit", 1, 2, "step 2"), "step 3", ("edit", 2, 3, "step 3")]
    assert rows[0].images == tuple(picture(seed, format="PNG") for seed in (1, 2, 3, 4))
    assert rows[3].images == tuple(picture(seed, format="PNG") for seed in (5, 6, 7))
    assert reasons(rejects) == [
        ("dev-00000-of-00001.parquet", 1, "", "a split that is held out for evaluation is not read"),
        ("train-00001-of-00002.parquet", 6, "13:1", "the turn stands twice in its session"),
        ("train-00001-of-00002.parquet", 7, "14:1", "the edit changes nothing"),
        ("train-00001-of-00002.parquet", 10, "15:2", "the target picture cannot be read"),
    ]


def test_long_session_of_magicbrush(tmp_path: Path) -> None:
    turns = session("1", [(turn, turn, turn + 1) for turn in range(1, 35)])  # 32 are held in memory
    write_sessions(tmp_path / "data/train-00000-of-00001.parquet", turns)
    rows, rejects = convert("magicbrush", tmp_path)
    assert not rejects
    assert [(row.id, len(row.images)) for row in rows] == [("magicbrush:1:1", 33), ("magicbrush:1:33", 3)]


def test_ultraedit(tmp_path: Path) -> None:
    free: dict[str, Sequence[Any]] = {
        "source_caption": ["a lake"], "target_caption": ["a frozen lake"], "edit_prompt": ["freeze the lake"],
        "source_image": [picture(1)], "edited_image": [picture(2)],
    }  # fmt: skip
    region = free | {"edited_image": [picture(3)], "mask_image": [picture(4)]}
    pictures = ("source_image", "edited_image", "mask_image")
    write_table(tmp_path / "data/FreeForm_0-00000-of-00001.parquet", free, pictures)
    write_table(tmp_path / "data/RegionBase-00000-of-00001.parquet", region, pictures)
    rows, rejects = convert("ultraedit", tmp_path)
    assert not rejects
    assert [row.images for row in rows] == [(picture(1), picture(2)), (picture(1), picture(3))]
    assert spoken(rows[1]) == ["image", "freeze the lake", ("edit", 0, 1, "freeze the lake")]


def write_pictures(root: Path, seeds: dict[str, int]) -> None:
    for name, seed in seeds.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(seed))


def test_imgedit(tmp_path: Path) -> None:
    from datasets import Dataset

    images = tmp_path / "pictures"
    files = {"a/original.png": 1, "a/result.png": 2}
    files |= {"b/origin_0.png": 3, "b/result_0.png": 4, "b/origin_1.png": 4, "b/result_1.png": 5}
    files |= {"b/origin_2.png": 4, "b/result_2.png": 6, "b/origin_3.png": 7, "b/result_3.png": 8}
    write_pictures(images, files)
    write_pictures(tmp_path, {"outside.png": 1})
    (images / "link.png").symlink_to(tmp_path / "outside.png")

    def edit(source: str, target: str, prompt: str = "change it") -> dict[str, Any]:
        return {"input_images": [source], "output_images": [target], "prompt": prompt}

    one = edit("a/original.png", "a/result.png", "remove the people")
    turns = [edit(f"b/origin_{i}.png", f"b/result_{i}.png", f"round {i}") for i in range(4)]
    composed = one | {"input_images": ["a/original.png", "a/result.png"]}
    singles = [one, edit("../outside.png", "a/result.png"), edit("a/original.png", "link.png"), composed,
               edit("a/gone.png", "a/result.png"), one | {"prompt": ""}]  # fmt: skip
    (tmp_path / "Parquet").mkdir()
    Dataset.from_list(singles).to_parquet(str(tmp_path / "Parquet/remove_part5.parquet"))
    Dataset.from_list([{"data": turns}]).to_parquet(str(tmp_path / "Parquet/version_backtracking_part0.parquet"))
    (tmp_path / "edits.json").write_text(json.dumps([*singles, {"data": [*turns, 7]}])[:-1])

    rows, rejects = convert("imgedit", tmp_path / "Parquet", images)
    assert [row.id for row in rows] == ["imgedit:a/result.png", "imgedit:b/result_0.png", "imgedit:b/result_3.png"]
    assert spoken(rows[0]) == ["image", "remove the people", ("edit", 0, 1, "remove the people")]
    assert spoken(rows[1])[4:] == [("edit", 1, 2, "round 1"), "round 2", ("edit", 1, 3, "round 2")]  # back to round 0
    assert rows[1].images == tuple(picture(seed) for seed in (3, 4, 5, 6))
    assert [reject[1:] for reject in reasons(rejects)] == [
        (2, "a/result.png", "the picture's path has '..' in it"),
        (3, "link.png", "the picture is a link out of its folder"),
        (4, "a/result.png", "the edit has not one input picture"),
        (5, "a/result.png", "there is no picture file"),
        (6, "a/result.png", "the instruction is empty"),
    ]
    again, rejects = convert("imgedit", tmp_path / "edits.json", images)  # the list is not closed
    assert [row_dict(row) for row in again] == [row_dict(row) for row in rows]
    assert [(at.line, it.reason.split(": ")[0]) for at, it in rejects][-2] == (7, "the edit is no object")
    assert rejects[-1][0].line == 8
    assert "end" in rejects[-1][1].reason
    with pytest.raises(DataError, match="there is no sysuyy/ImgEdit"):
        convert("imgedit", "sysuyy/ImgEdit")


def test_sharegpt4o_image(tmp_path: Path) -> None:
    write_pictures(tmp_path, {f"image/{seed}.png": seed for seed in (1, 2, 3)})
    drawn = [{"input_prompt": "a red boat", "output_image": "image/1.png"},
             {"input_prompt": "a red boat", "output_image": "image/9.png"}]  # fmt: skip
    made = {"input_prompt": "paint it blue", "input_image": ["image/2.png"], "output_image": "image/3.png"}
    edits = [made, made | {"input_image": ["image/1.png", "image/2.png"]}, made | {"output_image": "/etc/passwd"}, "x"]
    (tmp_path / "text_to_image.json").write_text(json.dumps(drawn, indent=1))
    (tmp_path / "text_and_image_to_image.json").write_text(json.dumps(edits))
    rows, rejects = convert("sharegpt4o_image", tmp_path)
    assert [(row.id, spoken(row), len(row.images)) for row in rows] == [
        ("sharegpt4o_image:image/1.png", ["a red boat", ("draw", 0, "a red boat")], 1),
        ("sharegpt4o_image:image/3.png", ["image", "paint it blue", ("edit", 0, 1, "paint it blue")], 2),
    ]
    assert rows[1].images == (picture(2), picture(3))
    assert reasons(rejects) == [
        ("text_to_image.json", 2, "image/9.png", "there is no picture file"),
        ("text_and_image_to_image.json", 2, "image/3.png", "an edit is of one picture"),
        ("text_and_image_to_image.json", 3, "/etc/passwd", "the picture's path is absolute"),
        ("text_and_image_to_image.json", 4, "", "the record is no JSON object"),
    ]
    rows, _ = convert("sharegpt4o_image", tmp_path / "text_and_image_to_image.json", tmp_path)
    assert len(rows) == 1
    with pytest.raises(DataError, match=r"neither text_to_image\.json nor text_and_image_to_image\.json"):
        convert("sharegpt4o_image", tmp_path / "image")


def test_blip3o(tmp_path: Path) -> None:
    from webdataset import TarWriter

    samples = [{"jpg": picture(1), "txt": b"a red boat\n"}, {"jpg": picture(2), "txt": b" "}, {"jpg": picture(3)}]
    with TarWriter(str(tmp_path / "geneval_train.tar"), encoder=False) as tar:
        for key, sample in enumerate(samples):
            tar.write({"__key__": f"object_{key}", **sample})
    whole = (tmp_path / "geneval_train.tar").read_bytes()
    (tmp_path / "jdb_train_1.tar").write_bytes(whole[: whole.index(b"object_1") + 700])  # the second picture is cut off
    rows, rejects = convert("blip3o", tmp_path)
    assert [(row.id, spoken(row), row.images) for row in rows] == [
        ("blip3o:geneval_train/object_0", ["a red boat", ("draw", 0, "a red boat")], (picture(1),)),
        ("blip3o:jdb_train_1/object_0", ["a red boat", ("draw", 0, "a red boat")], (picture(1),)),
    ]
    assert reasons(rejects) == [
        ("geneval_train.tar", 2, "geneval_train/object_1", "the prompt is empty"),
        ("geneval_train.tar", 3, "geneval_train/object_2", "there is no caption beside the picture"),
        ("jdb_train_1.tar", 2, rejects[-1][1].id, "the tar is damaged, and nothing is read of it from here on"),
    ]
