"""The same steps on a local Ray cluster of two workers, of which one is killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genllava_finetune.curate.asking import Limits, Stopped
from genllava_finetune.curate.curation import curate
from genllava_finetune.curate.models import ModelChoice

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")
CONCURRENCY = 2


@pytest.fixture
def cluster(chat_server: Any) -> Iterator[None]:
    """Two processors, so two workers."""
    ray.init(num_cpus=2, object_store_memory=100 * 2**20, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "rows").glob("*.parquet"))}


@pytest.mark.usefixtures("cluster")
def test_a_worker_is_killed_and_only_what_it_had_under_way_is_asked_again(
    chat_server: Any, scene_files: dict[str, Path], tmp_path: Path
) -> None:
    path = scene_files["llava"]
    line = json.loads(path.read_text().splitlines()[0])
    lines = [line | {"id": str(number), "captions": [f"Number {number} is a wall."]} for number in range(16)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    model, limits = ModelChoice("openai:small", chat_server.url), Limits(concurrency=CONCURRENCY)
    curate("llava", path, tmp_path / "whole", model, limits=limits)
    chat_server.asked.clear()
    chat_server.delay = 0.15
    killed = list[tuple[str, list[str]]]()

    def kill() -> None:
        while not killed:
            for shard in (tmp_path / "ray" / "shards").glob("*.jsonl"):
                known = shard.read_bytes().splitlines()
                if len(known) >= 4:
                    assert chat_server.asked.total() < 24  # of 48
                    os.kill(int(shard.name.split("-")[-2]), signal.SIGKILL)
                    time.sleep(0.1)
                    answers = [json.loads(line)["answer"] for line in shard.read_bytes().splitlines(keepends=True)]
                    killed.append((shard.name, [chat_server.numbers[answer] for answer in answers]))
                    return
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    done = curate("llava", path, tmp_path / "ray", model, limits=limits, workers=2)
    killer.join()
    ((_, known),) = killed
    assert len(known) >= 4
    assert done.prepared.card.rows == 48
    assert shards(tmp_path / "ray") == shards(tmp_path / "whole")
    twice = Counter({number: count for number, count in chat_server.asked.items() if count > 1})
    assert set(twice.values()) <= {2}
    assert len(twice) <= CONCURRENCY
    assert not set(twice) & set(known)  # the killed worker's answers were not lost
    assert not list((tmp_path / "ray" / "shards").iterdir())

    asked = chat_server.asked.total()
    assert curate("llava", path, tmp_path / "ray", model, workers=2).prepared.before
    assert chat_server.asked.total() == asked

    chat_server.delay = 0.0
    run = {"location": scene_files["mm_instruct"], "model": model, "limits": limits}
    curate("mm_instruct", output=tmp_path / "mm", **run)  # its four steps, here and there
    curate("mm_instruct", output=tmp_path / "mm_ray", workers=2, **run)
    assert len(shards(tmp_path / "mm")) == 1
    assert shards(tmp_path / "mm_ray") == shards(tmp_path / "mm")
    asked = chat_server.asked.total()
    with pytest.raises(Stopped, match="the budget of this run is used up: 4 requests, 160 tokens"):
        curate("gvit", path, tmp_path / "budget", model, limits=Limits(max_requests=5), workers=2)
    assert chat_server.asked.total() == asked + 4
    assert curate("gvit", path, tmp_path / "budget", model).prepared.card.rows == 16
    assert chat_server.asked.total() == asked + 16
