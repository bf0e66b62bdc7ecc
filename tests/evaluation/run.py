"""Prints what the scanner finds by kind and by place, and what it touches of clean outputs, as tables of Markdown.

    python -m tests.evaluation.run [--seeds 4] [--outputs 5000] [--seed 0] [--cache FOLDER] [--all]

It says what was seen; `test_evaluation.py` holds a smaller selection against the targets.
"""

import argparse
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from gateway.screening.screener import Screener
from tests.evaluation.clean import outputs
from tests.evaluation.kinds import KINDS
from tests.evaluation.measure import Recall, Touched, recall, screener, touched
from tests.evaluation.places import ENCODED, PLACES, PLAIN


def percent(share: float) -> str:
    """A share as it stands in a table."""
    return f"{100 * share:.2f} %"


def by_place(told: Recall) -> str:
    """Recall by place, of vendors' kinds and of generic assignments."""
    vendors = [kind.name for kind in KINDS if kind.vendor]
    generic = [kind.name for kind in KINDS if not kind.vendor]
    lines = ["| place | vendors' kinds | generic assignments |", "| --- | ---: | ---: |"]
    for title, places in (("**plain, all**", PLAIN), ("**encoded, all**", ENCODED)):
        for name, chosen in ((title, list(places)), *((place, [place]) for place in places)):
            lines.append(
                f"| {name} | {percent(told.share(vendors, chosen))} | {percent(told.share(generic, chosen))} |"
            )
    return "\n".join(lines)


def by_kind(told: Recall, *, every: bool) -> str:
    """Recall by kind; those that were found everywhere are only named, unless `every` is asked for."""
    lines, whole = ["| kind | plain | encoded | missed |", "| --- | ---: | ---: | --- |"], list[str]()
    for kind in KINDS:
        missed = [place for place in PLACES if told.share([kind.name], [place]) < 1]
        plain, encoded = (percent(told.share([kind.name], places)) for places in (PLAIN, ENCODED))
        if missed or every:
            lines.append(f"| {kind.name} | {plain} | {encoded} | {', '.join(missed)} |")
        else:
            whole.append(kind.name)
    return "\n".join([*lines, "", f"Found everywhere ({len(whole)}): {', '.join(whole)}."])


def of_clean(told: Touched, seconds: float) -> str:
    """What was touched of clean outputs, with the kinds and where they were found."""
    lines = [
        "| clean outputs | touched at redact | touched at flag | a second |",
        "| ---: | ---: | ---: | ---: |",
        f"| {told.outputs} | {percent(told.at_redact)} | {percent(told.at_flag)} | {told.outputs / seconds:.0f} |",
        "",
    ]
    lines += [f"- {kind}: {count} x {name}" for (kind, name), count in Counter(told.where).most_common()]
    return "\n".join(lines)


async def main(options: argparse.Namespace, how: Screener) -> None:
    """Measure, and print."""
    told = await recall(how, KINDS, PLACES, range(options.seeds))
    print(f"{len(KINDS)} kinds, {len(PLACES)} places, {options.seeds} of each.\n")
    print(by_place(told), by_kind(told, every=options.all), sep="\n\n")
    made = list(outputs(options.outputs, options.seed))
    began = time.perf_counter()
    found = await touched(how, made)
    print("", of_clean(found, time.perf_counter() - began), sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4, help="fakes of each kind in each place")
    parser.add_argument("--outputs", type=int, default=5_000, help="clean outputs")
    parser.add_argument("--seed", type=int, default=0, help="another one chooses other outputs")
    parser.add_argument("--cache", type=Path, help="a private folder for the compiled rules")
    parser.add_argument("--all", action="store_true", help="a row for every kind")
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder:
        anyio.run(main, chosen, screener(chosen.cache or Path(folder)))
