"""Preparing a data set: what is rejected, and that it can be ended anywhere and gone on with."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from genllava.errors import InvalidRequest
from genllava_finetune.data import durable_files, kinds
from genllava_finetune.data.errors import DataError
from genllava_finetune.data.preparing import Prepared, prepare
from genllava_finetune.data.records import Converter, Origin, Record, Rejected, Source
from genllava_finetune.data.rows import Row, read_row
from genllava_finetune.data.storing import UNFINISHED, Format, load_rows

RECORDS = 23
FORMATS: list[Format] = ["parquet", "webdataset"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, noise = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(RECORDS):
        Image.fromarray(noise.integers(0, 255, (9, 9, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    (folder / "7.png").write_bytes((folder / "7.png").read_bytes()[:60])
    (folder / "8.png").unlink()
    return folder


def row(picture: Path, id: str) -> Row:
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": id * 30}]},
        {"role": "assistant", "content": [{"type": "text", "text": "so it is"}]},
    ]
    return read_row({"images": [picture], "messages": messages, "source": "s", "license": "l", "id": id})


def converter(at: Callable[[int], None] = lambda number: None) -> Converter:
    """23 records: the fourth is no row, the fifth gives two, the seventh has an id that there was, and the pictures of
    two are damaged and missing.

    Args:
        at: called before each.
    """

    def read(source: Source) -> Iterator[Record]:
        assert source.images is not None
        for number in range(RECORDS):
            at(number)
            picture = source.images / f"{number}.png"
            results: dict[int, tuple[Row | Rejected, ...]] = {
                3: (Rejected("it is odd: very", "x"),),
                4: (row(picture, "4"), row(picture, "4b")),
                6: (row(picture, "5"),),
            }
            yield Record(Origin("f.json", number + 1), results.get(number, (row(picture, str(number)),)))

    return Converter("tried", "CC0-1.0", "For tests.", read)


def prepared(pictures: Path, output: Path, *, tried: Converter | None = None, **options: Any) -> Prepared:
    settings = {"shard_rows": 4, "threads": 2, **options}
    return prepare(tried or converter(), Source("f.json", pictures), output, **settings)


def digests(folder: Path) -> dict[str, str]:
    """Of all that a user has of it; what an unfinished run leaves behind is not among it."""
    files = [file for file in folder.iterdir() if file.is_file()]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_rejects_are_listed_and_counted(pictures: Path, tmp_path: Path) -> None:
    seen = list[tuple[int, int, int]]()
    done = prepared(pictures, tmp_path / "out", progress=lambda *numbers: seen.append(numbers))
    assert seen[-1] == (23, 20, 4)
    assert done.card.rows == 20
    assert done.card.rejected == {
        "it is odd": 1,
        "there was a row with this id before": 1,
        "the picture cannot be read": 1,
        "the picture's file cannot be read": 1,
    }
    lines = [json.loads(line) for line in (tmp_path / "out/rejects.jsonl").read_text().splitlines()]
    assert [(line["file"], line["line"], line["id"]) for line in lines] == [
        ("f.json", 4, "x"), ("f.json", 7, "5"), ("f.json", 8, "7"), ("f.json", 9, "8")
    ]  # fmt: skip
    assert lines[2]["reason"] == "the picture cannot be read: the picture is damaged or cut short (7.png)"
    ids = [row.id for row in load_rows(tmp_path / "out")]
    assert ids == ["0", "1", "2", "4", "4b", "5", *map(str, range(9, 23))]
    card = json.loads((tmp_path / "out/dataset.json").read_text())
    assert (card["kind"], card["location"], card["license"], card["version"]) == ("tried", "f.json", "CC0-1.0", 1)


def test_a_limit_and_another_license(pictures: Path, tmp_path: Path) -> None:
    done = prepared(pictures, tmp_path / "out", limit=4, license="MIT")
    rows = list(load_rows(tmp_path / "out"))
    assert [row.id for row in rows] == ["0", "1", "2", "4"]  # the second row of the fifth record is over the limit
    assert {row.license for row in rows} == {done.card.license} == {"MIT"}


def test_finished_is_said_and_other_options_are_refused(pictures: Path, tmp_path: Path) -> None:
    first = prepared(pictures, tmp_path / "out")
    before = digests(tmp_path / "out")
    again = prepared(pictures, tmp_path / "out")
    assert (first.before, again.before, again.card) == (False, True, first.card)
    others: list[dict[str, Any]] = [{"limit": 5}, {"license": "MIT"}, {"shard_rows": 5}, {"format": "webdataset"}]
    for other in others:
        (name,) = other
        with pytest.raises(InvalidRequest, match=f"was begun with another {name}"):
            prepared(pictures, tmp_path / "out", **other)
    with pytest.raises(InvalidRequest, match="was begun with another images"):
        prepared(tmp_path, tmp_path / "out")
    assert digests(tmp_path / "out") == before


def test_a_source_that_changed_meanwhile_is_refused(pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    file.write_text("1")
    source = Source(str(file), pictures)
    prepare(converter(), source, tmp_path / "out")
    file.write_text("12")
    with pytest.raises(InvalidRequest, match="another source file: it has changed"):
        prepare(converter(), source, tmp_path / "out")


def test_a_folder_with_other_things_and_one_in_use_are_refused(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InvalidRequest, match="is not empty"):
        prepared(pictures, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    (tmp_path / "out" / UNFINISHED).mkdir(parents=True)
    with FileLock(tmp_path / "out" / UNFINISHED / "lock"), pytest.raises(InvalidRequest, match="another process"):
        prepared(pictures, tmp_path / "out")
    with pytest.raises(InvalidRequest, match="at least 1"):
        prepared(pictures, tmp_path / "out", shard_rows=0)


def in_child(work: Callable[[], Any]) -> tuple[int, str]:
    """What ended a child process that did the work, as a signal or 0, and the error that it raised."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_at_any_record_it_goes_on(pictures: Path, tmp_path: Path) -> None:
    prepared(pictures, tmp_path / "whole")

    for number in range(1, RECORDS, 3):  # in one go: killed at the first record, at the fourth, ...
        tried = converter(lambda now, number=number: kill() if now == number else None)  # type: ignore[misc]
        code, _ = in_child(lambda tried=tried: prepared(pictures, tmp_path / "out", tried=tried))  # type: ignore[misc]
        assert code == -signal.SIGKILL
        with pytest.raises(DataError, match="is not finished"):
            list(load_rows(tmp_path / "out"))
    assert (tmp_path / "out/rows-00001.parquet").exists()  # it got somewhere
    prepared(pictures, tmp_path / "out")
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_killed_before_any_rename_it_goes_on(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(pictures, tmp_path / "whole")
    rename, renames = os.replace, 5 + 4 + 1 + 1  # shards, states, the card, the last state
    for last in range(1, renames + 2):
        done = 0

        def replace(*names: Any, last: int = last) -> None:
            nonlocal done
            done += 1
            if done == last:
                kill()
            rename(*names)

        output = tmp_path / str(last)
        with monkeypatch.context() as patch:
            patch.setattr(durable_files.os, "replace", replace)
            code, _ = in_child(lambda output=output: prepared(pictures, output))  # type: ignore[misc]
        assert code == (-signal.SIGKILL if last <= renames else 0)
        prepared(pictures, output)
        assert digests(output) == digests(tmp_path / "whole")


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_keeps_finished_files(pictures: Path, tmp_path: Path, format: Format) -> None:
    """The limit of a file's size stands for the full disk: some shards are under it, and one is not."""
    prepared(pictures, tmp_path / "whole", format=format)
    sizes = sorted(file.stat().st_size for file in (tmp_path / "whole").glob("rows-*"))

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[-1] - 1, sizes[-1] - 1))
        prepared(pictures, tmp_path / "out", format=format)

    code, said = in_child(limited)
    assert code == 0
    assert said.startswith("DataError: ")
    assert "File too large" in said
    assert "Finished files are kept" in said
    assert not list((tmp_path / "out").glob(".*.part"))
    prepared(pictures, tmp_path / "out", format=format)
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_no_space_for_the_state_or_the_rejects(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(pictures, tmp_path / "whole")
    sync = os.fsync
    for number in (2, 5, 9):
        done = 0

        def fsync(handle: int, number: int = number) -> None:
            nonlocal done
            done += 1
            if done == number:
                raise OSError(28, "No space left on device")
            sync(handle)

        with monkeypatch.context() as patch:
            patch.setattr(durable_files.os, "fsync", fsync)
            with pytest.raises(DataError, match="No space left on device"):
                prepared(pictures, tmp_path / "out")
    prepared(pictures, tmp_path / "out")
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def command(*words: object) -> int:
    from genllava_agent.cli import main

    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


def test_the_command(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(number: int) -> None:
        if number == 17 and not stopped:
            stopped.append(number)
            raise KeyboardInterrupt

    stopped = list[int]()
    monkeypatch.setattr(kinds, "converters", lambda: {"tried": converter(stop)})
    typed = "data", "prepare", "tried", "--from", "f.json", "--images", pictures, "-o", tmp_path / "out"
    assert command(*typed, "--shard-rows", 4) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert command(*typed, "--shard-rows", 4) == 0
    out = capsys.readouterr().out
    assert "20 rows in 5 files" in out
    assert "1 rejected: the picture cannot be read" in out
    assert command(*typed, "--shard-rows", 4) == 0
    assert "(finished before)" in capsys.readouterr().out
    prepared(pictures, tmp_path / "whole")
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")

    assert command(*typed, "--shard-rows", 5) == 2
    assert "was begun with another shard_rows: 4, not 5" in capsys.readouterr().err
    assert command("data", "prepare", "tired", "--from", "x", "-o", tmp_path / "new") == 2
    assert "did you mean tried?" in capsys.readouterr().err
    assert command("data", "prepare", "tried", "-o", tmp_path / "new") == 2
    assert "--from LOCATION is missing" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_paths_and_depth_that_are_wrong_in_a_public_file(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "in.png").write_bytes((pictures / "0.png").read_bytes())
    (folder / "out.png").symlink_to(pictures / "1.png")
    names = ["in.png", "../in.png", str(pictures / "1.png"), "C:\\in.png", "out.png", "gone.png", "", "a\0b"]
    talk = [{"from": "human", "value": "<image>\nq"}, {"from": "gpt", "value": "a"}]
    records = [json.dumps({"id": str(i), "image": name, "conversations": talk}) for i, name in enumerate(names)]
    deep = '{"id": "deep", "conversations": ' + "[" * 1_000_000 + "]" * 1_000_000 + "}"
    last = json.dumps({"id": "last", "image": "in.png", "conversations": talk})
    (tmp_path / "f.json").write_text("[" + ",\n".join([*records, deep, last]) + "]")
    typed = "data", "prepare", "llava_instruct", "--from", tmp_path / "f.json", "--images", folder, "-o", tmp_path / "o"
    assert command(*typed) == 0
    assert [row.images[0].name for row in load_rows(tmp_path / "o")] == ["in.png", "in.png"]
    lines = [json.loads(line) for line in (tmp_path / "o/rejects.jsonl").read_text().splitlines()]
    assert [line["line"] for line in lines] == list(range(2, 10))
    assert all(line["file"] == str(tmp_path / "f.json") for line in lines)
    says = [
        "has '..'",
        "is absolute",
        "is absolute",
        "a link out of",
        "no picture file",
        "no file name",
        "no file name",
    ]
    assert all(words in line["reason"] for words, line in zip([*says, "too deeply"], lines, strict=True))
    assert "2 rows in 1 files" in capsys.readouterr().out


def test_help_loads_nothing_heavy(capfd: pytest.CaptureFixture[str]) -> None:
    code = (
        "import sys; from genllava_agent.cli import main\n"
        "try: main(['data', 'prepare', '--help'])\n"
        "except SystemExit: pass\n"
        "print([n for n in ('torch', 'datasets', 'transformers', 'pandas', 'pyarrow') if n in sys.modules])"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "[]"
