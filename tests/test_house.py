"""The rules of the house: what the folders, the wheel and the README promise."""

from __future__ import annotations

import ast
import graphlib
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from genllava_agent.cli import main
from genllava_finetune.worlds.shapes.parser import parse

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "genllava": ROOT / "genllava",
    "genllava_agent": ROOT / "agent" / "genllava_agent",
    "genllava_finetune": ROOT / "finetune" / "genllava_finetune",
    "genllava_tools": ROOT / "tools" / "genllava_tools",
}
MAY_IMPORT: dict[str, set[str]] = {
    "genllava": set(),
    "genllava_agent": {"genllava", "genllava_finetune", "genllava_tools"},
    "genllava_finetune": {"genllava", "genllava_tools"},
    "genllava_tools": {"genllava"},
}
SHIPPED = ROOT / "genllava" / "shipped"
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULE_CAP = 600

needs_weights = pytest.mark.skipif(
    not (SHIPPED / "model_index.json").is_file(), reason="this checkout has no shipped weights"
)


def modules() -> list[Path]:
    roots = [*PACKAGES.values(), ROOT / "tests", ROOT / "benchmarks", ROOT / "examples"]
    return sorted(path for root in roots if root.is_dir() for path in root.rglob("*.py"))


def test_source_roots_are_not_packages() -> None:
    # With one, `import tools` would shadow the module of that name in other people's projects.
    assert [root for root in ("agent", "tools", "finetune") if (ROOT / root / "__init__.py").exists()] == []


def test_modules_stay_small_and_named_for_what_they_hold() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules()}
    assert {name: size for name, size in sizes.items() if size > MODULE_CAP} == {}
    assert [name for name in sizes if Path(name).name in {"utils.py", "helpers.py", "misc.py"}] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_typed(package: str) -> None:
    assert (PACKAGES[package] / "__init__.py").is_file()
    assert (PACKAGES[package] / "py.typed").is_file()


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    wrong = []
    for path in PACKAGES[package].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            tops = {name.split(".")[0] for name in names}
            wrong += [f"{path.name}: {top}" for top in tops if top in PACKAGES and top not in allowed]
    assert wrong == []


def imported(path: Path, modules: dict[str, Path], name: str) -> set[str]:
    """The modules of `modules` that a file imports, lazily and for annotations as well."""

    def home(dotted: str) -> str | None:
        while dotted and dotted not in modules:
            dotted = dotted.rpartition(".")[0]
        return dotted or None

    found: set[str | None] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {home(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {home(f"{node.module}.{alias.name}") for alias in node.names}
    return {other for other in found if other is not None and other != name}


@pytest.mark.parametrize("package", ["genllava", "genllava_agent"])
def test_there_are_no_import_circles_and_no_large_files(package: str) -> None:
    folder = PACKAGES[package]
    found = {path: path.relative_to(folder).with_suffix("").parts for path in folder.rglob("*.py")}
    names = {".".join((package, *parts)): path for path, parts in found.items()}
    modules = {name.removesuffix(".__init__"): path for name, path in names.items()}
    del modules[package]  # a face that loads its names lazily
    assert {name: size for name, path in modules.items() if (size := len(path.read_text().splitlines())) > 400} == {}
    graph = {name: imported(path, modules, name) for name, path in modules.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError where there is a circle
    assert len(order) == len(modules) > 50


def test_importing_does_nothing() -> None:
    probe = """
import logging, socket, sys
def deny(*args, **kwargs): raise AssertionError("network at import")
socket.socket.connect = deny
before = list(logging.getLogger().handlers)
import genllava, genllava_agent, genllava_finetune, genllava_agent.cli
from genllava_agent import VisualAgent
assert logging.getLogger().handlers == before
heavy = {"torch", "transformers", "diffusers", "numpy", "PIL", "rich", "langgraph", "langchain_core"} & set(sys.modules)
assert not heavy, heavy
for package in (genllava, genllava_agent):
    assert len([name for name in package.__all__ if not name.startswith("_")]) <= 16, package
"""
    roots = [str(path.parent) for path in PACKAGES.values()]
    code = f"import sys; sys.path[:0] = {roots!r}\n{probe}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_one_version() -> None:
    import genllava

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert genllava.__version__ == project["version"]
    assert f"## {project['version']}" in changelog


def test_ruff_finds_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--output-format", "concise", "."],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_mypy_finds_nothing() -> None:
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_wheel_holds_the_packages_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    for package, folder in PACKAGES.items():
        assert f"{package}/py.typed" in names
        assert {f"{package}/{path.relative_to(folder)}" for path in folder.rglob("*.py")} <= names
    shipped = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert {f"genllava/shipped/{path.relative_to(SHIPPED)}" for path in shipped} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl"))]
    assert sum(path.stat().st_size for path in shipped if path.suffix == ".safetensors") <= 60e6


def test_reading_path_points_at_real_files() -> None:
    section = README.split("## Read the code")[1].split("\n## ")[0]
    paths = re.findall(r"`([\w/]+\.py)`", section)
    assert len(paths) == 5
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_ci_runs_the_readme_commands() -> None:
    for command in ('pip install -e ".[dev]"', "pytest"):
        assert re.search(rf"^{re.escape(command)}$", README, re.M)
        assert re.search(rf"^{re.escape(command)}$", (ROOT / ".ci" / "run").read_text(), re.M)


@needs_weights
def test_readme_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r'(?:src|href)="([^"#:]+)"', README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@needs_weights
def test_readme_commands_do_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that is `genllava` in the README but what takes hours or talks, and what came of it, with what ships."""
    lines = [line for block in re.findall(r"```sh\n(.*?)```", README, re.S) for line in block.splitlines()]
    short = re.compile(r"genllava (?!chat|evaluate|finetune|data|serve|web)")
    commands = [shlex.split(line) for line in lines if short.match(line)]
    said = {}
    monkeypatch.chdir(tmp_path)
    for command in commands:  # in this process: the libraries are loaded once
        with pytest.raises(SystemExit) as left:
            main(command[1:])
        written = capsys.readouterr()
        assert left.value.code == 0, (command, written.err)
        said[command[1]] = written.out
    assert set(said) == {"demo", "generate", "understand", "edit", "info", "tool"}
    assert "red" in said["understand"]
    assert "There are three shapes." in said["demo"]
    assert "The circle is red." in said["demo"]
    assert "There is no star." in said["demo"]
    assert Image.open(tmp_path / "edges.png").size == (128, 128)
    sheet = Image.open(tmp_path / "genllava-demo.png")
    assert min(sheet.size) > 800
    for name, color in (("drawing", "red"), ("edited", "green")):
        scene = parse(Image.open(tmp_path / f"{name}.png")).scene
        assert scene is not None
        assert {(thing.size, thing.color, thing.shape, thing.position) for thing in scene.things} == {
            ("large", color, "circle", "top left"),
            ("small", "blue", "square", "center"),
        }


@needs_weights
def test_readme_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))  # where threads are kept by default
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert blocks
    names: dict[str, object] = {"__name__": "readme"}
    for number, block in enumerate(blocks):
        exec(compile(block, f"README.md, python block {number + 1}", "exec"), names)


def test_the_readmes_table_of_tools_names_what_there_is() -> None:
    """Each tool and each test in the table of what other systems do with pictures."""
    from genllava_tools import tools

    section = README.split("\n## Tools\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:2] == "| "]
    known = {tool.name for tool in tools()}
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    defined = set(re.findall(r"def (test_\w+)", tests))
    assert len(rows) > 20
    for what, _, here, shown in rows[1:]:
        called = [name for name in re.findall(r"`([\w.]+)", here) if not name.startswith(("pipe", "VisualAgent"))]
        assert [name for name in called if name not in known | {"find"}] == [], what
        assert re.findall(r"`(\w+)`", shown), what
        assert set(re.findall(r"`(\w+)`", shown)) <= defined, what
