"""Recipes: what is wrong in one is said with its line, and what ships is right and can be estimated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genllava.errors import CheckpointError, InvalidRequest
from genllava_finetune.recipes.parts import called
from genllava_finetune.recipes.recipe import FOLDER, dump_recipe, load_recipe

ROOT = Path(__file__).parents[3]
OURS = ("genllava-7b", "genllava-7b-lora", "qwen3vl-sd35-lora", "smolvlm-sd15", "head-only", "two-stage", "tiny-real")
TEXT = """\
name: mine
model:
  vlm: owner/model
data:
  - {path: data/a}
stages:
  - train: [vlm]
    lora: {on: vlm, r: 4}
    steps: 3
"""


def write(folder: Path, text: str) -> Path:
    (folder / "mine.yaml").write_text(text)
    return folder / "mine.yaml"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("steps: 3", "steps: 3\n    learnin_rate: 1", "mine.yaml:10: stages.0.learnin_rate is no key of a recipe: did "
         "you mean learning_rate?"),
        ("r: 4", "rr: 4", "mine.yaml:8: stages.0.lora.rr is no key of a recipe: did you mean r?"),
        ("vlm: owner/model", "vlmm: owner/model", "mine.yaml:3: model.vlmm is no key of a recipe: did you mean vlm?"),
        ("name: mine", "nam: mine", "mine.yaml:1: nam is no key of a recipe: did you mean name?"),
        ("steps: 3", "steps: 0", "mine.yaml:9: stages.0.steps: Input should be greater than or equal to 1"),
        ("steps: 3", "bf16: false", "mine.yaml:7: stages.0: give either steps or epochs"),
        ("{path: data/a}", "{weight: 2}", "mine.yaml:5: data.0: give either path (a folder) or rows"),
        ("steps: 3", "steps: [", "this is no YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, before: str, after: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        load_recipe(write(tmp_path, TEXT.replace(before, after)))
    assert said in str(error.value)


def test_settings_from_outside(tmp_path: Path) -> None:
    path = write(tmp_path, TEXT)
    made = load_recipe(path, ["stages.0.steps=7", "model.vlm=folder", "stages.0.losses.denoising=0.5", "seed=3"])
    assert (made.stages[0].steps, made.stages[0].losses.denoising, made.seed) == (7, 0.5, 3)
    assert made.model.vlm is not None
    assert made.model.vlm.source == "folder"
    assert load_recipe(write(tmp_path, dump_recipe(made))) == made
    with pytest.raises(InvalidRequest, match="did you mean steps"):
        load_recipe(path, ["stages.0.stepz=7"])
    with pytest.raises(InvalidRequest, match="no entry 4"):
        load_recipe(path, ["stages.4.steps=7"])
    with pytest.raises(InvalidRequest, match="genllava-7b, "):
        load_recipe("nothing")


def test_a_function_of_a_recipe_takes_options_of_any_name() -> None:
    """Also those that the arguments of the call itself have."""
    function = "tests.finetune.train.small_runs:kept"
    options = {"name": "a", "what": "pictures", "count": 3}
    assert called(function, "data.0.rows", **options) == (options,)
    assert called(function, "data.0.rows", 7, what="seen") == (7, {"what": "seen"})
    with pytest.raises(InvalidRequest, match=r"data\.0\.rows: .*small_runs:losses does not take these options: .*what"):
        called("tests.finetune.train.small_runs:losses", "data.0.rows", 7, what="seen")
    with pytest.raises(InvalidRequest, match=r"data\.0\.rows: there is no function no\.module:kept"):
        called("no.module:kept", "data.0.rows", what="seen")


@pytest.mark.parametrize("name", OURS)
def test_recipes_that_ship(name: str) -> None:
    made = load_recipe(name)
    assert made.name == name
    assert (FOLDER / f"{name}.yaml").is_file()


@pytest.mark.slow
def test_a_dry_run_counts_from_configs_alone() -> None:
    """The sizes that the published models have."""
    from genllava_finetune.train.estimate import report

    said = report(load_recipe("head-only"))
    assert " 7,676,223,344 " in said  # Mistral 7B with SigLIP so400m and LLaVA's projector
    assert " 859,520,964 " in said  # the UNet of Stable Diffusion 1.5
    assert said.count("19,356,416") == 3  # the head is all that is trained
    assert "memory a device: 16.6 GiB" in said
    with pytest.raises(CheckpointError, match=r"model\.vlm\.config"):
        report(load_recipe("head-only", ["model.vlm=owner/absent"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "genllava-7b",
            {"vlm": "llava_siglip_mistral", "decoder": "sd15", "editor": "instruct_pix2pix"},
        ),
        ("qwen3vl-sd35-lora", {"vlm": "qwen3_vl", "decoder": "sd35"}),
    ],
)
def test_large_recipes_with_small_parts(name: str, parts: dict[str, str], tmp_path: Path) -> None:
    """Two steps with random checkpoints in the layouts of the parts that the recipe names."""
    from benchmarks.layouts import decoders, vision_language
    from genllava_finetune.train.run import Run

    for part, layout in parts.items():
        ({**vision_language.LAYOUTS, **decoders.LAYOUTS})[layout](tmp_path / part)
    settings = [f"model.{part}={tmp_path / part}" for part in parts]
    settings += ["data=[{rows: 'genllava_finetune.recipes.tiny_real:rows', options: {side: 64}}]", "resolution=64"]
    settings += ["model.generation_head.hidden_dim=32", "model.drawing_options={num_inference_steps: 2}"]
    settings += [f"stages.0.{setting}" for setting in ("steps=2", "epochs=null", "save_every=2", "batch_size=2")]
    settings += ["stages.0.gradient_accumulation_steps=2", "stages.0.evaluate_every=0", "model.chat_template=null"]
    Run(load_recipe(name, settings), tmp_path / "run").train()
    assert (tmp_path / "run/model/model_index.json").is_file()


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_tiny_real_learns_its_rows(tmp_path: Path) -> None:
    """All three kinds: answers word for word, pictures nearer to their target than to any other of the rows."""
    from genllava import GenLlavaPipeline
    from genllava_finetune.recipes.tiny_real import rows
    from genllava_finetune.train.run import Run

    pipeline = GenLlavaPipeline.from_pretrained(Run(load_recipe("tiny-real"), tmp_path / "run").train(), device="cpu")
    right = learnt(pipeline, rows())
    assert right == {"shown": 12, "drawn": 10, "edited": 10}


def learnt(pipeline: Any, rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many rows of each kind a pipeline repeats; its pictures come through the head."""
    targets = [np.asarray(row["images"][-1], dtype=float) for row in rows]
    right = dict.fromkeys(("shown", "drawn", "edited"), 0)
    for number, row in enumerate(rows):
        asked, said = row["messages"][0]["content"], row["messages"][1]["content"][0]
        if said["type"] == "text":
            answer = pipeline.understand(row["images"][0], asked[-1]["text"], max_new_tokens=60).text.strip()
            right["shown"] += answer == said["text"]
            continue
        if said["type"] == "draw":
            made = pipeline.generate(asked[-1]["text"], seed=0).image
        else:
            made = pipeline.edit(row["images"][0], asked[-1]["text"], seed=0).image
        far = [float(np.square(np.asarray(made, dtype=float) - each).mean()) for each in targets]
        right["drawn" if said["type"] == "draw" else "edited"] += int(np.argmin(far)) == number
    return right
