"""What a command loads: what was typed, then what the configuration file says; mistakes are one line with the file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from person import command

from genllava.errors import CheckpointError, InvalidRequest
from genllava_agent import loading
from genllava_agent.loading import choose

PARTS = 'model = "own/reader"\ndecoder = "own/painter"\neditor = "own/editor"\n'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration file."""
    path = tmp_path / "my.toml"
    path.touch()
    monkeypatch.setenv("GENLLAVA_CONFIG", str(path))
    return path


def test_where_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENLLAVA_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert choose({}) == {}
    if sys.platform != "linux":
        pytest.skip("elsewhere the folder has another name")
    (tmp_path / "genllava").mkdir()
    (tmp_path / "genllava" / "config.toml").write_text('device = "cpu"')
    assert choose({}) == {"device": "cpu"}
    monkeypatch.setenv("GENLLAVA_CONFIG", "")
    assert choose({}) == {}
    monkeypatch.setenv("GENLLAVA_CONFIG", str(tmp_path / "other.toml"))
    with pytest.raises(InvalidRequest, match=r"other\.toml, and there is no such file"):
        choose({})


def test_the_file_and_what_is_typed(config: Path) -> None:
    config.write_text(PARTS + 'dtype = "bfloat16"\ndevice = "cpu"\n')
    names = ("model", "decoder", "editor", "dtype", "device")
    whole = dict(zip(names, ("own/reader", "own/painter", "own/editor", "bfloat16", "cpu"), strict=True))
    assert choose({}) == whole
    typed = {"decoder": "own/other", "device": "cuda:1"}
    assert choose(typed) == whole | typed
    others = {"dtype": "bfloat16", "device": "cpu"}
    assert choose({"model": "own/all"}) == {"model": "own/all", **others}, "parts go with their model"
    assert choose({"model": "shipped"}) == others


def test_a_home_in_the_file(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "reader").mkdir()
    (tmp_path / "reader" / "config.json").touch()
    config.write_text('model = "~/reader"')
    assert choose({})["model"] == str(tmp_path / "reader")


BAD = {
    'modell = "a/b"': "unknown key 'modell': model, decoder, editor, dtype, device",
    "[model]": "model must be text in quotation marks",
    "device = 0": "device must be text",
    'model = ""': "model must be text",
    "model = own/reader": "is no TOML file",
    'model = "a/b"\nmodel = "a/c"': "is no TOML file",
    'model = "reader"': "unknown model 'reader'",
    'model = "a/b"\ndecoder = "painter"': "unknown decoder 'painter'",
    'dtype = "half"': "unknown dtype 'half': auto, float32, bfloat16, float16",
    'device = "gpu"': "unknown device 'gpu'",
}


@pytest.mark.parametrize("text", BAD)
@pytest.mark.parametrize("name", ["understand", "generate", "edit", "chat", "demo", "info"])
def test_what_a_file_cannot_say_is_one_line_and_exit_code_2(text: str, name: str, config: Path) -> None:
    config.write_text(text)
    target = str(config.parent / "a.png")
    arguments = {
        "understand": ["a.png", "How many?"],
        "generate": ["a cat", "-o", target],
        "edit": ["a.png", "red", "-o", target],
        "demo": ["-o", target],
    }
    done = command([name, *arguments.get(name, [])])
    assert (done.exit_code, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert done.stderr.startswith(f"error: {config}")
    assert BAD[text] in done.stderr


def test_a_file_that_is_not_text_or_not_to_be_read(config: Path) -> None:
    config.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidRequest, match=r"my\.toml is no TOML file"):
        choose({})


def test_what_is_typed_wrong_is_said_without_the_file(config: Path) -> None:
    config.write_text(PARTS)
    with pytest.raises(CheckpointError) as caught:
        choose({"model": "nope"})
    assert str(config) not in str(caught.value)
    config.write_text('decoder = "own/painter"')
    with pytest.raises(InvalidRequest, match="needs a --model"):
        choose({})
    assert choose({"model": "own/reader"}) == {"model": "own/reader"}


def test_commands_load_what_the_file_says(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(**given: str) -> None:
        asked.append(given)
        raise CheckpointError("that is enough")

    monkeypatch.setattr(loading, "load_pipeline", load)
    config.write_text(PARTS)
    args = ["generate", "a cat", "-o", str(tmp_path / "a.png")]
    assert command([*args, "--editor", "own/other"]).stderr == "error: that is enough\n"
    assert asked == [{"model": "own/reader", "decoder": "own/painter", "editor": "own/other"}]
