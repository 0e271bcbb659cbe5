"""Recipes, and a whole `genllava finetune` from nothing to a pipeline that answers and draws."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from genllava import GenLlavaPipeline
from genllava.errors import InvalidRequest
from genllava_finetune.train.command import PARTS, run
from genllava_finetune.train.recipe import load_recipe


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


def test_an_unknown_recipe_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidRequest, match="shapes"):
        load_recipe("nothing")


def tiny_recipe(folder: Path) -> Path:
    part = {"steps": 2, "batch_size": 4, "learning_rate": 1e-3, "warmup": 1, "log_every": 1, "save_every": 1}
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({"name": "tiny", "seed": 1, "parts": dict.fromkeys(PARTS, part)}))
    return path


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
