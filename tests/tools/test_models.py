"""The models that tools run: which checkpoint, loaded once and shared, let go for others, and what may be wrong."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from photos import photo

import genllava.memory
from genllava.errors import CheckpointError, InvalidRequest, NonFiniteError, NotEnoughMemory
from genllava_tools import ToolDeclarationError, ToolUnavailable, find, release_models, use_model
from genllava_tools import depth as depth_tool
from genllava_tools import detection as detection_tool
from genllava_tools.docs import page
from genllava_tools.models import Model, model, models, shared

Using = Callable[..., None]
Tiny = Callable[[str], Path]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that detection and depth were loaded from, one for each time; nothing is loaded to begin with."""
    release_models()
    seen = list[Path]()

    def counting(load: Callable[..., Any]) -> Callable[..., Any]:
        def loaded(folder: Path, *rest: Any) -> Any:
            seen.append(folder)
            return load(folder, *rest)

        return loaded

    for module in (detection_tool, depth_tool):
        monkeypatch.setattr(module, "load", counting(module.load))
    return seen


def test_tools_share_what_is_loaded_once(using: Using, tiny: Tiny, loads: list[Path]) -> None:
    using(detection="owlv2", segmentation=None)
    find("detect")(photo("coffee"), labels=["cat"])
    find("count_objects")(photo("coffee"), label="cat")
    find("segment")(photo("coffee"), label="cat")
    assert loads == [tiny("owlv2")]
    one, other = (detection_tool.DETECTION.loaded(detection_tool._load) for _ in range(2))
    assert one is other
    using(detection="grounding-dino")
    find("detect")(photo("coffee"), labels=["cat"])
    using(detection="owlv2")
    find("detect")(photo("coffee"), labels=["cat"])
    assert loads == [tiny("owlv2"), tiny("grounding-dino")], "the first is still there"


def test_threads_load_a_model_once(using: Using, loads: list[Path]) -> None:
    using(detection="owlv2")
    start = threading.Barrier(6)

    def detect(_: int) -> dict[str, Any]:
        start.wait()
        return find("detect")(photo("coffee"), labels=["cat"]).data

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(detect, range(6)))
    assert len(loads) == 1
    assert all(result == results[0] for result in results)


def test_where_memory_is_short_the_model_longest_unused_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for two of three; the figure is what is left beside those that live."""
    release_models()

    class Big:
        pass

    living = weakref.WeakSet[Big]()
    monkeypatch.setattr(genllava.memory, "free_memory", lambda device: 340 - 100 * len(living))

    def load(name: str) -> weakref.ref[Big]:
        def make() -> Big:
            made = Big()
            living.add(made)
            return made

        return weakref.ref(shared((name,), make, 100))  # which needs half as much again while it works

    first, second = load("first"), load("second")
    assert first() is not None
    assert second() is not None
    assert load("first")() is first(), "used again"
    third = load("third")
    assert second() is None, "it was not used for longest"
    assert first() is not None
    assert third() is not None
    monkeypatch.setattr(genllava.memory, "free_memory", lambda device: None)
    assert load("second")() is not second
    assert len(living) == 3, "where nobody knows how much is free, nothing is let go"
    release_models()
    gc.collect()
    assert len(living) == 0


def test_a_real_model_is_let_go_for_another(using: Using, loads: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    using(detection="owlv2", depth="dpt")
    find("detect")(photo("coffee"), labels=["cat"])
    runner = weakref.ref(detection_tool.DETECTION.loaded(detection_tool._load))
    weights = weakref.ref(next(runner().model.parameters()))  # type: ignore[union-attr]
    size = sum(file.stat().st_size for file in loads[0].glob("*.safetensors"))
    monkeypatch.setattr(genllava.memory, "free_memory", lambda device: 10**9 if weights() is None else size)
    find("depth_map")(photo("page"))
    assert runner() is None
    assert weights() is None
    find("detect")(photo("coffee"), labels=["cat"])
    assert [folder.name for folder in loads] == ["owlv2", "dpt", "owlv2"]


def test_a_model_that_cannot_fit_is_not_read(using: Using, monkeypatch: pytest.MonkeyPatch) -> None:
    release_models()
    using(depth="dpt")
    monkeypatch.setattr(genllava.memory, "free_memory", lambda device: 1000)
    with pytest.raises(NotEnoughMemory, match=r"a model that estimates depth .* needs 0\.\d MB"):
        find("depth_map")(photo("page"))


def test_choosing_a_checkpoint(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depth = depth_tool.DEPTH
    assert (depth.source, depth.setting) == ("depth-anything/Depth-Anything-V2-Small-hf", "GENLLAVA_DEPTH_MODEL")
    monkeypatch.setenv("GENLLAVA_DEPTH_MODEL", str(tiny("dpt")))
    assert (depth.folder(), depth.title) == (tiny("dpt"), "dpt")
    assert find("depth_map").missing == ""
    use_model("depth", tiny("zoedepth"))
    assert depth.folder() == tiny("zoedepth"), "what is chosen in the program comes first"
    use_model("depth", "someone/theirs")
    assert (depth.present, depth.title) == (False, "someone/theirs")
    assert find("depth_map").missing.startswith("needs the depth model: run `hf download someone/theirs`, or name")
    use_model("depth", tmp_path / "not-there")
    with pytest.raises(ToolUnavailable, match=r"depth_map needs the depth model: there is no checkpoint in the folder"):
        find("depth_map")(photo("page"))
    use_model("depth", None)
    assert depth.folder() == tiny("dpt")
    with pytest.raises(InvalidRequest, match=r"tools run no model 'dept': there are .*depth.*detection"):
        use_model("dept", tmp_path)


def test_a_name_is_for_one_model() -> None:
    assert model("depth", depth_tool.DEPTH.default) is not None, "the same again is the same"
    with pytest.raises(ToolDeclarationError, match="there is a model 'depth' already, depth-anything/"):
        model("depth", "someone/theirs")
    assert Model("x", "a/b", ("weights.onnx",)).need().remedy.startswith("run `hf download a/b weights.onnx`, or name")


def broken(tiny: Tiny, kind: str, folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A copy of a checkpoint whose weights are changed."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny(kind), folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


WRONG = {"detection": "siglip", "classification": "dpt", "captioning": "sam", "depth": "blip", "segmentation": "owlv2"}
CALLS: dict[str, Callable[[], Any]] = {
    "detection": lambda: find("detect")(photo("coffee"), labels=["cat"]),
    "classification": lambda: find("classify")(photo("coffee"), labels=["cat", "dog"]),
    "captioning": lambda: find("caption")(photo("coffee")),
    "depth": lambda: find("depth_map")(photo("coffee")),
    "segmentation": lambda: find("segment")(photo("coffee"), point=(0.5, 0.5)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_checkpoint_of_another_task(using: Using, name: str) -> None:
    using(**{name: WRONG[name]})
    wanted = rf"the {name} model, {WRONG[name]}: it is a {WRONG[name]}, and not a model that .*use_model\('{name}'"
    with pytest.raises(CheckpointError, match=wanted):
        CALLS[name]()


def test_a_checkpoint_with_a_head_for_something_else(tiny: Tiny, tmp_path: Path, using: Using) -> None:
    """Its layout is right, but it was saved without what does the work."""
    using(depth=None)
    use_model("depth", broken(tiny, "dpt", tmp_path / "headless", lambda weights: weights.pop("head.head.4.weight")))
    with pytest.raises(
        CheckpointError, match=r"the depth model, headless: its files lack the weight head\.head\.4\.weigh"
    ):
        CALLS["depth"]()
    unused = "neck.fusion_stage.layers.0.residual_layer1.convolution1.weight"
    use_model("depth", broken(tiny, "dpt", tmp_path / "public", lambda weights: weights.pop(unused)))
    assert CALLS["depth"]().images, "public checkpoints come without what is never used"


def test_weights_that_are_not_finite(tiny: Tiny, tmp_path: Path, using: Using) -> None:
    using(detection=None)
    name = "class_head.dense0.weight"
    use_model(
        "detection", broken(tiny, "owlv2", tmp_path / "nan", lambda weights: weights[name][0].fill_(float("nan")))
    )
    with pytest.raises(CheckpointError, match=rf"detection model, nan: the weight {name} has .*\(NaN\); name a folder"):
        CALLS["detection"]()
    use_model(
        "detection", broken(tiny, "owlv2", tmp_path / "inf", lambda weights: weights[name][0].fill_(float("inf")))
    )
    with pytest.raises(CheckpointError, match="not finite"):
        CALLS["detection"]()


OVERFLOWING = {
    "detection": ("owlv2", "owlv2.vision_model.embeddings.patch_embedding.weight"),
    "classification": ("clip", "text_projection.weight"),
    "captioning": ("blip", "text_decoder.cls.predictions.transform.dense.weight"),
    "depth": ("depth_anything", "backbone.embeddings.patch_embeddings.projection.weight"),
    "segmentation": ("sam2", "mask_decoder.iou_token.weight"),
}


@pytest.mark.parametrize("name", OVERFLOWING)
def test_results_that_are_not_finite(tiny: Tiny, tmp_path: Path, using: Using, name: str) -> None:
    """Weights so large that sums of them overflow."""
    using(**{name: None})
    kind, weight = OVERFLOWING[name]
    use_model(name, broken(tiny, kind, tmp_path / "huge", lambda weights: weights[weight].sign_().mul_(2e38)))
    with pytest.raises(NonFiniteError, match="not finite"):
        CALLS[name]()


def test_damaged_files(tiny: Tiny, tmp_path: Path, using: Using) -> None:
    using(depth=None)

    def refused(folder: Path, match: str) -> None:
        use_model("depth", folder)
        with pytest.raises(CheckpointError, match=rf"the depth model, {folder.name}: .*{match}.*GENLLAVA_DEPTH_MODEL"):
            CALLS["depth"]()

    def copy(name: str) -> Path:
        return Path(shutil.copytree(tiny("dpt"), tmp_path / name))

    cut = copy("cut")
    os.truncate(cut / "model.safetensors", 5000)
    refused(cut, "cannot read its weights")
    garbled = copy("garbled")
    (garbled / "config.json").write_text("{")
    refused(garbled, "cannot read its config")
    pickled = copy("pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    refused(pickled, "no weights as safetensors")
    unprepared = copy("unprepared")
    (unprepared / "preprocessor_config.json").unlink()
    refused(unprepared, "cannot read its processor")


def test_the_page_of_tools_lists_the_models() -> None:
    section = page().split("\n## Models\n")[1]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert [row[0] for row in rows] == [f"| `{each.name}`" for each in models()]
    assert "| `detection` | `google/owlv2-base-patch16-ensemble` | `detect` | `segment`, `count_objects`" in section
    assert "| `segmentation` | `facebook/sam2.1-hiera-tiny` |  | `segment`, `remove_background` |" in section
    assert "use_model(" in section
    assert "GENLLAVA_DEPTH_MODEL" in section
    described = page().split("### segment\n")[1].split("\n### ")[0]
    assert "Does more with the detection and the segmentation models." in described
