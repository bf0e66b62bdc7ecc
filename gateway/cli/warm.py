"""`wardgate warm`: compile the scanner's rules into the cache, so that the gateway starts in a moment.

Starts no gateway and reads no configuration.
"""

import argparse
import json
from collections.abc import Sequence

from gateway.errors import GatewayError
from gateway.screening.engine import Kingfisher, cache_folder


def run(argv: Sequence[str]) -> int:
    """Fill the cache; 0 also where it can't be kept (the gateway only starts slower), 1 if the rules don't load."""
    parser = argparse.ArgumentParser("wardgate warm", description="Compile the scanner's rules into the cache.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--config", help="accepted like everywhere; the cache belongs to no configuration")
    try:
        options = parser.parse_args(argv)
    except SystemExit as ended:
        return 2 if ended.code else 0
    folder = cache_folder()
    try:
        loaded = Kingfisher(folder).build()
    except GatewayError as problem:
        _tell(options.json, {"state": "failed", "cache": _name(folder), "found": str(problem)}, f"{problem}")
        return 1
    did = {
        "loaded": "was warm",
        "stored": "is warm now",
        "bypassed": "could not be used (it must be yours and writable by nobody else); the gateway starts slower",
    }[loaded.cache]
    item = {"state": loaded.cache, "cache": _name(folder), "rules": loaded.rules, "ms": loaded.milliseconds}
    where = "the rule cache" if folder is None else f"`{folder}`"
    _tell(options.json, item, f"{where} {did}: {loaded.rules} rules in {loaded.milliseconds} ms")
    return 0


def _name(folder: object) -> str | None:
    return None if folder is None else str(folder)


def _tell(as_json: bool, item: dict[str, str | int | None], line: str) -> None:
    print(json.dumps({"schema": 1, "items": [item], "next": None}) if as_json else line)
