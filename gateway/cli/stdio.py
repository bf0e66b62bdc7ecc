"""`wardgate stdio`: what clients register. Hands its own pipes to the gateway, and starts one when none runs.

It imports next to nothing, so that it is ready in tens of milliseconds; the gateway itself is loaded only for
`--standalone`. It never reads or writes the client's messages, except where descriptors can't be passed.
"""

import sys
from collections.abc import Sequence

HELP = """usage: wardgate stdio [--config PATH] [--client NAME] [--standalone] [--relay]

Connects this process's standard input and output to the gateway, starting it when none runs.

  --config PATH   upstreams.toml or its folder (else WARDGATE_CONFIG, else the platform's folder)
  --client NAME   the name under which upstreams.toml registers this client
  --standalone    run the whole gateway in this process (containers, tests)
  --relay         copy bytes instead of passing descriptors
  --json          taken as everywhere; standard output is the client's, and nothing else is written there"""

FLAGS, VALUES = ("--standalone", "--relay", "--json"), ("--config", "--client")


def run(argv: Sequence[str]) -> int:
    """Run the command; exit codes 0 fine, 1 invalid configuration, 2 usage, 3 gateway not reachable."""
    options: dict[str, str] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if word in ("--help", "-h"):
            print(HELP)
            return 0
        if word in FLAGS:
            options[word] = "yes"
        elif name in VALUES and (equals or words):
            options[name] = value if equals else words.pop(0)
        else:
            return _wrong(name)
    if "--standalone" in options:
        from gateway.cli.serve import standalone  # imported late: it loads the whole gateway

        return standalone(options.get("--config"), options.get("--client"))
    from gateway.cli.shim import Shim

    return Shim(options.get("--config"), options.get("--client"), "--relay" in options).run()


def _wrong(name: str) -> int:
    """Tell of a word that can't be used."""
    from gateway.cli.options import hint, shown  # imported late: only a wrong word needs it

    near = hint(name, (*FLAGS, *VALUES)) or "; `wardgate stdio --help` tells the options"
    wrong = f"{name} needs a value" if name in VALUES else f"unknown option `{shown(name)}`{near}"
    print(f"wardgate stdio: {wrong}", file=sys.stderr)
    return 2
