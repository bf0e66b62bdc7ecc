"""`wardgate warm`: compile the scanner's rules into the cache, so that the gateway starts in a moment.

Starts no gateway and reads no configuration.
"""

from collections.abc import Sequence

from gateway.cli.common import FINDINGS, FINE, parser, print_json
from gateway.cli.progress import progress

DID = {
    "loaded": "was warm",
    "stored": "is warm now",
    "bypassed": "could not be used (it must be yours and writable by nobody else); the gateway starts slower",
}


def run(argv: Sequence[str]) -> int:
    """Fill the cache; 0 also where it can't be kept (the gateway only starts slower), 1 if the rules don't load."""
    given = parser("warm", __doc__).parse_args(argv)

    from gateway.errors import GatewayError  # imported late: wrong options need none of it
    from gateway.screening.engine import Kingfisher, cache_folder

    folder = cache_folder()
    cache = None if folder is None else str(folder)
    try:
        with progress("compiling the scanner's rules", given.json):
            loaded = Kingfisher(folder).build()
    except GatewayError as problem:
        _tell(given.json, {"state": "failed", "cache": cache, "found": str(problem)}, str(problem))
        return FINDINGS
    item = {"state": loaded.cache, "cache": cache, "rules": loaded.rules, "ms": loaded.milliseconds}
    where = "the rule cache" if cache is None else f"`{cache}`"
    _tell(given.json, item, f"{where} {DID[loaded.cache]}: {loaded.rules} rules in {loaded.milliseconds} ms")
    return FINE


def _tell(as_json: bool, item: dict[str, str | int | None], line: str) -> None:
    if as_json:
        print_json([item])
    else:
        print(line)
