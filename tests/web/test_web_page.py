"""The page in a real browser, with the model that ships."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from visiting import LONG, RED, TWO_STEPS, Visit, served, until

from genllava import GenLlavaPipeline
from genllava_agent import VisualAgent
from genllava_agent.create import as_tools
from genllava_agent.deciders.task_tokens import TaskTokens
from genllava_agent.demo import example_picture
from genllava_tools import visual_tools

pytestmark = pytest.mark.slow
Open = Callable[..., Visit]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A drawing of a red circle, a blue square and a green triangle, as a file."""
    path = tmp_path / "drawing.png"
    example_picture().save(path)
    return path


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def color_at(visit: Visit, name: str, x: float, y: float) -> tuple[int, int, int]:
    """The colour at a place of a picture, in parts of it, as the page's own address gives it."""
    where = visit.page.locator(f"#pictures .strip button[data-image={name}] img").get_attribute("src")
    answer = visit.page.request.get(f"{visit.page.url.rstrip('/')}{where}")
    image = Image.open(io.BytesIO(answer.body())).convert("RGB")
    color = image.getpixel((round(x * image.width), round(y * image.height)))
    assert isinstance(color, tuple)
    return (int(color[0]), int(color[1]), int(color[2]))


def is_red(color: tuple[int, int, int]) -> bool:
    return color[0] > 150 and color[1] < 110 and color[2] < 110


def test_a_turn_with_two_steps_shows_previews_before_the_picture(visit: Open) -> None:
    her = visit()
    assert "circles, squares, triangles" in her.page.inner_text("#chat")  # what this model can do
    her.shot("start")
    her.ask(TWO_STEPS)
    assert "circle" in her.answered()
    assert her.page.evaluate("window.seen") == ["preview", "made"]
    steps = her.page.locator("#steps li")
    assert steps.count() == 2
    assert re.search(r"Draw\s*\d+% sure", steps.nth(0).inner_text())
    assert "a large red circle" in steps.nth(0).locator("dd.plan").inner_text()
    assert her.pictures() == ["image_1"]
    assert is_red(color_at(her, "image_1", 0.17, 0.17))
    alt = her.page.locator("#chat img").last.get_attribute("alt")
    assert alt is not None
    assert "red circle" in alt
    her.shot("turn")
    her.page.locator("#chat a img").last.click()
    full = her.page.locator("dialog.full img")
    full.wait_for()
    assert full.evaluate("image => image.naturalWidth") == 128
    her.page.keyboard.press("Escape")
    full.wait_for(state="detached")


def test_an_uploaded_picture_is_asked_about(visit: Open, picture: Path) -> None:
    her = visit()
    her.attach(picture)
    her.page.locator("#attached li img").wait_for()
    her.ask("How many shapes are there?")
    assert "three" in her.answered().lower()
    assert her.page.locator("#attached li").count() == 0
    assert her.pictures() == ["image_1"]


def test_a_photograph_is_taken_in(visit: Open, tmp_path: Path) -> None:
    photo = Image.effect_mandelbrot((900, 600), (-2, -1, 1, 1), 60).convert("RGB")
    ImageDraw.Draw(photo).ellipse((300, 200, 500, 400), fill=(200, 150, 90))
    photo.save(tmp_path / "photo.jpg", quality=85)
    her = visit()
    her.attach(tmp_path / "photo.jpg")
    her.page.locator("#attached li img").wait_for()
    her.ask("what is this?")
    assert her.answered()  # this model says that it cannot read it
    assert her.pictures() == ["image_1"]
    assert her.page.locator("#pictures .whole").evaluate("image => [image.naturalWidth, image.naturalHeight]") == [
        900, 600,
    ]  # fmt: skip


def test_bad_files_are_told_and_the_page_goes_on(visit: Open, tmp_path: Path, picture: Path) -> None:
    with zipfile.ZipFile(tmp_path / "holiday.png", "w") as made:
        made.writestr("a.txt", "no picture")
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(200_000_000)
    her = visit()
    fault = her.page.locator("#attached .fault")
    her.attach(tmp_path / "holiday.png")
    until(lambda: "holiday.png:" in fault.inner_text())
    her.attach(tmp_path / "huge.png")
    until(lambda: "too large" in fault.inner_text())
    assert her.page.locator("#attached li").count() == 0
    her.attach(picture)
    her.page.locator("#attached li img").wait_for()
    assert fault.inner_text() == ""
    her.attach(tmp_path / "holiday.png")
    until(lambda: "holiday.png:" in fault.inner_text())
    assert her.page.locator("#attached li").count() == 1
    her.page.click("#attached li button")
    assert her.page.locator("#attached li").count() == 0


def test_a_click_says_what_is_meant(visit: Open, picture: Path) -> None:
    her = visit()
    her.attach(picture)
    her.page.locator("#attached li img").wait_for()
    her.ask("How many shapes are there?")
    her.answered()
    over = her.page.locator("#pictures .over")
    size = over.bounding_box()
    assert size is not None
    over.click(position={"x": size["width"] * 0.5, "y": size["height"] * 0.5})  # the blue square
    assert "what you clicked in image_1" in her.page.inner_text("#pictures .region")
    her.ask("what is this?")
    assert "square" in her.answered()
    assert "about what is at 50%, 50% of image_1" in her.page.inner_text("#chat")
    over.click(position={"x": size["width"] * 0.8, "y": size["height"] * 0.8})
    her.shot("region")
    her.page.click("#pictures [data-mode=box]")
    her.page.mouse.move(0, 0)
    over.hover(position={"x": 3, "y": 3})
    her.page.mouse.down()
    over.hover(position={"x": size["width"] * 0.4, "y": size["height"] * 0.4})
    her.page.mouse.up()
    assert "a box of image_1" in her.page.inner_text("#pictures .region")
    her.ask("what is this?")
    assert "circle" in her.answered()


def test_a_brush_paints_a_mask_and_one_of_another_size_is_refused(visit: Open, picture: Path, tmp_path: Path) -> None:
    her = visit()
    her.attach(picture)
    her.page.locator("#attached li img").wait_for()
    her.ask("How many shapes are there?")
    her.answered()
    Image.new("L", (300, 20), 255).save(tmp_path / "mask.png")
    her.page.set_input_files("#pictures .mask-file", tmp_path / "mask.png")
    until(lambda: "you marked" in her.page.inner_text("#pictures .region"))
    her.page.fill("#text textarea", "what is this?")
    her.click("send")
    assert "must have the same proportions" in her.notice()
    assert her.page.input_value("#text textarea") == "what is this?"
    her.page.click("#pictures [data-mode=mask]")
    over = her.page.locator("#pictures .over")
    size = over.bounding_box()
    assert size is not None
    for row in (0.43, 0.47, 0.5, 0.53):
        over.hover(position={"x": size["width"] * 0.42, "y": size["height"] * row})
        her.page.mouse.down()
        over.hover(position={"x": size["width"] * 0.58, "y": size["height"] * row})
        her.page.mouse.up()
    her.ask("what is this?")
    assert "square" in her.answered()


def test_an_edit_waits_for_approval_in_buttons_and_in_words(visit: Open) -> None:
    her = visit()
    her.ask(RED)
    her.answered()
    her.page.get_by_label("editing").check()
    her.ask("make it green")
    her.page.locator("#approve").wait_for()
    assert "Should I edit a picture?" in her.page.inner_text("#question")
    her.shot("approval")
    her.click("approve")
    until(lambda: her.pictures() == ["image_1", "image_2"])
    her.answered()
    her.ask("make it blue")
    her.page.locator("#approve").wait_for()
    her.ask("no")
    her.page.locator("#approve").wait_for(state="hidden")
    assert "did not edit" in her.answered()
    her.ask("make it blue")
    her.page.locator("#approve").wait_for()
    her.page.fill("#text textarea", "make it yellow")
    her.click("instead")
    until(lambda: len(her.pictures()) == 3)
    red, green, blue = color_at(her, "image_3", 0.17, 0.17)
    assert red > 150
    assert green > 130
    assert blue < 120


def test_stop_ends_a_turn_within_a_step(visit: Open) -> None:
    her = visit()
    her.ask(LONG)
    her.page.locator("#steps img.preview").wait_for()
    her.click("stop")
    assert "nothing of this turn is kept" in her.notice()
    her.page.locator("#send").wait_for()
    assert her.pictures() == []
    assert her.page.input_value("#text textarea") == LONG


def test_ways_back(visit: Open) -> None:
    her = visit()
    her.ask(RED)
    her.answered()
    her.ask("make it green")
    her.answered()
    assert her.pictures() == ["image_1", "image_2"]
    her.click("lineage")
    her.page.locator("#tree img.lineage").wait_for()
    her.click("undo")
    until(lambda: her.pictures() == ["image_1"])
    her.click("redo")
    until(lambda: her.pictures() == ["image_1", "image_2"])
    before = color_at(her, "image_2", 0.9, 0.9)
    her.click("retry")
    her.page.locator("#stop").wait_for()
    her.answered()
    assert her.pictures() == ["image_1", "image_2"]
    assert before is not None
    her.click("branch")
    until(lambda: her.page.locator("#threads label").count() == 2)
    assert "branch" in her.notice()
    her.click("undo")
    until(lambda: her.pictures() == ["image_1"])
    her.page.locator("#threads label", has_not_text="(branch)").click()
    until(lambda: her.pictures() == ["image_1", "image_2"])


def test_threads_have_titles_and_a_reload_comes_back(visit: Open) -> None:
    her = visit()
    her.ask(RED)
    her.answered()
    assert her.page.locator("#threads label").inner_text() == RED
    her.page.fill("#title input, #title textarea", "A circle & <b>more</b>")
    her.click("rename")
    until(lambda: her.page.locator("#threads label").inner_text() == "A circle & <b>more</b>")
    her.page.reload()
    until(lambda: her.pictures() == ["image_1"])
    assert RED in her.page.inner_text("#chat")
    assert her.page.locator("#threads input:checked").count() == 1
    her.click("new")
    until(lambda: her.pictures() == [])
    her.page.locator("#threads label").click()
    until(lambda: her.pictures() == ["image_1"])
    her.page.once("dialog", lambda dialog: dialog.accept())
    her.click("delete")
    until(lambda: her.page.locator("#threads label").count() == 0)
    assert "deleted" in her.notice()


def test_two_people_are_apart_and_wait_for_each_other(visit: Open) -> None:
    her, him = visit(), visit()
    her.ask(LONG)
    her.page.locator("#steps img.preview").wait_for()
    him.ask("draw a small blue star")
    until(lambda: "Waiting: 1 turn before this one" in him.page.inner_text("#steps"))
    her.leave()  # a closed tab cancels its turn: his comes at once
    him.answered()
    assert him.pictures() == ["image_1"]
    assert him.page.locator("#threads label").all_inner_texts() == ["draw a small blue star"]
    her = visit()
    assert her.page.locator("#threads label").count() == 0
    where = him.page.locator("#pictures .strip img").get_attribute("src")
    address = him.page.url.rstrip("/")
    assert him.page.request.get(f"{address}{where}").status == 200
    assert her.page.request.get(f"{address}{where}").status == 404


def test_a_phone_in_the_dark(visit: Open) -> None:
    her = visit(viewport={"width": 390, "height": 844}, color_scheme="dark")
    her.ask(RED)
    her.answered()
    assert her.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert her.page.evaluate("document.body.classList.contains('dark')")
    her.shot("phone")


def test_what_people_type_runs_nothing(visit: Open) -> None:
    her = visit()
    her.ask('<img src="x" onerror="window.hurt = 1"><script>window.hurt = 1</script> [x](javascript:window.hurt=1)')
    her.answered()
    assert her.page.evaluate("window.hurt") is None
    assert her.page.locator("#chat a[href^=javascript]").count() == 0
    file = {"path": "http://127.0.0.1:9/x.png", "meta": {"_type": "gradio.FileData"}}
    join = f"{her.page.url.rstrip('/')}/gradio_api/queue/join"
    answer = her.page.request.post(join, data={"data": [file], "fn_index": 0, "session_hash": "x"})
    assert answer.status == 400


def test_the_examples_work_with_the_model(visit: Open) -> None:
    her = visit()
    tries = her.page.locator("#examples button")
    texts = tries.all_inner_texts()
    assert len(texts) == 5
    tries.nth(0).click()
    until(lambda: her.page.input_value("#text textarea") == texts[0])
    her.click("send")
    her.page.locator("#stop").wait_for()
    her.answered()
    for text in texts[1:]:
        her.ask(text)
        her.answered()
    assert her.page.locator("#chat").get_by_text("There are two shapes").count() == 1
    assert len(her.pictures()) == 4


def test_what_is_meant_is_chosen_in_buttons_and_in_words(visit: Open, pipeline: GenLlavaPipeline) -> None:
    with VisualAgent(pipeline, store=":memory:", margin=1.0) as unsure, served(unsure) as address:
        her = visit(address=address)
        her.ask(RED)
        her.page.locator("#question button:visible", has_text="Draw a new picture").click()
        until(lambda: her.pictures() == ["image_1"])
        her.answered()
        her.ask("make it green")
        her.page.locator("#question button:visible", has_text="Edit the picture").wait_for()
        her.ask("edit")
        until(lambda: her.pictures() == ["image_1", "image_2"])
        her.leave()


def test_tools_are_shown_with_what_they_are_given_and_give(visit: Open, pipeline: GenLlavaPipeline) -> None:
    tools = as_tools(visual_tools(["crop"]))
    decider = TaskTokens(tools, forced=[("crop", {"image": "image_1", "box": [0, 0, 0.5, 0.5]})])
    agent = VisualAgent(pipeline, store=":memory:", tools=list(tools.values()), decider=decider)
    with agent, served(agent) as address:
        her = visit(address=address)
        her.attach({"name": "drawing.png", "mimeType": "image/png", "buffer": png(example_picture())})
        her.page.locator("#attached li img").wait_for()
        her.page.get_by_label("calling a tool").check()
        her.ask("crop it")
        her.page.locator("#approve").wait_for()
        assert "Should I call crop(" in her.page.inner_text("#question")
        assert not her.page.locator("#instead").is_visible()
        her.click("approve")
        until(lambda: her.pictures() == ["image_1", "image_2"])
        call = her.page.locator("#steps li", has_text="Call crop").first
        assert "[0, 0, 0.5, 0.5]" in call.inner_text()
        assert call.locator("dd.result").inner_text()
        her.leave()


def test_a_login_opens_the_page(visit: Open, agent: VisualAgent) -> None:
    with served(agent, logins=("ann:one",)) as address:
        her = visit(address=address, http_credentials={"username": "ann", "password": "one"})
        her.ask("draw a small blue star")
        her.answered()
        elsewhere = visit(address=address, http_credentials={"username": "ann", "password": "one"})
        assert elsewhere.page.locator("#threads label").all_inner_texts() == ["draw a small blue star"]
        assert elsewhere.page.request.get(f"{address}/config", headers={"Authorization": "Basic eDp5"}).status == 401
        her.leave()
        elsewhere.leave()
