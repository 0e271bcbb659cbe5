"""`genllava data check`."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from genllava.errors import InvalidRequest
from genllava_finetune.data.command_output import check_output, printable
from genllava_finetune.data.durable_files import whole_file
from genllava_finetune.data.errors import DataError


def add_options(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("data", nargs="+", type=Path, metavar="DATA", help="folder of a data set, or one Parquet file or tar")
    says = "no picture may be of this: a data set, a folder of pictures, or a text file with an id or file name a line"
    add("--against", nargs="+", type=Path, default=[], metavar="BENCHMARK", help=says)
    says = "bits of 64 in which perceptual hashes of copies differ at most: 0 to 16. Default: 4"
    add("--perceptual", type=int, default=4, metavar="N", help=says)
    add("-o", "--output", type=Path, metavar="FILE", help="write the findings to this file, a line of JSON each")


def run(options: Namespace) -> int:
    """Print what is wrong with data sets.

    Returns:
        The exit code: 1 where something is.

    Raises:
        InvalidRequest: an option is impossible, or the file cannot be written.
        DataError: there is no data set, or it is empty, or a benchmark cannot be read.
    """
    from genllava_finetune.data.fingerprints import MOST_BITS_APART

    if not 0 <= options.perceptual <= MOST_BITS_APART:
        raise InvalidRequest(f"--perceptual is from 0 to {MOST_BITS_APART}, not {options.perceptual}")
    check_output(options.output)
    from tqdm import tqdm

    from genllava_finetune.data.benchmarks import load_benchmark
    from genllava_finetune.data.checking import FINDINGS, Checker

    checker = Checker([load_benchmark(path, options.perceptual) for path in dict.fromkeys(options.against)])
    try:
        with ExitStack() as closing:
            file = None if options.output is None else closing.enter_context(whole_file(options.output))
            for path in dict.fromkeys(options.data):
                for finding in tqdm(checker.check(path), str(path), unit=" findings", disable=None, leave=False):
                    tqdm.write(printable(str(finding)), sys.stdout)
                    if file is not None:
                        file.write(json.dumps(asdict(finding)).encode() + b"\n")
    except OSError as error:
        raise DataError(f"cannot write {options.output}: {error.strerror}") from None
    said = "; ".join(f"{checker.counts[kind]:,} × {says}" for kind, says in FINDINGS.items() if checker.counts[kind])
    print(f"{checker.rows:,} rows: {said or 'nothing is wrong'}")
    return 1 if said else 0
