"""`genllava data stats | view | check`: on data sets that are written here, of scikit-image's photographs."""

from __future__ import annotations

import html
import io
import json
import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from genllava.errors import GenLlavaError, InvalidRequest
from genllava_agent.option_parser import OptionParser
from genllava_finetune.data.command import run
from genllava_finetune.data.encoded_pictures import EncodedPicture
from genllava_finetune.data.errors import DataError
from genllava_finetune.data.fingerprints import NearHashes, perceptual_hash
from genllava_finetune.data.image_ids import ImageId, id_of_line, id_of_path, id_of_row
from genllava_finetune.data.row_kinds import row_kind
from genllava_finetune.data.rows import Row, read_row
from genllava_finetune.data.stored_rows import StoredRow, store_row
from genllava_finetune.data.storing import ShardWriter

IMAGE = {"type": "image"}
PHOTOS = {name: Image.fromarray(getattr(photographs, name)()) for name in ("coffee", "chelsea", "astronaut", "rocket")}


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def encoded(image: Image.Image, name: str = "", kind: str = "PNG", **options: Any) -> EncodedPicture:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return EncodedPicture(file.getvalue(), name)


def photo(name: str, path: str = "") -> EncodedPicture:
    return encoded(PHOTOS[name].resize((96, 64)), path)


def row(id: str, images: Sequence[bytes], *contents: list[dict[str, Any]], **more: Any) -> Row:
    """A row of the user and the assistant in turns."""
    messages = [{"role": ("user", "assistant")[turn % 2], "content": content} for turn, content in enumerate(contents)]
    given = {"source": "llava", "license": "CC-BY-4.0", "messages": messages} | more
    return read_row({"images": list(images), "id": id, **given})


def asked(id: str = "llava:1", photos: str = "coffee", path: str = "", **more: Any) -> Row:
    return row(id, [photo(photos, path)], [IMAGE, said("What is this?")], [said("A cup of coffee.")], **more)


def edited(id: str = "edit:1") -> Row:
    edit = {"type": "edit", "instruction": "turn it upside down", "source": 0}
    images = [photo("chelsea"), photo("rocket")]
    return row(id, images, [IMAGE, said("Turn it.")], [edit], source="magicbrush", license="MIT")


def drawn(id: str = "draw:1") -> Row:
    draw = {"type": "draw", "prompt": "a rocket at night"}
    return row(id, [photo("rocket")], [said("Draw a rocket.")], [draw], source="blip3o")


def called(id: str = "call:1", **arguments: Any) -> Row:
    call = {"type": "tool_call", "id": "c1", "name": "detect", "arguments": arguments}
    messages = [
        {"role": "user", "content": [IMAGE, said("Where?")]},
        {"role": "assistant", "content": [call]},
        {"role": "tool", "content": [{"type": "tool_result", "id": "c1", "name": "detect", "text": "at the left"}]},
        {"role": "assistant", "content": [said("At the left.")]},
    ]
    return row(id, [photo("chelsea")], messages=messages)


def stored(folder: Path, *rows: Row | StoredRow, kind: str = "parquet") -> Path:
    """A data set of a file with these rows."""
    folder.mkdir(exist_ok=True)
    writer = ShardWriter(folder, kind, 0, 0)  # type: ignore[arg-type]
    for each in rows:
        writer.add(each if isinstance(each, StoredRow) else store_row(each))
    writer.close()
    return folder


def command(*words: object) -> int:
    return run([str(word) for word in words], OptionParser(prog="genllava data"))


def findings(tmp_path: Path, *words: object) -> list[dict[str, Any]]:
    """What `genllava data check` writes; it must exit with 1 where that is something."""
    target = tmp_path / "findings.jsonl"
    code = command("check", *words, "-o", target)
    found = [json.loads(line) for line in target.read_text().splitlines()]
    assert code == (1 if found else 0)
    return found


# --- kinds, ids, hashes ---


def test_the_kind_of_a_row() -> None:
    both = row(
        "a:1",
        [photo("rocket")],
        [said("Draw.")],
        [{"type": "draw", "prompt": "a rocket"}],
        [said("Why?")],
        [said("So.")],
    )
    rows = [asked(), drawn(), edited(), called(), both]
    assert [row_kind(each) for each in rows] == ["understanding", "generation", "editing", "tools", "mixed"]


def test_ids_of_pictures() -> None:
    coco = ImageId("123456", "coco")
    same = ["coco/val2014/COCO_val2014_000000123456.jpg", "000000123456.jpg", "x\\000000123456.png"]
    assert [id_of_path(path) for path in same] == [coco] * 3
    plain = [id_of_path("123456.jpg"), id_of_path("123456-output1.png"), id_of_line("123456"), id_of_line("123456.jpg")]
    assert plain == [ImageId("123456")] * 4
    assert id_of_path("vg/VG_100K/123456.jpg") == ImageId("123456", "visual_genome")
    assert id_of_path("textvqa/train_images/0a1b2c3d4e5f6789.jpg") == ImageId("0a1b2c3d4e5f6789")
    assert id_of_path("shard/0123456_1.jpg") == ImageId("0123456_1")  # InstructPix2Pix: no picture of COCO
    assert [id_of_path(path) for path in ("", "0001.jpg", "17.jpg", "image_1.png", "photo.jpg")] == [None] * 5
    assert id_of_line("17") == ImageId("17")
    assert id_of_row("llava_instruct:000000123456#0a1b2c3d", "llava_instruct") == coco
    assert id_of_row("magicbrush:123456:1", "magicbrush") == coco
    assert id_of_row("ultraedit:123456", "ultraedit") is None
    assert coco.same(ImageId("123456"))
    assert not coco.same(ImageId("123456", "visual_genome"))


@pytest.mark.parametrize("distance", [0, 3, 8, 16])
def test_near_hashes_are_those_that_comparing_all_finds(distance: int) -> None:
    chance = random.Random(distance)
    hashes = [chance.getrandbits(64) for _ in range(3000)]
    hashes[7] = hashes[8]
    index = NearHashes(hashes, distance)
    table = np.asarray(hashes, np.uint64)
    found = 0
    for number in range(200):
        value = hashes[number]
        for bit in chance.sample(range(64), number % 20):
            value ^= 1 << bit
        apart = np.bitwise_count(table ^ np.uint64(value))
        wanted = {int(at): int(apart[at]) for at in np.flatnonzero(apart <= distance)}
        near = index.near(value)
        assert dict(near) == wanted
        assert [bits for _, bits in near] == sorted(bits for _, bits in near)
        found += len(near)
    assert found >= 10 * (distance + 1)
    with pytest.raises(DataError, match="0 to 16 bits"):
        NearHashes([], 17)


def test_copies_have_near_hashes_and_other_photographs_have_not() -> None:
    hashes = {name: perceptual_hash(image) for name, image in PHOTOS.items()}
    for name, image in PHOTOS.items():
        again = Image.open(io.BytesIO(encoded(image, kind="JPEG", quality=40)))
        for copy in (again, image.resize((224, 224)), image.resize((image.width // 3, image.height // 3))):
            near = {other for other, value in hashes.items() if (value ^ perceptual_hash(copy)).bit_count() <= 4}
            assert near == {name}


# --- stats ---


def test_stats_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = stored(tmp_path / "first", asked(), asked("llava:2"), edited(), drawn())
    second = stored(tmp_path / "second", asked("other:1"), called(), kind="webdataset")
    reject = {"file": "x.json", "line": 3, "reason": "there is no picture: a.jpg", "id": ""}
    (first / "rejects.jsonl").write_text(
        json.dumps(reject) + "\n" + json.dumps(reject | {"reason": "it is empty"}) + "\n"
    )
    target, plot = tmp_path / "stats.json", tmp_path / "stats.png"
    assert command("stats", first, second, "--json", target, "--plot", plot) == 0
    reports = json.loads(target.read_text())
    assert list(reports) == [str(first), str(second), "all"]
    one, both = reports[str(first)], reports["all"]
    assert (one["rows"], one["messages"], one["turns"]) == (4, 8, 4)
    assert one["kinds"] == {"understanding": 2, "generation": 1, "editing": 1, "tools": 0, "mixed": 0}
    assert one["licenses"] == {"CC-BY-4.0": 3, "MIT": 1}
    assert one["sources"] == {"llava": 2, "blip3o": 1, "magicbrush": 1}
    assert one["rejects"] == {"count": 2, "reasons": {"it is empty": 1, "there is no picture": 1}}
    assert one["pictures"]["count"] == 5
    assert one["pictures"]["different"] == 3
    assert one["pictures"]["per_row"] == {"1": 3, "2": 1}
    assert one["pictures"]["commonest_sizes"] == {"96x64": 5}
    assert (one["pictures"]["width"]["p50"], one["pictures"]["height"]["max"]) == (96, 64)
    assert one["duplicates"] == {"rows": 1, "pictures": 2, "questions": 1}
    assert one["words"]["asked"] | {"mean": 0} == {
        "count": 4, "sum": 11, "mean": 0, "min": 2, "p5": 2, "p25": 2, "p50": 3, "p75": 3, "p95": 3, "p99": 3, "max": 3,
    }  # fmt: skip
    assert (one["words"]["answered"]["sum"], one["words"]["prompts"]["sum"]) == (8, 8)
    assert "tokens" not in one
    assert (both["rows"], both["kinds"]["tools"], both["roles"]["tool"]) == (6, 1, 1)
    assert both["duplicates"] == {"rows": 2, "pictures": 4, "questions": 2}
    assert Image.open(plot).format == "PNG"
    assert "understanding" in capsys.readouterr().out


def test_stats_counts_tokens(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = Tokenizer(models.BPE({letter: number for number, letter in enumerate("?ACWacefhiopstu.")}, []))
    letters.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=letters).save_pretrained(tmp_path / "tokenizer")
    folder, target = stored(tmp_path / "data", asked()), tmp_path / "stats.json"
    command("stats", folder, "--tokenizer", tmp_path / "tokenizer", "--json", target)
    tokens = json.loads(target.read_text())[str(folder)]["tokens"]
    assert (tokens["asked"]["sum"], tokens["answered"]["sum"]) == (len("Whatisthis?"), len("Acupofcoffee."))
    with pytest.raises(DataError, match="no tokenizer in"):
        command("stats", folder, "--tokenizer", tmp_path / "data")


def test_stats_says_which_rows_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = store_row(asked())
    folder, target = stored(tmp_path / "data", good, replace(good, images=())), tmp_path / "stats.json"
    command("stats", folder, "--json", target)
    report = json.loads(target.read_text())[str(folder)]
    assert (report["rows"], report["invalid"]) == (1, 1)
    assert "the messages place 1 pictures, and the row has 0" in capsys.readouterr().out


# --- check ---


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_check_finds_nothing_in_good_data(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stored(tmp_path / "data", asked(), edited(), drawn(), called(threshold=0.5), kind=kind)
    assert findings(tmp_path, folder) == []
    assert capsys.readouterr().out == "4 rows: nothing is wrong\n"


def test_check_names_file_and_row_of_all_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, other = store_row(asked()), store_row(drawn())
    cut = EncodedPicture(other.images[0][:500], "cut.png")
    endless = {"type": "tool_call", "id": "c1", "name": "detect", "arguments": {"threshold": float("nan")}}
    messages = [{"role": "assistant", "content": [endless]}]
    rows = [
        good,
        replace(good, values={**good.values, "id": "llava:2"}),
        replace(other, values={**other.values, "id": "llava:1"}),
        replace(good, values={**good.values, "id": "llava:4"}, images=()),
        replace(other, images=(cut,)),
        replace(good, values={**good.values, "id": "nan:1", "messages": messages}, images=()),
    ]
    folder = stored(tmp_path / "data", *rows)
    file = str(folder / "rows-00000.parquet")
    found = findings(tmp_path, folder)
    assert [(each["file"], each["row"], each["id"], each["kind"]) for each in found] == [
        (file, 2, "llava:2", "duplicate"),
        (file, 3, "llava:1", "id"),
        (file, 4, "llava:4", "row"),
        (file, 5, "draw:1", "picture"),
        (file, 6, "nan:1", "row"),
    ]
    assert f"{file}:1" in found[0]["message"]
    assert "image_1 (cut.png): " in found[3]["message"]
    assert "JSON" in found[4]["message"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"{file}:2: duplicate: ")
    assert printed[-1].startswith("6 rows: 2 × a row is not valid; ")


def test_check_finds_pictures_of_benchmarks_by_their_looks(tmp_path: Path) -> None:
    folder = stored(tmp_path / "data", asked(), edited(), called())
    pictures = tmp_path / "pictures"
    (pictures / "deep").mkdir(parents=True)
    PHOTOS["chelsea"].save(pictures / "deep" / "cat.jpg", quality=50)
    PHOTOS["astronaut"].save(pictures / "astronaut.png")
    benchmark = stored(tmp_path / "benchmark", drawn("test:1"))
    found = findings(tmp_path, folder, "--against", pictures, benchmark)
    assert [(each["row"], each["kind"], each["message"].split(" (")[0]) for each in found] == [
        (2, "overlap", f"{pictures}: image_1 looks like deep/cat.jpg"),
        (2, "overlap", f"{benchmark}: image_2 looks like rows-00000.parquet:1"),
        (3, "overlap", f"{pictures}: image_1 looks like deep/cat.jpg"),
    ]
    assert findings(tmp_path, stored(tmp_path / "other", asked()), "--against", pictures, "--perceptual", 16) == []


def test_check_finds_pictures_of_benchmarks_by_their_ids(tmp_path: Path) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text("# COCO\nCOCO_val2014_000000123456.jpg\n\n42\n777777\n")
    rows = [
        asked("llava:1", path="coco/train2017/000000123456.jpg"),
        asked("llava:000000000042#0a1b2c3d", "rocket"),
        asked("llava:3", "chelsea", path="vg/VG_100K/123456.jpg"),
        asked("llava:777777", "astronaut", path="gqa/images/777777.jpg"),
    ]
    found = findings(tmp_path, stored(tmp_path / "data", *rows), "--against", listed)
    assert [(each["row"], each["message"]) for each in found] == [
        (1, f"{listed}: image_1 (coco/train2017/000000123456.jpg) has the id of line 2, COCO_val2014_000000123456.jpg"),
        (2, f"{listed}: the row's id is that of line 4, 42"),
        (4, f"{listed}: image_1 (gqa/images/777777.jpg) has the id of line 5, 777777"),
    ]


def test_check_goes_on_behind_a_damaged_file(tmp_path: Path) -> None:
    folder = stored(tmp_path / "data", asked(), drawn())
    whole = (folder / "rows-00000.parquet").read_bytes()
    (folder / "rows-00001.parquet").write_bytes(whole)
    (folder / "rows-00000.parquet").write_bytes(whole[: len(whole) // 2])
    (found,) = findings(tmp_path, folder)
    assert (found["kind"], found["file"], found["row"]) == ("file", str(folder / "rows-00000.parquet"), 0)
    for words in (("stats", folder), ("view", folder, "-o", tmp_path / "page.html")):
        with pytest.raises(DataError, match=r"rows-00000\.parquet cannot be read"):
            command(*words)
    assert not (tmp_path / "page.html").exists()


# --- view ---


def shown(page: Path) -> dict[str, Any]:
    """The data in a page."""
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page.read_text(), re.S)
    assert found
    loaded: dict[str, Any] = json.loads(found[1])
    return loaded


def test_view_shows_rows_as_they_are(tmp_path: Path) -> None:
    broken = replace(store_row(asked("llava:5")), images=())
    damaged = replace(store_row(drawn("draw:9")), images=(EncodedPicture(b"nothing", "no.png"),))
    folder = stored(tmp_path / "data", asked(path="a/cup.jpg"), edited(), called(), broken, damaged)
    command("view", folder, "-o", tmp_path / "page.html")
    rows = shown(tmp_path / "page.html")["rows"]
    assert [each["kind"] for each in rows] == ["understanding", "editing", "tools", "invalid", "generation"]
    assert rows[0]["images"][0]["name"] == "a/cup.jpg"
    assert rows[0]["images"][0]["data"].startswith("data:image/jpeg;base64,")
    assert rows[1]["messages"][1]["content"][0] == {
        "type": "edit", "instruction": "turn it upside down", "source": 0, "image": 1,
    }  # fmt: skip
    assert "the row has 0" in rows[3]["error"]
    assert (rows[3]["id"], rows[3]["source"]) == ("llava:5", "llava")
    assert "not a PNG" in rows[4]["images"][0]["error"]


def test_view_is_harmless_whatever_the_data_says(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> \u2028 &amp; \x1b[31m"
    folder = tmp_path / "<b>data&"
    stored(folder, row(evil, [], [said(evil)], [said(evil)], source=evil, license=evil))
    page = tmp_path / "page.html"
    command("view", folder, "-o", page)
    text = page.read_text()
    assert text.count("<script") == text.count("</script>") == 2
    assert "<img" not in text
    assert "<b>data" not in text
    assert html.escape("<b>data&") in text
    assert shown(page)["rows"][0]["messages"][0]["content"][0]["text"] == evil
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert policy
    assert policy[1].startswith("default-src 'none'; img-src data:;")
    assert not re.search(r"https?://|@import|url\(|innerHTML|insertAdjacentHTML|document\.write", text)


def test_view_draws_a_sample_that_a_seed_repeats(tmp_path: Path) -> None:
    rows = [row(f"llava:{number}", [], [said("What?")], [said(str(number))]) for number in range(40)]
    folder = stored(tmp_path / "data", *rows)

    def ids(seed: int) -> list[int]:
        command("view", folder, "-o", tmp_path / "page.html", "--rows", 10, "--seed", seed)
        return [int(each["id"].split(":")[1]) for each in shown(tmp_path / "page.html")["rows"]]

    assert ids(1) == ids(1) == sorted(set(ids(1)))
    assert len(ids(1)) == 10
    assert ids(1) != ids(2)
    assert "10 of 40 rows" in shown(tmp_path / "page.html")["says"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no browser")
def test_a_browser_shows_the_page_and_runs_nothing_of_the_data(tmp_path: Path) -> None:
    evil = "</script><script>document.title = 'broken'</script><img src=x onerror=\"document.title='broken'\">"
    folder = stored(tmp_path / "data", asked(), edited(), row("evil:1", [], [said(evil)], [said(evil)], source=evil))
    command("view", folder, "-o", tmp_path / "page.html")

    def dom(number: int) -> str:
        """The page as it is when the row with this number is shown."""
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom"]
        words = ["chromium", *options, f"{(tmp_path / 'page.html').as_uri()}#{number}"]
        page = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout
        assert "<title>Samples of data</title>" in page
        return page.split("<main", 1)[1].split("</main>")[0]

    second = dom(2)
    assert second.count("<img") == 3  # the picture of the user; then source and result side by side
    assert "edits image_1" in second
    assert "turn it upside down" in second
    assert html.escape(evil, quote=False) in dom(3)


# --- bad input ---


@pytest.mark.parametrize("name", ["stats", "check", "view"])
def test_an_empty_or_missing_data_set_is_named(tmp_path: Path, name: str) -> None:
    more = ["-o", tmp_path / "page.html"] if name == "view" else []
    with pytest.raises(DataError, match=r"has no rows"):
        command(name, stored(tmp_path / "empty"), *more)
    (tmp_path / "folder").mkdir()
    for place in ("folder", "nothing"):
        with pytest.raises(DataError, match=f"there is no data set at .*{place}"):
            command(name, tmp_path / place, *more)


def test_what_cannot_be_done_is_said_before_the_work(tmp_path: Path) -> None:
    folder, list_ = stored(tmp_path / "data", asked()), tmp_path / "ids.txt"
    list_.write_bytes(b"\xff\xfe\0")
    (tmp_path / "none.txt").write_text("\n# nothing\n")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").write_bytes(b"no picture")
    (tmp_path / "folder").mkdir()
    wrong: list[tuple[type[GenLlavaError], str, tuple[object, ...]]] = [
        (InvalidRequest, "there is no folder", ("stats", folder, "--json", tmp_path / "no" / "stats.json")),
        (InvalidRequest, "it is a folder", ("check", folder, "-o", folder)),
        (InvalidRequest, "must end in .html", ("view", folder, "-o", tmp_path / "page.txt")),
        (InvalidRequest, "at least one row", ("view", folder, "-o", tmp_path / "page.html", "--rows", 0)),
        (InvalidRequest, "from 0 to 16, not 17", ("check", folder, "--perceptual", 17)),
        (DataError, "no list of ids", ("check", folder, "--against", list_)),
        (DataError, "names no picture", ("check", folder, "--against", tmp_path / "none.txt")),
        (DataError, r"a\.jpg cannot be read", ("check", folder, "--against", tmp_path / "pictures")),
        (DataError, "there is no benchmark at", ("check", folder, "--against", tmp_path / "folder")),
    ]
    for kind, says, words in wrong:
        with pytest.raises(kind, match=says):
            command(*words)
