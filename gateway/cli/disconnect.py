"""`wardgate disconnect CLIENT`: take the gateway out of a client's file, and put back what was there.

The difference is shown first, and nothing is changed without a yes. What somebody else changed since stays.
"""

import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.common import FINDINGS, FINE, print_json, state_dir
from gateway.cli.connect import agreed, guarded, item, join_options

if TYPE_CHECKING:
    from gateway.clients import ClientFile


def run(argv: Sequence[str]) -> int:
    """Disconnect; exit codes 0 done or nothing to do, 1 it can't be done or was not agreed to, 2 usage, 3 the state
    folder can't be used.
    """
    return guarded(join_options("disconnect", __doc__).parse_args(argv), _disconnect)


def _disconnect(given: Namespace, file: "ClientFile") -> int:
    from gateway.clients import joining

    state = state_dir(given.config)
    _stop_at_another(given, file, state)
    plan = joining.plan_disconnect(file, Path.cwd(), state)
    if plan.changes and not agreed(given, plan, f"Write this to {file.path}?"):
        return FINDINGS
    if plan.changes or plan.known is not None:
        joining.carry_out(plan, state)
    if given.json:
        print_json([item(plan, changed=plan.changes)])
        return FINE
    from gateway.core.visible import visible

    for line in plan.left:
        print(visible(line))
    title = file.client.title
    if not plan.changes:
        print(visible(f"{title} is not connected: nothing to change in {file.path}"))
    else:
        kept = "put back" if plan.known is not None else "written without the gateway"
        how = "deleted, as it was made for the gateway" if plan.then is None else kept
        print(visible(f"{title} is disconnected: {file.path} is {how}. Restart {title} now."))
    return FINE


def _stop_at_another(given: Namespace, file: "ClientFile", state: Path) -> None:
    """Raise `ConfigurationError` where the gateway's entry leads to another place: there it is kept what was before."""
    from gateway.clients import kept, servers, write
    from gateway.errors import ConfigurationError
    from gateway.place import config_file

    project = Path.cwd()
    target = write.target_of(file, project)
    if not target.exists() or kept.connection(state, file, target) is not None:
        return
    here = config_file(given.config, os.environ)
    for server in servers(file, project):
        there = server.option("--config") if server.wardgate else ""
        other = config_file(there, os.environ) if there else here
        if other != here and other.exists():
            raise ConfigurationError(
                f"`{server.name}` leads to the configuration at `{there}`, and what was there before is kept with it: "
                f"add `--config {there}`"
            )
