"""The command line: bad input is named in one line before weights are read; files are written whole."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from person import command
from PIL import Image

import genllava
from genllava.errors import CheckpointError, InvalidRequest, NonFiniteError, NotEnoughMemory
from genllava.pipeline_output import Drawing, Understanding
from genllava_agent import loading
from genllava_agent.files import check_picture_output, write_bytes

REPOSITORY = Path(__file__).resolve().parents[2]
ROOTS = [str(REPOSITORY), str(REPOSITORY / "agent"), str(REPOSITORY / "finetune")]
HEAVY = {"torch", "transformers", "diffusers", "langgraph"}

PROBE = f"""
import sys
sys.path[:0] = {ROOTS!r}
code = 0
try:
    from genllava_agent.cli import main
    main()
except SystemExit as stop:
    code = stop.code
print("HEAVY", *sorted({HEAVY!r} & set(sys.modules)))
sys.exit(code)
"""


def run(*args: str | bytes, **environment: str) -> subprocess.CompletedProcess[str]:
    command: list[str | bytes] = [sys.executable, "-c", PROBE, *args]
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "GENLLAVA_CONFIG": "", **environment},
    )


@pytest.fixture(autouse=True)
def _no_configuration_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where this user has one."""
    monkeypatch.setenv("GENLLAVA_CONFIG", "")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures that are fine and files that are not."""
    folder = tmp_path_factory.mktemp("files")
    Image.effect_noise((96, 96), 60).convert("RGB").save(folder / "fine.png")
    Image.effect_noise((96, 96), 60).convert("RGB").save(folder / "fine.jpg")
    whole = (folder / "fine.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    photo = (folder / "fine.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(photo[: len(photo) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not a picture")
    (folder / "vector.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    Image.new("1", (11_000, 11_000)).save(folder / "large.png")
    with (folder / "heavy.png").open("wb") as file:
        file.write(whole)
        file.truncate(200_000_000)
    os.mkfifo(folder / "pipe.png")
    (folder / "out.png").write_bytes(b"precious")
    (folder / "unfinished").mkdir()
    (folder / "link.png").symlink_to("fine.png")
    Image.new("RGB", (1, 5_000)).save(folder / "thin.png")
    (folder / "folder.png").mkdir()
    return folder


SEE = ("understand", "{files}/fine.png", "How many?")
DRAW = ("generate", "a red circle", "-o", "{files}/out.png")
CHANGE = ("edit", "{files}/fine.png", "make it red", "-o", "{files}/out.png")

BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "missing file": (("understand", "{files}/none.png", "How many?"), "none.png"),
    "not an image": (("understand", "{files}/text.png", "How many?"), "text.png"),
    "unsupported format": (("understand", "{files}/vector.svg", "How many?"), "vector.svg"),
    "no bytes": (("understand", "{files}/empty.png", "How many?"), "empty.png"),
    "truncated png": (("understand", "{files}/truncated.png", "How many?"), "truncated.png"),
    "truncated jpeg": (("edit", "{files}/truncated.jpg", "x", "-o", "{files}/out.png"), "truncated.jpg"),
    "bomb": (("understand", "{files}/bomb.png", "How many?"), "bomb.png"),
    "too many bytes": (("understand", "{files}/heavy.png", "How many?"), "heavy.png"),
    "url": (("understand", "https://example.com/a.png", "How many?"), "URL"),
    "file url": (("understand", "file:///etc/passwd", "How many?"), "URL"),
    "folder": (("understand", "{files}", "How many?"), "folder"),
    "pipe": (("understand", "{files}/pipe.png", "How many?"), "regular file"),
    "device": (("understand", "/dev/zero", "How many?"), "regular file"),
    "long name": (("understand", "x" * 5000, "How many?"), "name too long"),
    "empty question": (("understand", "{files}/fine.png", ""), "empty"),
    "empty prompt": (("generate", "", "-o", "{files}/out.png"), "empty"),
    "blank prompt": (("generate", " \n\t", "-o", "{files}/out.png"), "empty"),
    "long prompt": (("generate", "red " * 25_000, "-o", "{files}/out.png"), "100,000 characters"),
    "long instruction": (("edit", "{files}/fine.png", "x" * 100_000, "-o", "{files}/out.png"), "characters"),
    "unknown model": ((*SEE, "--model", "no-such-model"), "no-such-model"),
    "model without index": ((*SEE, "--model", "{files}/unfinished"), "model_index.json"),
    "no model folder": ((*DRAW, "--model", "/none/such/model"), "/none/such/model"),
    "unknown device": ((*DRAW, "--device", "abacus"), "abacus"),
    "no output": (("generate", "a red circle"), "--output"),
    "output without folder": (("generate", "a red circle", "-o", "{files}/none/out.png"), "no folder"),
    "output is a folder": (("generate", "a red circle", "-o", "{files}/folder.png/"), "folder.png"),
    "output with no format": (("generate", "a red circle", "-o", "{files}/out.txt"), ".png"),
    "output not writable": (("generate", "a red circle", "-o", "/proc/out.png"), "/proc/out.png"),
    "output is a pipe": (("generate", "a red circle", "-o", "{files}/pipe.png"), "regular file"),
    "negative seed": ((*DRAW, "--seed", "-1"), "--seed"),
    "fractional seed": ((*DRAW, "--seed", "1.5"), "--seed"),
    "seed of 65 bits": ((*DRAW, "--seed", str(2**64)), "--seed"),
    "no steps": ((*DRAW, "--steps", "0"), "--steps"),
    "steps in words": ((*DRAW, "--steps", "many"), "--steps"),
    "too many steps": ((*CHANGE, "--steps", "1000000"), "--steps"),
    "guidance not a number": ((*DRAW, "--guidance", "nan"), "--guidance"),
    "negative guidance": ((*CHANGE, "--image-guidance", "-1"), "--image-guidance"),
    "unknown command": (("paint",), "paint"),
    "unknown option": ((*DRAW, "--sead", "1"), "--sead"),
    "missing argument": (("understand",), "IMAGE"),
    "demo output": (("demo", "-o", "{files}/none/sheet.png"), "no folder"),
    "demo model": (("demo", "--model", "nope", "-o", "{files}/sheet.png"), "nope"),
    "unknown split": (("evaluate", "--split", "train"), "train"),
    "unknown bridge": (("evaluate", "--bridge", "brush"), "brush"),
    "too many pixels for a warning": (("understand", "{files}/large.png", "How many?"), "large.png"),
    "no examples": (("evaluate", "--n", "0"), "--n"),
    "report without folder": (("evaluate", "--json", "{files}/none/report.json"), "no folder"),
    "finetune into a file": (("finetune", "shapes", "--output", "{files}/fine.png"), "not a folder"),
    "info on nothing": (("info", "--model", "nope"), "nope"),
    "info on nothing, by its name": (("info", "nope"), "nope"),
    "info on two": (("info", "a/b", "--model", "a/c"), "once"),
    "unknown dtype": ((*DRAW, "--dtype", "int3"), "bfloat16"),
    "unknown decoder": ((*DRAW, "--model", "a/b", "--decoder", "nope"), "unknown decoder 'nope'"),
    "decoder without index": ((*DRAW, "--model", "a/b", "--editor", "{files}/unfinished"), "saved editor"),
    "decoder without a model": ((*DRAW, "--decoder", "a/b"), "--model"),
    "the shipped model with a decoder": ((*DRAW, "--model", "shipped", "--decoder", "a/b"), "--model"),
    "no height": ((*DRAW, "--height", "0"), "--height"),
    "the output is the source": (
        ("edit", "{files}/fine.png", "make it red", "-o", "{files}/../{folder}/fine.png"),
        "--overwrite",
    ),
    "the output is behind a link": (
        ("edit", "{files}/link.png", "make it red", "-o", "{files}/fine.png"),
        "itself",
    ),
    "nothing on standard input": (("understand", "-", "How many?"), "standard input: the file is empty"),
    "chat with a picture from standard input": (("chat", "-i", "-"), "name of a file"),
    "one by five thousand": (("understand", "{files}/thin.png", "How many?"), "too long and thin"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case: str, files: Path) -> None:
    args, named = BAD[case]
    done = run(*(arg.replace("{files}", str(files)).replace("{folder}", files.name) for arg in args))
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert len(lines[0]) < 500
    assert named.lower() in lines[0].lower()
    assert done.stdout == "HEAVY\n", "found only after a heavy import, or something was printed"
    assert (files / "out.png").read_bytes() == b"precious"
    assert not list(files.glob("*.part"))
    assert not list(files.glob(".*.part"))


def test_text_that_is_not_unicode_is_bad_input(files: Path) -> None:
    done = run("generate", b"a red \xff circle", "-o", str(files / "out.png"))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "UTF-8" in done.stderr


@pytest.mark.slow
def test_a_suite_that_does_not_exist_is_bad_input() -> None:
    done = run("evaluate", "--suite", "riddles")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "riddles" in done.stderr


@pytest.mark.slow
def test_a_hub_model_that_cannot_be_reached_is_bad_input(files: Path) -> None:
    done = run("understand", str(files / "fine.png"), "How many?", "--model", "no-one/none", HF_HUB_OFFLINE="1")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "no-one/none" in done.stderr


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    def seconds(*command: str) -> float:
        best = 60.0
        for _ in range(7):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)  # of processors: others may be busy on this machine
            best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return best

    slack = max(1.0, seconds("-c", "pass") / 0.03)  # on a busy or slow machine everything takes longer
    script = f"import sys; sys.path[:0] = {ROOTS!r}; from genllava_agent.cli import main; main()"
    assert seconds("-c", script, "--help") < 0.15 * slack
    done = run("--help")
    assert done.stdout.endswith("HEAVY\n")
    for name in ("demo", "understand", "generate", "edit", "chat", "evaluate", "finetune", "info"):
        assert name in done.stdout
        assert run(name, "--help").returncode == 0


def test_without_a_command_it_shows_the_help_and_with_version_the_version() -> None:
    assert "understand" in command([]).stdout
    assert genllava.__version__ in command(["--version"]).stdout


def test_ctrl_c_is_one_line_and_130(files: Path) -> None:
    code = f"""
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
sys.path[:0] = {ROOTS!r}
from genllava_agent import cli, loading
def wait():
    print("waiting", flush=True)
    time.sleep(60)
loading.load_pipeline = wait
cli.main()
"""
    command = [sys.executable, "-c", code, "understand", str(files / "fine.png"), "How many?"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "interrupted\n"


class FakePipeline:
    """Answers without a model; what it was asked is kept."""

    def __init__(self, draws: bool = True) -> None:
        self.draws = draws
        self.unsure = ""
        self.calls: list[dict[str, Any]] = []
        self.loaded: dict[str, str] = {}

    def understand(self, image: Image.Image, question: str) -> Any:
        assert image.mode == "RGB"
        return Understanding("There are two shapes.", {"[I2T]": 1.0}, seen="image 1: x", unsure=self.unsure)

    def generate(self, prompt: str, callback_on_step_end: Callable[..., None], **options: Any) -> Any:
        self.calls.append(options)
        assert callback_on_step_end(self, 0, 999, {"latents": 1}) == {"latents": 1}
        if not self.draws:
            return Drawing(None, "I can only draw shapes.", None, 3)
        image = Image.new("RGB", (8, 8), "red")
        notes = ("the prompt was cut off",)
        return Drawing(image, None, "a large red circle", 3, decoder="FluxPipeline", notes=notes, unsure=self.unsure)

    def edit(self, image: Image.Image, instruction: str, **options: Any) -> Any:
        return self.generate(instruction, **options)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePipeline]:
    fake = FakePipeline()

    def load(**given: str) -> FakePipeline:
        fake.loaded = given
        return fake

    monkeypatch.setattr(loading, "load_pipeline", load)
    return fake


def test_generate_writes_the_picture_and_passes_only_what_was_asked(pipeline: FakePipeline, tmp_path: Path) -> None:
    target = tmp_path / "drawing.png"
    done = command(["generate", "a red circle", "-o", str(target), "--seed", "3"])
    assert done.exit_code == 0
    assert "a large red circle (seed 3" in done.stdout
    assert Image.open(target).size == (8, 8)
    assert pipeline.calls == [{"seed": 3}]
    assert done.stderr == "note: the prompt was cut off\n"
    assert [path.name for path in tmp_path.iterdir()] == ["drawing.png"]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.webp"])
def test_edit_writes_the_format_of_the_name(pipeline: FakePipeline, tmp_path: Path, files: Path, name: str) -> None:
    args = ["edit", str(files / "fine.png"), "make it red", "-o", str(tmp_path / name), "--json"]
    done = command([*args, "--steps", "4", "--guidance", "2", "--image-guidance", "1.5"])
    report = json.loads(done.stdout)
    assert (report["seed"], report["plan"], report["text"]) == (3, "a large red circle", None)
    assert (report["decoder"], report["notes"]) == ("FluxPipeline", ["the prompt was cut off"])
    assert pipeline.calls == [{"num_inference_steps": 4, "guidance_scale": 2.0, "image_guidance_scale": 1.5}]
    assert Image.open(tmp_path / name).size == (8, 8)


@pytest.mark.parametrize("as_json", [False, True])
def test_when_the_model_declines_its_words_are_printed_and_nothing_is_written(
    pipeline: FakePipeline, tmp_path: Path, as_json: bool
) -> None:
    pipeline.draws = False
    args = ["generate", "a dog", "-o", str(tmp_path / "dog.png"), *(["--json"] if as_json else [])]
    done = command(args)
    assert done.exit_code == 1
    said = json.loads(done.stdout)["text"] if as_json else done.stdout.strip()
    assert said == "I can only draw shapes."
    assert list(tmp_path.iterdir()) == []


def test_understand_prints_the_answer(pipeline: FakePipeline, files: Path) -> None:
    args = ["understand", str(files / "fine.jpg"), "How many shapes?"]
    assert command(args).stdout == "There are two shapes.\n"
    report = json.loads(command([*args, "--json"]).stdout)
    assert report["answer"] == "There are two shapes."
    assert report["task_probabilities"] == {"[I2T]": 1.0}
    assert report["seen"] == "image 1: x"
    pipeline.unsure = "it does not look like shapes"
    done = command(args)
    assert (done.stdout, done.stderr) == ("There are two shapes.\n", "note: it does not look like shapes\n")
    assert json.loads(command([*args, "--json"]).stdout)["unsure"] == pipeline.unsure


def test_options_of_the_decoder_and_of_loading(pipeline: FakePipeline, tmp_path: Path) -> None:
    args = ["generate", "a cat", "-o", str(tmp_path / "a.png"), "--negative-prompt", "blur", "--height", "512"]
    parts = ["--model", "own/reader", "--decoder", "own/painter", "--editor", "own/editor", "--dtype", "bfloat16"]
    done = command([*args, "--width", "768", *parts, "--device", "cpu"])
    assert done.exit_code == 0
    assert pipeline.calls == [{"negative_prompt": "blur", "height": 512, "width": 768}]
    assert pipeline.loaded == {
        "model": "own/reader",
        "device": "cpu",
        "decoder": "own/painter",
        "editor": "own/editor",
        "dtype": "bfloat16",
    }


def test_a_picture_from_standard_input(pipeline: FakePipeline, tmp_path: Path, files: Path) -> None:
    data = (files / "fine.png").read_bytes()
    done = command(["understand", "-", "How many shapes?"], input=data)
    assert done.stdout == "There are two shapes.\n"
    target = tmp_path / "a.png"
    assert command(["edit", "-", "make it red", "-o", str(target)], input=data).exit_code == 0
    assert Image.open(target).size == (8, 8)


def test_a_picture_through_a_pipe(files: Path) -> None:
    command = [sys.executable, "-c", PROBE, "understand", "-", "How many?"]
    for data, said in (((files / "fine.png").read_bytes()[:900], "damaged"), (b"hello", "not a PNG")):
        done = subprocess.run(command, input=data, capture_output=True, check=False)
        assert (done.returncode, done.stderr.decode().count("\n")) == (2, 1)
        assert done.stderr.startswith(b"error: standard input: ")
        assert said in done.stderr.decode()


def test_the_source_is_replaced_only_if_that_is_said(pipeline: FakePipeline, tmp_path: Path, files: Path) -> None:
    source = tmp_path / "a.png"
    source.write_bytes((files / "fine.png").read_bytes())
    args = ["edit", str(source), "make it red", "-o", str(source)]
    assert command(args).exit_code == 2
    assert source.read_bytes() == (files / "fine.png").read_bytes()
    assert command([*args, "--overwrite"]).exit_code == 0
    assert Image.open(source).size == (8, 8)
    other = tmp_path / "b.png"
    other.write_bytes(b"old")
    args[-1] = str(other)
    assert command(args).exit_code == 0, "other files are replaced"


def test_what_was_left_out_of_a_picture_is_said(pipeline: FakePipeline, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    done = command(["understand", str(tmp_path / "a.gif"), "How many shapes?"])
    assert done.stdout == "There are two shapes.\n"
    assert done.stderr == "note: an animation: only its first frame is used\n"


def test_threads_wait_asleep_unless_the_user_says_otherwise() -> None:
    code = f"import sys, os; sys.path[:0] = {ROOTS!r}; from genllava_agent import cli; "
    code += "sys.argv[1:] = ['--version']\ntry: cli.main()\nfinally: print(os.environ.get('OMP_WAIT_POLICY'))"
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    cases = (({}, "PASSIVE"), ({"OMP_NUM_THREADS": "1"}, "None"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"))
    for given, expected in cases:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**mine, **given})
        assert done.stdout.endswith(f"{expected}\n")


def test_info_says_what_a_model_is_made_of() -> None:
    done = command(["info"])
    assert done.exit_code == 0
    for words in ("decoder/unet", "UNet2DConditionModel", "15.56 M", "apache-2.0", "128 MB in float32", "in 4-bit"):
        assert words in done.stdout
    report = json.loads(command(["info", "shipped", "--json"]).stdout)
    assert report["memory"]["bfloat16"] == 2 * sum(part["parameters"] for part in report["parts"]) == 64_089_488
    shipped = str(REPOSITORY / "genllava" / "shipped")
    args = ["info", shipped, "--decoder", f"{shipped}/decoder", "--json"]
    report = json.loads(command(args).stdout)
    names = [part["part"] for part in report["parts"]]
    assert {"decoder/unet", "vlm"} <= set(names)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CheckpointError("two\nlines"), 2),
        (NotEnoughMemory("28.0 GB"), 2),
        (NonFiniteError("nan in the latents"), 1),
        (RuntimeError("a\nfault"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_no_error_shows_a_traceback(
    error: BaseException, code: int, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(loading, "load_pipeline", fail)
    done = command(["understand", str(files / "fine.png"), "How many?"])
    assert done.exit_code == code
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_during_a_lazy_import_is_still_ctrl_c(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interrupt:
            raise RuntimeError("failed to import") from interrupt

    monkeypatch.setattr(loading, "load_pipeline", fail)
    assert command(["understand", str(files / "fine.png"), "How many?"]).exit_code == 130


@pytest.mark.slow
def test_nobody_reads_any_more() -> None:
    code = f"import sys; sys.path[:0] = {ROOTS!r}; from genllava_agent import cli; cli.main(['info', '--json'])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert (process.stderr.read(), process.wait(60)) == (b"", 1)


def test_characters_that_the_terminal_lacks(files: Path) -> None:
    done = run("understand", str(files / "нет.png"), "How many?", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (2, f"error: cannot read {files}/???.png: No such file or directory\n")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InvalidRequest, match="No space left"):
        write_bytes(target, b"new" * 1000)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.png", b"old")]


def test_writing_follows_links_and_keeps_the_mode(tmp_path: Path) -> None:
    target, link = tmp_path / "real.png", tmp_path / "link.png"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_bytes(check_picture_output(link), b"new")
    assert link.is_symlink()
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", 0o640)
