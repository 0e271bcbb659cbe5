"""A curation from its source to stored rows: what `genllava data curate` runs.

FOLDER/curation.json    what it was begun with
FOLDER/ledger.jsonl     each answer of the model
FOLDER/rows/            the data set, which is written when all is answered
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, Any, Final

from genllava.errors import InvalidRequest
from genllava_finetune.curate import gvit, llava, mm_instruct
from genllava_finetune.curate.asking import Asking, Limits
from genllava_finetune.curate.ledger import Ledger
from genllava_finetune.curate.making import KINDS, Made, Options
from genllava_finetune.curate.models import ModelChoice, chat_model, embeddings_by_name, model_name
from genllava_finetune.curate.prompting import read_prompt
from genllava_finetune.curate.sources import Scene, read_scenes
from genllava_finetune.data.durable_files import whole_file
from genllava_finetune.data.errors import DataError
from genllava_finetune.data.preparing import Prepared, prepare
from genllava_finetune.data.records import Converter, Origin, Record, Rejected, Source

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel

PIPELINES: Final = {
    "llava": (llava.PROMPTS, "Conversations, descriptions and reasoning about pictures, from captions and boxes."),
    "mm_instruct": (mm_instruct.PROMPTS, "Varied instructions with answers, from captions and a few seeds."),
    "gvit": (gvit.PROMPTS, "Requests to draw pictures, from captions, and to edit them, from pairs."),
}
"""By name: the prompts, and what it makes."""
HEADER: Final = "curation.json"
LEDGER: Final = "ledger.jsonl"
ROWS: Final = "rows"
TF_IDF: Final = "tf-idf"
_THREAD: Final = local()


@dataclass(frozen=True, slots=True)
class Curated:
    """What became of a curation.

    Attributes:
        prepared: the rows.
        sent: requests of this run.
        tokens: of this run.
        statuses: answers by how they ended, with those of earlier runs.
    """

    prepared: Prepared
    sent: int
    tokens: int
    statuses: Mapping[str, int]


def curate(pipeline: str, location: Path, output: Path, model: BaseChatModel | ModelChoice, **settings: Any) -> Curated:
    """As `curate_async`, for a program that runs no event loop."""
    # One loop for all calls of a thread: providers' packages keep connections, which die with the loop they began in.
    if not hasattr(_THREAD, "runner"):
        _THREAD.runner = asyncio.Runner()
    curated: Curated = _THREAD.runner.run(curate_async(pipeline, location, output, model, **settings))
    return curated


async def curate_async(
    pipeline: str,
    location: Path,
    output: Path,
    model: BaseChatModel | ModelChoice,
    *,
    images: Path | None = None,
    instances: Path | None = None,
    options: Options | None = None,
    limits: Limits | None = None,
    embeddings: Embeddings | str | None = None,
    params: Mapping[str, Any] | None = None,
    structured: bool = True,
    workers: int = 0,
    limit: int | None = None,
    progress: Callable[[Asking], None] = lambda asking: None,
) -> Curated:
    """Make rows of a file of scenes with a chat model, or go on where an earlier call with the same arguments ended.

    Args:
        pipeline: "llava", "mm_instruct" or "gvit".
        location: see `read_scenes`, also for `images` and `instances`.
        output: the folder; what lies in it must be of the same curation.
        model: any LangChain chat model, or how to make one. API keys are not stored.
        embeddings: a LangChain embedding model or its name, for mm_instruct; None: TF-IDF.
        params: what distinguishes a model that was given from others of its name, such as its temperature; None: what
            LangChain reports of it.
        structured: use the provider's structured output, where there is any.
        workers: processes of a Ray cluster that ask; 0: this one does.
        limit: scenes at most.
        progress: called after each answer.

    Raises:
        InvalidRequest: an argument is impossible, a package or an API key is missing, nothing in the file can be used,
            or the folder has other things in it.
        DataError: a file cannot be read or written.
        Stopped: the run ended before all was answered; the same call goes on.
    """
    options, limits = options or Options(), limits or Limits()
    _check(pipeline, options, limits, workers, limit, model)
    scenes = _scenes(location, images, instances, limit)
    name, params = _identity(model, params, options.seed)
    chat = chat_model(model, options.seed) if isinstance(model, ModelChoice) else model
    embedder, embedding_name = _embedder(embeddings)
    header = {
        "pipeline": pipeline,
        "model": name,
        "params": dict(params),
        "embeddings": embedding_name,
        "prompts": [read_prompt(each).label for each in (*PIPELINES[pipeline][0], "form", "repair")],
        **asdict(options),
        "kinds": list(options.kinds),
        "limit": limit,
        "from": _digest(location),
        "instances": instances and _digest(instances),
        "images": None if images is None else str(images.resolve()),
    }
    with _folder(output, header) as ledger:
        if workers:
            from genllava_finetune.curate.ray_steps import Crew, RayAsking

            assert isinstance(model, ModelChoice)
            crew = Crew(model, options.seed, workers, output)
            asking: Asking = RayAsking(None, ledger, name, params, limits, structured, progress=progress, crew=crew)
        else:
            asking = Asking(chat, ledger, name, params, limits, structured, progress=progress)
        usable = [scene for _, scene in scenes if isinstance(scene, Scene)]
        if pipeline == "mm_instruct":
            made = await mm_instruct.run(asking, usable, options, embedder, embedding_name)
        else:
            made = await (llava.run if pipeline == "llava" else gvit.run)(asking, usable, options)
        rows = _stored(pipeline, location, images, output, options, scenes, made)
    return Curated(rows, asking.sent, asking.tokens, Counter(asking.statuses))


def _check(
    pipeline: str, options: Options, limits: Limits, workers: int, limit: int | None, model: BaseChatModel | ModelChoice
) -> None:
    if pipeline not in PIPELINES:
        near = get_close_matches(pipeline, PIPELINES, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(PIPELINES)}"
        raise InvalidRequest(f"there is no pipeline {pipeline!r}: {hint}")
    if unknown := [kind for kind in options.kinds if kind not in KINDS]:
        raise InvalidRequest(f"there is no kind {unknown[0]!r}: {', '.join(KINDS)}")
    least = {
        "turns": options.turns,
        "requests": options.requests,
        "instructions": options.instructions,
        "matches": options.matches,
        "clusters": options.clusters,
        "concurrency": limits.concurrency,
        "limit": limit,
        "kinds": len(set(options.kinds)),
    }
    for what, value in least.items():
        if value is not None and value < 1:
            raise InvalidRequest(f"{what} must be at least 1")
    if workers and find_spec("ray") is None:
        raise InvalidRequest("workers need ray: pip install 'genllava[ray]'")
    if workers < 0:
        raise InvalidRequest("the number of workers is not negative")
    if workers and not isinstance(model, ModelChoice):
        raise InvalidRequest("workers make the model themselves: give a ModelChoice, and not a model")


def _scenes(
    location: Path, images: Path | None, instances: Path | None, limit: int | None
) -> list[tuple[Origin, Scene | Rejected]]:
    found, count = list[tuple[Origin, Scene | Rejected]](), 0
    for origin, scene in read_scenes(location, images, instances):
        found.append((origin, scene))
        count += isinstance(scene, Scene)
        if count == limit:
            break
    if not found:
        raise InvalidRequest(f"{location} is empty: there is no record in it")
    known = [scene for _, scene in found if isinstance(scene, Scene)]
    if not any(scene.captions or scene.instruction for scene in known):
        origin, first = found[0]
        reason = first.reason if isinstance(first, Rejected) else "it has no captions"
        raise InvalidRequest(f"no record of {location} can be used. The first, line {origin.line}: {reason}")
    return found


def _identity(
    model: BaseChatModel | ModelChoice, params: Mapping[str, Any] | None, seed: int
) -> tuple[str, Mapping[str, Any]]:
    """What names a model in the ledger, and its parameters."""
    if isinstance(model, ModelChoice):
        return model.name, dict(model.params) | {"seed": seed}
    if params is None:
        known = model._get_ls_params()
        params = {name: known[name] for name in ("ls_temperature", "ls_max_tokens") if known.get(name) is not None}
    return model_name(model), params


def _embedder(embeddings: Embeddings | str | None) -> tuple[Embeddings | None, str]:
    """The embedding model, and what names it in the ledger."""
    if embeddings is None:
        return None, TF_IDF
    if isinstance(embeddings, str):
        return embeddings_by_name(embeddings), embeddings
    return embeddings, f"{type(embeddings).__name__}:{getattr(embeddings, 'model', '')}"


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None


def _folder(output: Path, header: Mapping[str, Any]) -> Ledger:
    """The ledger of a folder that is new, or was begun with the same.

    Raises:
        InvalidRequest: it was begun with something else, or holds other things.
        DataError: it cannot be read or written.
    """
    path = output / HEADER
    try:
        output.mkdir(parents=True, exist_ok=True)
        if path.exists():
            before = json.loads(path.read_bytes())
            if not isinstance(before, dict):
                raise ValueError("it holds no object")
            changed = [name for name, value in header.items() if before.get(name) != value]
            answers = output / LEDGER
            if changed and answers.exists() and answers.stat().st_size > 0:
                name = changed[0]
                says = f"{output} holds a curation with another {name} ({before.get(name)}, not {header[name]})"
                raise InvalidRequest(f"{says}: choose another -o")
        elif any(output.iterdir()):
            raise InvalidRequest(f"{output} is not empty, and holds no curation: choose another -o")
        else:
            changed = list(header)
        if changed:  # nothing is answered yet, so the folder may be begun anew
            with whole_file(path) as file:
                file.write(json.dumps(header, indent=2).encode() + b"\n")
    except (FileExistsError, NotADirectoryError):
        raise InvalidRequest(f"{output} is not a folder: choose another -o") from None
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}): choose another -o") from None
    return Ledger(output / LEDGER)


def _stored(
    pipeline: str,
    location: Path,
    images: Path | None,
    output: Path,
    options: Options,
    scenes: list[tuple[Origin, Scene | Rejected]],
    made: list[Made],
) -> Prepared:
    """Write the rows with their pictures, and list what gave none."""

    def records(source: Source) -> Iterator[Record]:
        results = iter(made)
        for origin, scene in scenes:
            yield Record(origin, (scene,) if isinstance(scene, Rejected) else next(results))

    name = f"curated-{pipeline}"
    converter = Converter(name, options.license, PIPELINES[pipeline][1], records)
    return prepare(converter, Source(str(location), images or location.parent), output / ROWS)
