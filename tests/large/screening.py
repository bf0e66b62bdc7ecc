"""Measure what all layers of the screening cost beside the engine alone, on clean texts of 10 kB to 1 MB.

    python -m tests.large.screening [--rounds 15] [--cache FOLDER]

Both are timed in turn in one run, so that their ratio holds on a machine that is busy. The texts: sources, documents
and lock files of what is installed, a log, and JSON as text. Ten secrets of the gateway's own are looked for beside.
"""

import argparse
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import anyio

from gateway.core.model import Release
from gateway.screening.engine import Kingfisher
from gateway.screening.screener import Screener
from tests.evaluation.clean import outputs
from tests.evaluation.measure import KEY, PATIENCE, Clock, strings

SIZES = (10_000, 100_000, 1_000_000)  # bytes
OWN = 10  # secrets of the gateway's own


def texts() -> Iterator[tuple[str, str]]:
    """The texts by name; each is longer than the largest size."""
    yield "what is installed", "\n".join(text for _, output in outputs(400) for text in strings(output))
    lines = (f"2026-11-29 10:{n % 60:02} INFO worker-{n % 7} GET /items/{n} in {n % 97} ms" for n in range(40_000))
    yield "a log", "\n".join(lines)
    rows = [
        {"id": n, "title": f"item {n}", "labels": ["a", "b"], "by": {"name": f"user{n % 9}"}} for n in range(20_000)
    ]
    yield "JSON", json.dumps(rows)


async def main(rounds: int, cache: Path) -> None:
    """Measure, and print a table of Markdown."""
    engine = Kingfisher(cache)
    engine.build()
    how = Screener(engine, Clock(), KEY)
    for number in range(OWN):
        how.know(f"env:SECRET_{number}", secrets.token_urlsafe(30))
    print(
        "| text | bytes | engine alone, ms | all layers, ms | ratio |", "| --- | ---: | ---: | ---: | ---: |", sep="\n"
    )
    for name, text in texts():
        for size in SIZES:
            said = text.encode()[:size].decode("utf-8", "ignore")
            data, value = said.encode(), {"content": [{"type": "text", "text": said}]}
            alone, layers = list[float](), list[float]()
            for _ in range(rounds):
                began = time.perf_counter()
                engine.scan(data, PATIENCE)
                between = time.perf_counter()
                screened = await how.screen(value, None, time.monotonic() + PATIENCE)
                layers.append(time.perf_counter() - between)
                alone.append(between - began)
                assert screened.release is not Release.WITHHELD
            one, all_ = 1000 * median(alone), 1000 * median(layers)
            print(f"| {name} | {size:,} | {one:.2f} | {all_:.2f} | {all_ / one:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="times of each")
    parser.add_argument("--cache", type=Path, help="where the rules are compiled to; nothing is kept without it")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        anyio.run(main, given.rounds, given.cache or Path(folder))
