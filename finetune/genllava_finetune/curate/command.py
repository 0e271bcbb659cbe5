"""`genllava data curate`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genllava.errors import InvalidRequest

if TYPE_CHECKING:
    from genllava_finetune.curate.asking import Asking


def add_options(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("pipeline", nargs="?", metavar="PIPELINE", help="llava, mm_instruct or gvit")
    says = "JSON lines of {image, captions, boxes} or {image, edited_image, captions, edited_captions, instruction}; or"
    add("--from", dest="location", type=Path, metavar="FILE", help=f"{says} COCO's captions")
    add("--instances", type=Path, metavar="FILE", help="COCO's instances, for the boxes of COCO's captions")
    says = "that the paths of pictures are relative to. Default: that of --from"
    add("--images", type=Path, metavar="FOLDER", help=says)
    add("-o", "--output", type=Path, metavar="FOLDER", help="for the ledger and the rows")
    says = "chat model by LangChain's names, such as openai:gpt-5; its API key is read from the environment"
    add("--model", metavar="PROVIDER:NAME", help=says)
    add("--base-url", metavar="URL", help="of a server that speaks the provider's protocol")
    add("--temperature", type=float, metavar="NUMBER", help="of the model. Default: the provider's")
    add("--max-requests", type=_count, metavar="N", help="requests of this run at most; the same command goes on")
    add("--max-tokens", type=_count, metavar="N", help="tokens in and out of this run, about")
    add("--concurrency", type=_count, default=8, metavar="N", help="requests at a time. Default: 8")
    says = "ask for JSON in words alone, for servers without structured output"
    add("--plain", action="store_true", help=says)
    add("--seed", type=int, default=0, metavar="N", help="of all choices. Default: 0")
    add("--limit", type=_count, metavar="N", help="records at most")
    add("--license", default="unknown", metavar="NAME", help="of the rows. Default: unknown")
    kinds = ("conversation", "detail", "reasoning")
    add("--kind", action="append", choices=kinds, dest="kinds", help="of llava; may be repeated. Default: all three")
    says = "embedding model for mm_instruct. Default: TF-IDF, without a model"
    add("--embeddings", metavar="PROVIDER:NAME", help=says)
    says = "groups of mm_instruct. Default: a tenth of the invented instructions, 300 at most"
    add("--clusters", type=_count, metavar="N", help=says)
    add("--matches", type=_count, default=2, metavar="N", help="of mm_instruct: instructions tried with a picture")
    add("--workers", type=int, default=0, metavar="N", help="ask with so many workers of Ray. Default: without Ray")


def run(options: Namespace) -> int:
    """Run the pipeline, or go on with it.

    Returns:
        The exit code: 1 where no record gave a row.

    Raises:
        InvalidRequest: an option is missing or impossible.
        Stopped: a budget is used up, or the model cannot be reached; the same command goes on.
        DataError: a file cannot be read or written.
    """
    needed = {
        "PIPELINE": options.pipeline,
        "--from FILE": options.location,
        "-o FOLDER": options.output,
        "--model PROVIDER:NAME": options.model,
    }
    for name, value in needed.items():
        if not value:
            usage = "genllava data curate PIPELINE --from FILE -o FOLDER --model PROVIDER:NAME"
            raise InvalidRequest(f"{name} is missing: {usage}")

    from tqdm import tqdm

    from genllava_finetune.curate.asking import Limits
    from genllava_finetune.curate.curation import LEDGER, ROWS, curate
    from genllava_finetune.curate.making import KINDS, Options
    from genllava_finetune.curate.models import ModelChoice
    from genllava_finetune.data.rejects import REJECTS

    params: dict[str, Any] = {} if options.temperature is None else {"temperature": options.temperature}
    with tqdm(unit=" answers", mininterval=1.0) as bar:

        def show(asking: Asking) -> None:
            bar.set_postfix(requests=asking.sent, tokens=asking.tokens, refresh=False)
            bar.update(asking.statuses.total() - bar.n)

        try:
            done = curate(
                options.pipeline,
                options.location,
                options.output,
                ModelChoice(options.model, options.base_url, params),
                images=options.images,
                instances=options.instances,
                options=Options(
                    options.seed,
                    options.license,
                    tuple(dict.fromkeys(options.kinds or KINDS)),
                    clusters=options.clusters,
                    matches=options.matches,
                ),
                limits=Limits(options.max_requests, options.max_tokens, options.concurrency),
                embeddings=options.embeddings,
                structured=not options.plain,
                workers=options.workers,
                limit=options.limit,
                progress=show,
            )
        except KeyboardInterrupt:
            bar.close()
            print(
                f"stopped: answers are kept in {options.output / LEDGER}, and the same command goes on", file=sys.stderr
            )
            raise
    card, rows = done.prepared.card, options.output / ROWS
    answers = ", ".join(f"{count:,} {status}" for status, count in sorted(done.statuses.items()))
    print(f"{rows}: {card.rows:,} rows. Answers: {answers}. This run: {done.sent:,} requests, {done.tokens:,} tokens")
    for reason, count in sorted(card.rejected.items(), key=lambda item: -item[1]):
        print(f"{count:>9,} without a row: {reason}")
    if card.rejected:
        print(f"they are listed in {rows / REJECTS}")
    return 0 if card.rows else 1


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return value
