"""Recipes, and a whole `genllava finetune` from nothing to a pipeline that answers and draws."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from PIL import Image

from genllava import GenLlavaPipeline
from genllava.errors import InvalidRequest
from genllava_finetune.worlds.shapes.training.__main__ import main
from genllava_finetune.worlds.shapes.training.command import PARTS, run
from genllava_finetune.worlds.shapes.training.recipe import load_recipe


@pytest.mark.parametrize("name", ["shapes", "shapes-quick"])
def test_the_recipes_that_come_with_it_name_every_part(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert list(recipe.parts) == list(PARTS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("parts: 3", "parts"),
        ("name: x\nparts: {joint: {steps: 0, batch_size: 1, learning_rate: 1}}", "steps"),
        (": :", "not valid"),
    ],
)
def test_a_bad_recipe_is_refused_with_what_is_wrong(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(InvalidRequest, match=said):
        load_recipe(str(path))


def test_the_research_recipe_is_the_same_with_something_withheld() -> None:
    for quick in ("", "-quick"):
        shipped, research = load_recipe(f"shapes{quick}"), load_recipe(f"shapes-research{quick}")
        assert (shipped.withhold, research.withhold) == ("nothing", "research")
        assert (shipped.parts, shipped.seed) == (research.parts, research.seed)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nothing"], "error: there is no recipe 'nothing'; use one of shapes, shapes-quick, shapes-research"),
        (["shapes", "--part", "vision_tower"], "invalid choice"),
        (["shapes", "--all", "--part", "controlnet"], "not allowed with"),
        (["shapes", "--quick", "-o", "FILE"], "error: cannot write"),
    ],
)
def test_its_command_says_what_is_wrong(
    given: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    given = [str(tmp_path / "file" / "run") if each == "FILE" else each for each in given]
    monkeypatch.setattr(sys, "argv", ["training", *given])
    try:
        code = main()
    except SystemExit as stopped:  # argparse's own
        code = int(str(stopped.code))
    assert code == 2
    assert said in capsys.readouterr().err


def test_an_unknown_recipe_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidRequest, match="shapes"):
        load_recipe("nothing")


def test_a_recipe_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        load_recipe(str(path))


def tiny_recipe(folder: Path, seed: int = 1, steps: int = 2, parts: Sequence[str] = tuple(PARTS)) -> Path:
    part = {"steps": steps, "batch_size": 4, "learning_rate": 1e-3, "warmup": 1, "log_every": 1, "save_every": 1}
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({"name": "tiny", "seed": seed, "parts": dict.fromkeys(parts, part)}))
    return path


@pytest.mark.parametrize(
    ("parts", "all_parts", "said"),
    [
        (("joint", "langage_model"), False, "langage_model"),
        (("language_model",), False, "joint"),
        (("joint", "language_model"), True, "vision_tower"),
    ],
)
def test_a_recipe_with_wrong_parts_is_refused(
    tmp_path: Path, parts: tuple[str, ...], all_parts: bool, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        run(str(tiny_recipe(tmp_path, parts=parts)), tmp_path / "run", all_parts=all_parts)
    assert not (tmp_path / "run").exists()


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidRequest, match="cannot write"):
        run(str(tiny_recipe(tmp_path)), tmp_path / "file" / "run")


def test_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    """What is finished would be taken for what this run makes."""
    output = tmp_path / "run"
    (output / "text_encoder").mkdir(parents=True)
    settings = load_recipe(str(tiny_recipe(tmp_path)))
    parts = {name: part.model_dump() for name, part in settings.parts.items()}
    record = {"seed": 1, "withhold": "nothing", "parts": parts}
    (output / "run.json").write_text(json.dumps(record))
    for other, all_parts in ((tiny_recipe(tmp_path, seed=2), True), (tiny_recipe(tmp_path), False)):
        with pytest.raises(InvalidRequest, match="other settings"):
            run(str(other), output, all_parts=all_parts, resume=True)
    with pytest.raises(InvalidRequest, match="other settings"):
        run(str(tiny_recipe(tmp_path, steps=3)), output, all_parts=True, resume=True)
    assert json.loads((output / "run.json").read_text()) == record


def test_a_recipe_that_compiles_needs_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "compiled.yaml"
    part = {"steps": 1, "batch_size": 1, "learning_rate": 1, "compile": True}
    path.write_text(yaml.safe_dump({"name": "compiled", "parts": {"joint": part}}))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InvalidRequest, match="install"):
        run(str(path), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_from_nothing_to_a_pipeline_and_on_from_there(tmp_path: Path) -> None:
    recipe, output = str(tiny_recipe(tmp_path)), tmp_path / "run"
    model = run(recipe, output, all_parts=True)
    pipeline = GenLlavaPipeline.from_pretrained(model)
    picture = pipeline.generate("a red circle", plan="a large red circle at the center, on white", seed=1).image
    assert isinstance(picture, Image.Image)
    assert picture.size == (128, 128)
    assert not [path for path in model.rglob("*.json") if str(tmp_path) in path.read_text()]
    assert json.loads((output / "data.json").read_text())["distinct_sentence_forms"] > 1000
    assert yaml.safe_load((output / "recipe.yaml").read_text())["parts"]["joint"]["ema_decay"] == 0.999
    for name in PARTS:
        assert (output / f"{name}.run" / "log.csv").is_file()
    with pytest.raises(InvalidRequest, match="--resume"):
        run(recipe, output, all_parts=True)
    # The joint tuning alone, from a saved pipeline.
    again = run(recipe, tmp_path / "tuned", model=model)
    GenLlavaPipeline.from_pretrained(again).understand(picture, "what do you see?")
