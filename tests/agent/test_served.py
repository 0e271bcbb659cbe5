"""The graph on LangGraph's server, and the package inside of other people's applications."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
import venv
from importlib import import_module, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

if TYPE_CHECKING:
    pass

pytestmark = [
    pytest.mark.filterwarnings("error:.*(msgpack|LangChain|LangGraph).*"),
    pytest.mark.filterwarnings("error::DeprecationWarning:(langgraph|langchain).*"),
]
ROOT = Path(__file__).parents[2]
RED = "draw a large red circle at the top left"
THREAD: dict[str, Any] = {"configurable": {"thread_id": "theirs"}}


def test_langgraph_json_points_to_a_graph_that_loads_no_model() -> None:
    config = json.loads((ROOT / "langgraph.json").read_text())
    path, name = config["graphs"]["genllava"]["path"].split(":")
    script = f"""
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("studio", {str(ROOT / path)!r})
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        graph = module.{name}
        assert graph.checkpointer is None, "the server brings its own"
        assert "messages" in graph.get_input_jsonschema()["properties"]
        assert "diffusers" not in sys.modules, "loading the model is left to the first request"
        print(sorted(graph.nodes))
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, env=paths())
    assert ran.returncode == 0, ran.stderr
    assert "ingest" in ran.stdout


@pytest.mark.slow
def test_the_development_server_serves_it(tmp_path: Path) -> None:
    if util.find_spec("langgraph_api") is None or util.find_spec("langgraph_cli") is None:
        pytest.skip('needs pip install -e ".[server]"')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["dev", "--no-browser", "--no-reload", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {
        "LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false", "OMP_NUM_THREADS": "1",
        "GENLLAVA_ARTIFACTS": str(tmp_path / "kept"), "GENLLAVA_INTERRUPT_ON": "edit",
    }  # fmt: skip
    (tmp_path / "langgraph.json").write_text((ROOT / "langgraph.json").read_text())
    (tmp_path / "agent").symlink_to(ROOT / "agent")  # the server writes into the folder that it runs in
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "langgraph_cli", *command],
            cwd=tmp_path, env=paths() | quiet, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        said = lambda: (tmp_path / "server.log").read_text()[-3000:]  # noqa: E731
        url = f"http://127.0.0.1:{port}"
        for _ in range(240):
            assert server.poll() is None, said()
            try:
                urllib.request.urlopen(f"{url}/ok", timeout=1)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.25)
        thread = post(f"{url}/threads", {})["thread_id"]
        run = {"assistant_id": "genllava", "input": {"messages": [{"role": "user", "content": RED}]}}
        first = post(f"{url}/threads/{thread}/runs/wait", run)
        reply = first["messages"][-1]
        assert "red circle" in text_of_reply(reply), said()
        (picture,) = reply["additional_kwargs"]["images"]
        shown = urllib.request.urlopen(f"{url}/artifacts/{thread}/{picture['file_id']}.png")
        assert shown.headers["Content-Type"] == "image/png"
        assert Image.open(io.BytesIO(shown.read())).size == (128, 128)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/artifacts/another/{picture['file_id']}.png")
        run["input"] = {"messages": [{"role": "user", "content": "what color is the circle?"}]}
        assert "red" in text_of_reply(post(f"{url}/threads/{thread}/runs/wait", run)["messages"][-1])
        run["input"] = {"messages": [{"role": "user", "content": "draw a small blue square"}]}
        run["stream_mode"] = ["messages", "updates", "custom", "values"]
        heard = stream(f"{url}/threads/{thread}/runs/stream", run)
        assert not [data for kind, data in heard if kind == "error"], heard
        assert {"messages", "updates", "custom", "values"} <= {kind.partition("/")[0] for kind, _ in heard}
        told = [data for kind, data in heard if kind == "custom"]
        assert any(data.get("record", {}).get("id") == "image_2" for data in told), "our events, as plain data"
        assert all(len(json.dumps(data)) < 10_000 for data in told), "and no pixels"
        ends = [data for kind, data in heard if kind == "messages/complete"]
        assert "blue square" in text_of_reply(ends[-1][-1]), "the reply is among the messages"
        del run["stream_mode"]
        run["input"] = {"messages": [{"role": "user", "content": "make the square green"}]}
        (asked,) = post(f"{url}/threads/{thread}/runs/wait", run)["__interrupt__"]
        assert asked["value"]["action_requests"][0]["name"] == "edit"
        run["input"] = None
        run["command"] = {"resume": {"decisions": [{"type": "perhaps"}]}}
        post(f"{url}/threads/{thread}/runs/wait", run)
        state = urllib.request.urlopen(f"{url}/threads/{thread}/state")
        assert json.load(state)["next"] == ["ask"], "the question stays open"
        run["command"] = {"resume": {"decisions": [{"type": "approve"}]}}
        done = post(f"{url}/threads/{thread}/runs/wait", run)
        assert "green square" in text_of_reply(done["messages"][-1])
        assert len(done["messages"][-1]["additional_kwargs"]["images"]) == 1
    finally:
        server.terminate()
        server.wait(30)


def text_of_reply(reply: dict[str, Any]) -> str:
    content = reply["content"]
    return content if isinstance(content, str) else str(content[0]["text"])


def stream(url: str, data: dict[str, Any]) -> list[tuple[str, Any]]:
    """The events of a run, with their names."""
    request = urllib.request.Request(url, json.dumps(data).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as reply:
        parts = reply.read().decode().replace("\r\n", "\n").split("\n\n")
    found = []
    for part in parts:
        lines = dict(line.split(": ", 1) for line in part.splitlines() if ": " in line)
        if "event" in lines:
            found.append((lines["event"], json.loads(lines.get("data", "null"))))
    return found


def post(url: str, data: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(data).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as reply:
        return json.load(reply)


def paths() -> dict[str, str]:
    """This checkout for other processes."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "agent", ROOT / "finetune")))}


# --- other people's applications ---

APPLICATION = {
    "tools.py": "def shout(text):\n    return text.upper() + '!'\n",
    "agent.py": """
        from genllava_agent import VisualAgent

        class Agent:
            def __init__(self):
                self.eyes = VisualAgent(store=":memory:", seed=1)

            def ask(self, text):
                return self.eyes(text)
    """,
    "main.py": """
        import agent, tools
        import genllava, genllava_agent, genllava_finetune
        reply = agent.Agent().ask("draw a large red circle at the top left")
        print(tools.shout(reply.text), reply.image.size)
        print(agent.__file__, tools.__file__)
        print(genllava.__file__, genllava_agent.__file__, genllava_finetune.__file__)
    """,
}


@pytest.mark.slow
def test_an_application_with_modules_of_the_same_names_uses_the_wheel(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist"), cwd=ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=False)
    python = str(tmp_path / "venv" / "bin" / "python")
    site = next((tmp_path / "venv" / "lib").glob("python3.*")) / "site-packages"
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(site), str(wheel), cwd=ROOT)
    dependencies = Path(import_module("torch").__file__ or "").parents[1]
    (site / "dependencies.pth").write_text(f"{dependencies}\n")  # it is the wheel that is looked at, not they
    folder = tmp_path / "application"
    folder.mkdir()
    for name, text in APPLICATION.items():
        (folder / name).write_text(textwrap.dedent(text))
    said = run(python, "main.py", cwd=folder)
    shown, own, ours = said.strip().splitlines()[-3:]
    assert re.match(r"IMAGE_1: .*RED CIRCLE.*! \(128, 128\)", shown)
    assert own.split() == [str(folder / "agent.py"), str(folder / "tools.py")]
    assert all(path.startswith(str(site)) for path in ours.split()), ours
    names = {path.name for path in site.iterdir()}
    assert not {"agent", "tools", "finetune", "tests"} & names, "the wheel has no names that others have"


def run(*command: str, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout
