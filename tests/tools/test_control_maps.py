"""Control maps that need no weights, and what all tools of control maps have in common."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from control_pictures import TRAPS, trap
from photos import levels, photo, shapes
from PIL import Image

from genllava.errors import InvalidRequest
from genllava.images import load_image
from genllava_tools import EmptyControlMap, ToolUnavailable, find, tools, unavailable, use_model
from genllava_tools.aux_detectors import quietly
from genllava_tools.control_map import padded, working_copy
from genllava_tools.control_table import CONTROL
from genllava_tools.skeleton import COCO, JOINTS, Person, body_of_coco, draw_people

SIMPLE = ("canny", "lineart_standard", "shuffle")
ALL = pytest.mark.parametrize("name", SIMPLE)


def test_canny_is_the_edges_of_the_copy_in_the_size_of_the_picture() -> None:
    coffee = photo("coffee")
    result = find("canny")(coffee)
    edges = cv2.Canny(np.ascontiguousarray(coffee), 100, 200)
    assert result.image.mode == "RGB"
    assert (levels(result.image) == edges[:, :, None]).all(), "a picture smaller than the copy is not enlarged"
    assert result.data["share"] == pytest.approx((edges > 0).mean(), abs=1e-4)
    assert f"{result.data['share']:.1%}" in result.text
    small = find("canny")(coffee, resolution=300)
    assert small.image.size == coffee.size
    assert small.data["working_size"] == [300, 200]
    assert (
        levels(small.image.resize((300, 200), Image.Resampling.NEAREST))[:, :, 0]
        == cv2.Canny(np.ascontiguousarray(coffee.resize((300, 200), Image.Resampling.BOX)), 100, 200)
    ).mean() > 0.999
    more = find("canny")(coffee, low=30, high=60).data["share"]
    assert more > 1.5 * result.data["share"]
    with pytest.raises(InvalidRequest, match="smaller number as `low`"):
        find("canny")(coffee, low=200, high=100)


def test_edges_to_look_at_and_to_steer_with_are_the_same() -> None:
    astronaut = photo("astronaut")
    looked, steering = find("edge_map")(astronaut).image, find("canny")(astronaut).image
    assert (levels(looked) == levels(steering)[:, :, 0]).all()


def test_dark_lines_of_a_drawing_are_white_on_black() -> None:
    drawing = Image.new("RGB", (240, 160), "white")
    drawing.paste((40, 40, 40), (30, 40, 210, 44))
    made = levels(find("lineart_standard")(drawing).image)[:, :, 0]
    assert made[41:43, 40:200].min() > 100
    assert made[80:, :].max() < 5
    with pytest.raises(EmptyControlMap, match="use `canny`"):
        find("lineart_standard")(shapes())
    assert find("canny")(shapes()).data["share"] > 0.01, "which the message says to use"


@pytest.mark.filterwarnings("error")
def test_one_pixel_cannot_be_shuffled() -> None:
    """It was divided by zero first."""
    with pytest.raises(EmptyControlMap, match="of one colour"):
        find("shuffle")(Image.new("RGB", (1, 1)))


def test_the_same_seed_shuffles_the_same_way_and_touches_no_others_random_numbers() -> None:
    coffee = photo("coffee")
    np.random.seed(5)  # noqa: NPY002  (the global numbers are what is looked at)
    expected = np.random.rand(3)  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    first = find("shuffle")(coffee, seed=3)
    assert np.random.rand(3).tolist() == expected.tolist()  # noqa: NPY002
    assert first.image.tobytes() == find("shuffle")(coffee, seed=3).image.tobytes()
    assert first.image.tobytes() != find("shuffle")(coffee, seed=4).image.tobytes()
    assert first.data["seed"] == 3
    assert abs(levels(first.image) - levels(coffee)).mean() > 30, "its things are gone"
    near = (
        abs(levels(first.image).reshape(-1, 3)[::997, None] - levels(coffee).reshape(-1, 3)[None, ::97]).max(2).min(1)
    )
    assert np.quantile(near, 0.95) < 12, "its colours are left"


@ALL
@pytest.mark.parametrize("kind", TRAPS)
def test_any_picture_comes_back_in_its_size(name: str, kind: str) -> None:
    image = trap(kind)
    made = find(name)(image).image
    assert (made.mode, made.size) == ("RGB", image.size)
    assert made.tobytes() == find(name)(load_image(image)).image.tobytes(), "as its RGB picture"
    assert levels(made).max() > 100
    assert np.ptp(levels(made)) > 60


@ALL
def test_a_map_of_a_flat_picture_is_refused_with_what_to_do(name: str) -> None:
    for flat in (Image.new("RGB", (90, 70), "teal"), Image.new("1", (8, 8), 1), Image.new("CMYK", (100, 60))):
        with pytest.raises(EmptyControlMap, match=r"steer nothing: .+") as refused:
            find(name)(flat)
        assert isinstance(refused.value, InvalidRequest), "whoever calls can mend it"


@ALL
@pytest.mark.filterwarnings("error")
def test_two_threads_at_once(name: str) -> None:
    pictures = [photo("coffee").resize((160, 100)), photo("astronaut").resize((120, 120))]
    alone = [find(name)(image).image.tobytes() for image in pictures]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda image: find(name)(image).image.tobytes(), pictures * 8))
    assert together == alone * 8


def test_a_working_copy_keeps_its_proportions_and_repeats_its_rim() -> None:
    copy = working_copy(photo("rocket").resize((1000, 20)), 768)
    work = padded(copy)
    assert (work.width, work.height) == (768, 15)
    assert work.pixels.shape == (64, 768, 3)
    assert (work.pixels[15:] == work.pixels[14]).all()
    assert (work.pixels[:15] == np.asarray(copy)).all()
    assert padded(Image.new("RGB", (8, 8))).side == 64
    assert padded(Image.new("RGB", (128, 128))).pixels.shape == (128, 128, 3), "nothing to add"


def test_the_table_has_every_tool_of_control_maps() -> None:
    listed = {row.tool for row in CONTROL if row.tool}
    assert {tool.name for tool in tools(["control"])} <= listed
    for row in CONTROL:
        if row.tool:
            needs = find(row.tool).needs
            assert bool(needs) == bool(row.weights), row.tool
            for need in needs:
                assert need.remedy.split("`")[1].split()[2] in row.weights, row.tool
            assert row.kind in {"", *find("generate_from_control").pictures, "straight_lines", "shuffle"}
        else:
            assert "does not work" in row.note
            assert find(row.note.split("`")[1]), "what to use instead"


def test_what_is_missing_is_said_in_one_line() -> None:
    said = unavailable()
    assert not set(SIMPLE) & said.keys()
    for row in CONTROL:
        if row.tool and row.weights and row.tool in said:
            assert "hf download" in said[row.tool]
            assert "\n" not in said[row.tool]
            with pytest.raises(ToolUnavailable, match="needs the"):
                find(row.tool)(shapes())
    assert "`hf download lllyasviel/Annotators sk_model.pth sk_model2.pth`" in find("lineart").needs[0].remedy


def test_a_controlnet_aux_that_cannot_be_imported_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "controlnet_aux.py").write_text("raise AttributeError(\"module 'mediapipe' has no 'solutions'\")")
    (tmp_path / "ControlNetHED.pth").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "controlnet_aux", raising=False)
    use_model("hed", tmp_path)
    try:
        with pytest.raises(ToolUnavailable, match=r"cannot be imported here .*mediapipe.* install versions"):
            find("soft_edge_hed")(shapes())
    finally:
        use_model("hed", None)


def test_what_is_printed_is_hidden_in_one_thread_only(capsys: pytest.CaptureFixture[str]) -> None:
    def other() -> None:
        print("from another thread")

    stream = sys.stdout
    with quietly():
        print("Loading base model ()...")
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with quietly():
            print("and more")
        print("and yet more")
    print("after it")
    assert capsys.readouterr().out == "from another thread\nafter it\n"
    assert sys.stdout is stream


def test_a_person_of_coco_has_a_neck_between_the_shoulders() -> None:
    places = [(number / 20, 0.5) for number in range(17)]
    body = dict(zip(JOINTS, body_of_coco(places), strict=True))
    assert {name: body[name] for name in COCO} == dict(zip(COCO, places, strict=True))
    assert body["neck"] == ((5 / 20 + 6 / 20) / 2, 0.5)
    assert body_of_coco([None if name == "left_shoulder" else (0.1, 0.1) for name in COCO])[1] is None


def test_a_skeleton_has_the_colours_of_its_joints() -> None:
    spread = [(0.1 + 0.045 * number, 0.2 + 0.6 * (number % 2)) for number in range(18)]
    canvas = draw_people([Person(tuple(spread))], 400, 300)
    assert canvas.shape == (300, 400, 3)
    assert canvas[int(spread[0][1] * 300), int(spread[0][0] * 400)].tolist() == [255, 0, 0], "the nose"
    assert canvas[int(spread[17][1] * 300), int(spread[17][0] * 400)].tolist() == [255, 0, 85], "the left ear"
    alone = draw_people([Person(tuple((0.5, 0.5) if number == 4 else None for number in range(18)))], 100, 100)
    assert {tuple(color) for color in alone.reshape(-1, 3)} == {(0, 0, 0), (170, 255, 0)}, "no bone, one joint"
    assert not draw_people([], 10, 10).any()
