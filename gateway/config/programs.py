"""What the gateway would run by a configuration: commands of upstreams, `cmd:` references, keepers of checkpoints.

Nothing is run or resolved here.
"""

import json
import shlex
from collections.abc import Iterator, Mapping

from gateway.config.nouns import Settings, Upstream
from gateway.config.references import split_reference


def programs(settings: Settings) -> Mapping[str, str]:
    """All of it, by the table or key that names it: what would be run, as JSON of everything that shapes it.

    An upstream's arguments, variables, folder and sandbox belong to its command: another one of these is another
    program.
    """
    return dict(_named(settings))


def new_programs(accepted: Settings, now: Settings) -> tuple[str, ...]:
    """What a configuration would run that an accepted one would not, a line each; empty if there is nothing."""
    before, found = programs(accepted), list[str]()
    for place, what in programs(now).items():
        if before.get(place) != what:
            was = before.get(place)
            found.append(f"[{place}] runs {_told(what, was)}")
    return tuple(found)


def _named(settings: Settings) -> Iterator[tuple[str, str]]:
    for upstream in settings.upstreams.values():
        place = f"upstreams.{upstream.name}"
        if upstream.command:
            yield place, _command(upstream)
        for table, values in (("headers", upstream.headers), ("env", upstream.env if upstream.url else {})):
            for key, value in values.items():
                if split_reference(value)[0] == "cmd":
                    yield f"{place}.{table}.{key}", json.dumps({"run": value})
        if upstream.oauth is not None and split_reference(upstream.oauth.client_secret)[0] == "cmd":
            yield f"{place}.oauth", json.dumps({"run": upstream.oauth.client_secret})
    for key in ("to", "second"):
        for target in getattr(settings.notify, key):
            if split_reference(target)[0] == "cmd":
                yield f"notify.{key} {target}", json.dumps({"run": target})
    for keeper in settings.recording.checkpoints:
        if keeper.kind == "command":
            run = shlex.join((keeper.target, *keeper.args))
            yield f"record.checkpoints {run}", json.dumps({"run": run})


def _command(upstream: Upstream) -> str:
    return json.dumps(
        {
            "run": shlex.join((upstream.command, *upstream.args)),
            "cwd": str(upstream.cwd or ""),
            "env": dict(upstream.env),
            "inherit_env": sorted(upstream.inherit_env),
            "sandbox": upstream.sandbox,
            "sandbox_read": [str(path) for path in upstream.sandbox_read],
            "sandbox_write": [str(path) for path in upstream.sandbox_write],
            "sandbox_network": upstream.sandbox_network,
        },
        sort_keys=True,
    )


def _told(what: str, was: str | None) -> str:
    now, before = json.loads(what), json.loads(was) if was is not None else {}
    more = [key for key in now if key != "run" and before and now[key] != before.get(key)]
    told = f"`{now['run']}`"
    if before and before["run"] != now["run"]:
        told += f", and not `{before['run']}`"
    return f"{told}, with another {', '.join(more)}" if more else told
