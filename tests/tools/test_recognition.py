"""What a picture shows, in words and in depth, on small random checkpoints of public layouts; and faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import levels, photo
from PIL import Image

from genllava.errors import CheckpointError, InvalidRequest
from genllava_tools import find, recognition, use_model

Using = Callable[..., None]
Tiny = Callable[[str], Path]


def pipeline(task: str, folder: Path) -> Any:
    import transformers

    make: Any = transformers.pipeline
    return make(task, model=str(folder))


@pytest.mark.parametrize("kind", ["siglip", "clip"])
def test_classifying_gives_the_scores_of_the_library(using: Using, tiny: Tiny, kind: str) -> None:
    using(classification=kind)
    labels = ["cat", "a red cup", "dog"]
    result = find("classify")(photo("coffee"), labels=labels)
    by_library = pipeline("zero-shot-image-classification", tiny(kind))(photo("coffee"), candidate_labels=labels)
    assert result.data["labels"] == [each["label"] for each in by_library]
    assert result.data["scores"] == pytest.approx([each["score"] for each in by_library], abs=2e-3)
    assert result.data["label"] == by_library[0]["label"]
    assert (abs(sum(result.data["scores"]) - 1) < 1e-3) is (kind == "clip")
    assert result.text.startswith(f"Best: {by_library[0]['label']}.")
    assert f"By the classification model {kind}." in result.text
    assert not result.images
    assert len(find("classify")(photo("cat"), labels=[*labels, " cat "]).data["labels"]) == 3
    with pytest.raises(InvalidRequest, match=f"too long for the {kind} model"):
        find("classify")(photo("cat"), labels=["x" * 80, "a"])
    with pytest.raises(InvalidRequest, match="all the same"):
        find("classify")(photo("cat"), labels=["cat", "cat "])


@pytest.mark.parametrize("kind", ["blip", "git"])
def test_captions_are_what_the_model_writes(using: Using, tiny: Tiny, kind: str) -> None:
    import torch
    import transformers as t

    using(captioning=kind)
    texts = [find("caption")(photo(name)).data["caption"] for name in ("coffee", "rocket")]
    processor = t.AutoProcessor.from_pretrained(tiny(kind))
    model = t.AutoModelForImageTextToText.from_pretrained(tiny(kind)).eval()
    with torch.inference_mode():
        written = model.generate(**processor(images=photo("coffee"), return_tensors="pt"), max_new_tokens=80)
    assert texts[0] == " ".join(processor.batch_decode(written, skip_special_tokens=True)[0].split()) != ""
    assert texts[0] != texts[1], "of the picture"
    assert f"{texts[0]} (Written by the captioning model {kind}.)" == find("caption")(photo("coffee")).text


@pytest.mark.slow
def test_captions_by_a_model_that_answers_questions(tmp_path: Path) -> None:
    from benchmarks.layouts.vision_language import LAYOUTS
    from genllava.vision_language import VisionLanguage

    LAYOUTS["smolvlm"](tmp_path)
    use_model("captioning", tmp_path)
    try:
        result = find("caption")(photo("coffee"))
        model = VisionLanguage.from_pretrained(tmp_path)
        words = [{"type": "image", "image": photo("coffee")}, {"type": "text", "text": recognition._REQUEST}]
        asked = model.chat([{"role": "user", "content": words}], max_new_tokens=80, do_sample=False).text
        assert result.data["caption"] == " ".join(asked.split()) != ""
        moved = tmp_path.rename(tmp_path.with_name("without-template"))  # what is loaded is known by its folder
        (moved / "chat_template.jinja").unlink()
        use_model("captioning", moved)
        with pytest.raises(CheckpointError, match="without a chat template"):
            find("caption")(photo("coffee"))
    finally:
        use_model("captioning", None)


@pytest.mark.parametrize("kind", ["depth_anything", "metric depth_anything", "dpt", "zoedepth"])
def test_near_is_bright_in_depth_maps(using: Using, tiny: Tiny, kind: str) -> None:
    using(depth=kind)
    image = photo("page")
    result = find("depth_map")(image)
    depth = pipeline("depth-estimation", tiny(kind))(image)["predicted_depth"].numpy().astype(float)
    metres = kind in ("metric depth_anything", "zoedepth")
    near = (depth.max() - depth if metres else depth - depth.min()) / (depth.max() - depth.min())
    assert (result.image.mode, result.image.size) == ("L", image.size)
    assert np.abs(levels(result.image) / 255 - near).max() < 0.03
    assert result.image.getextrema() == (0, 255)
    assert result.data["metres"] is metres
    assert result.data["range"] == pytest.approx([depth.min(), depth.max()], rel=1e-3)
    for name, level in (("nearest", 255), ("farthest", 0)):
        x, y = result.data[name]
        assert abs(levels(result.image)[int(y * image.height), int(x * image.width)] - level) <= 1
    assert ("metres" in result.text) is metres
    assert ("without a unit" in result.text) is not metres
    assert result.text.startswith("Near is bright.")


def test_the_face_is_found_and_no_other() -> None:
    """Of the astronaut: her face lies there; coffee, coins, a cat, a rocket and a page have none."""
    result = find("find_faces")(photo("astronaut"))
    assert result.data["count"] == 1
    left, top, right, bottom = result.data["boxes"][0]
    assert (left, top, right, bottom) == pytest.approx((0.345, 0.13, 0.525, 0.315), abs=0.03)
    changed = np.abs(levels(result.image) - levels(photo("astronaut"))).max(2) > 0
    assert changed.any()
    rows, columns = np.nonzero(changed)
    assert (columns.min() / 512, rows.min() / 512) == pytest.approx((left, top), abs=0.02)
    assert "the simple way" in result.text
    for name in ("coffee", "coins", "cat", "rocket", "page"):
        none = find("find_faces")(photo(name))
        assert (none.data, none.images) == ({"count": 0, "boxes": []}, ()), name
        assert none.text.startswith("Found no face.")
    assert find("find_faces")(Image.new("RGB", (8, 200))).data["count"] == 0, "smaller than any face"


def test_a_face_is_found_at_other_sizes_and_places() -> None:
    face = photo("astronaut").crop((140, 20, 330, 220))
    scene = Image.new("RGB", (1200, 800), (90, 110, 120))
    scene.paste(face, (100, 300))
    scene.paste(face.resize((380, 400)), (700, 200))
    result = find("find_faces")(scene)
    assert result.data["count"] == 2
    middles = [((box[0] + box[2]) / 2 * 1200, (box[1] + box[3]) / 2 * 800) for box in result.data["boxes"]]
    assert middles[0] == pytest.approx((700 + 2 * 85, 200 + 2 * 94), abs=40), "the larger one first"
    assert middles[1] == pytest.approx((100 + 85, 300 + 94), abs=25)
