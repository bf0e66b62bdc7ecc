"""What `wardgate init` shows and asks. It decides nothing: a key that isn't a yes is a no.

Everything that clients' files and servers say is printed so that it can't move the cursor or hide.
"""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from textwrap import fill
from typing import Any

from gateway.cli.common import FINDINGS, FINE, columns, print_json
from gateway.core.visible import visible
from gateway.initial.compose import Base, Choice, Composed, Wanted
from gateway.initial.finding import Found
from gateway.initial.keeping import Kept
from gateway.initial.labels import Group, Proposed, grouped
from gateway.initial.nouns import Hidden, Launch, Planned, Source
from gateway.initial.packs import Pack
from gateway.initial.trial import Tried

WIDTH = 100  # characters of a line of names
ASKED = {
    Group.READS: "Do these only read, and pass unasked?",
    Group.WRITES: "Do these write, and a person is asked?",
    Group.HIGH: "Is a person asked about these, outside of the client?",
}
NO = {
    Group.READS: "no, a person is asked",
    Group.WRITES: "no, they count as high",
    Group.HIGH: "no, leave them without a label",
}
SHORT = 16  # digits of a digest that tell which one is meant
MOST_NAMED = 3  # tools of which one remark is made


class View:
    """One run's words; with `quiet` (for `--json`) only the one object at the end."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def _say(self, text: str = "") -> None:
        if not self._quiet:
            print(text)

    # what was found

    def found(self, found: Found) -> None:
        """Where was looked, and what couldn't be read."""
        if not found.files:
            self._say("No file of a client that is known here: `wardgate connect --help` names the clients.")
        for line in dict.fromkeys(f"found {file.client.title}: {visible(str(file.path))}" for file in found.files):
            self._say(line)
        for why in found.unread:
            self._say(f"  left out: {visible(why)}")
        self._say()

    def agrees_to_project(self, found: Found) -> bool:
        """Whether servers that only a project's files name are taken too, now that their commands can be seen."""
        from gateway.cli.confirm import agreed

        print("Files of this folder name more servers; whoever wrote them wrote these commands:")
        for one in found.of_project:
            self._server(one)
        return agreed("Take them too?")

    def intends(self, base: Base, found: Found, kept: Sequence[Kept]) -> None:
        """What is to be done: upstreams with their commands, secrets with their places, what is left."""
        plan = found.plan
        if plan.new:
            self._say(f"{_count(len(plan.new), 'new upstream')} for {visible(str(base.config))}:")
        for one in plan.new:
            self._server(one)
            for each in kept:
                if each.upstream == one.name:
                    self._say(f"      {_kept(each)}")
            for line in one.launch.to_do:
                self._say(f"      ! {visible(line)}")
        self._left(found)
        if found.clients:
            self._say(f"clients to register: {', '.join(found.clients)}")
        self._say()

    def _server(self, one: Planned) -> None:
        self._say(f"  {one.name}  from {_sources(one.sources)}")
        self._say(f"      {_command(one.launch)}")

    def _left(self, found: Found) -> None:
        for name, source in found.plan.known:
            self._say(f"  is there already: {name}  from {_sources([source])}")
        for skipped in found.plan.skipped:
            self._say(f"  left: {_sources([skipped.source])}: {visible(skipped.why)}")
        for one in found.of_project:
            self._say(f"  left: {_sources(one.sources)}: a file of this folder names it; `--project` takes it")
            self._say(f"      {_command(one.launch)}")

    def nothing(self, base: Base, found: Found) -> int:
        """There is nothing to do; 1 where there is no configuration either."""
        self._left(found)
        if self._quiet:
            print_json(_items(found, (), {}, "left"))
        elif base.settings is None:
            print(
                "no server to take, so there is nothing to write: docs/reference.md shows how upstreams.toml is written"
            )
        else:
            print(f"nothing to do: {visible(str(base.config))} has all of it")
        return FINE if base.settings is not None else FINDINGS

    def planned(self, base: Base, found: Found, kept: Sequence[Kept]) -> int:
        """Nobody can be asked, so nothing is done."""
        if self._quiet:
            print_json(_items(found, kept, {}, "planned"))
        else:
            print("nothing was changed, for nobody can be asked here: `--yes` starts these servers and writes all this")
        return FINDINGS

    # what is asked

    def owner(self, usual: str) -> str:
        """Who answers for the servers: asked again until that is a text that can be shown."""
        from gateway.cli.confirm import line

        while True:
            with suppress(UnicodeDecodeError):
                said = line("Who answers for these servers?", usual)
                if said.isprintable():
                    return said
            print("That is no text that can be kept: type a name or a mail address, in UTF-8.")

    def agrees_to_start(self, found: Found) -> bool:
        """Whether the servers are started."""
        from gateway.cli.confirm import agreed

        those = "this server once" if len(found.plan.new) == 1 else f"these {len(found.plan.new)} servers once"
        return agreed(f"Start {those}, to see their tools?")

    def tried(self, one: Tried) -> None:
        """What a start ended with."""
        if one.locked is None:
            self._say(f"  {one.name}: did not start: {one.why}")
        else:
            self._say(f"  {one.name}: {_count(len(one.tools), 'tool')}")

    def confirmed(self, one: Tried, pack: Pack | None, *, asks: bool) -> Choice:
        """What is confirmed of an upstream's tools: everything where nobody is asked."""
        from gateway.cli.confirm import pressed

        if not one.tools:
            return Choice()
        self._say(f"\n{one.name}")
        taken: Pack | None = None
        if pack is not None:
            told = f"the pack `{pack.name}` is made for it: labels for {_count(len(pack.tools), 'tool')}"
            told += f", {_count(pack.rules, 'rule')}"
            self._say(f"  {told}")
            for group, tools in grouped([Proposed(name, effect) for name, effect in pack.effects.items()]).items():
                self._say(_group(group, tools))
            keys = {"y": "yes", "n": "no, by their names"}
            taken = pack if not asks or pressed("  Use it?", keys, "n") == "y" else None
        rest = [tool for tool in one.tools if taken is None or tool.name not in taken.tools]
        agreed: set[Group] = set()
        for line in _remarks(one):
            self._say(f"  ! {visible(line)}")
        for group, tools in grouped(rest).items():
            self._say(_group(group, tools))
            if not asks or pressed(f"  {ASKED[group]}", {"y": "yes", "n": NO[group]}, "n") == "y":
                agreed.add(group)
        return Choice(taken, frozenset(agreed))

    def writes(self, composed: Composed) -> None:
        """The files that are to be written, and how those differ that stay as they are."""
        self._say()
        for path in composed.draft.files:
            self._say(f"{'changes' if path.exists() else 'writes'} {visible(str(path))}")
        for path, lines in composed.left.items():
            self._say(f"leaves {visible(str(path))} as it is{'; proposed was:' if lines else ''}")
            for line in lines:
                self._say(f"    {visible(line)}")

    def agrees_to_write(self) -> bool:
        """Whether all of it is written."""
        from gateway.cli.confirm import agreed

        return agreed("Write all this?")

    # what was done

    def waits(self, revisions: Sequence[str]) -> None:
        """A gateway runs, or something was edited before, so a person has to accept the whole."""
        self._say("Policies and upstreams wait to be accepted, for a gateway runs, or other changes wait with them.")
        self._say("Once no gateway runs, these let them count as they stand there:")
        for revision in revisions:
            self._say(f"  wardgate accept policy@{revision[:SHORT]}")

    def done(self, found: Found, wanted: Wanted) -> None:
        """What a person has to do now, and what comes next."""
        if self._quiet:
            print_json(_items(found, wanted.kept, wanted.tried, "added"))
            return
        print("done")
        for line in _to_do(wanted):
            print(f"  ! {visible(line)}")
        client = next((source.client for one in wanted.planned for source in one.sources), "")
        name = client or next(iter(found.clients), "CLIENT")
        print(
            f"next: `wardgate connect {name}` puts the gateway before that client, `wardgate doctor` looks at all of it"
        )


def _to_do(wanted: Wanted) -> Sequence[str]:
    lines: list[str] = []
    for each in wanted.kept:
        if not each.hidden.known:
            lines.append(
                f"{each.upstream}: its `{each.hidden.slot}` is not known yet: write it to {each.reference[5:]}"
            )
    for one in wanted.tried.values():
        if one.signing_in:
            lines.append(
                f"{one.name}: it asks for somebody to sign in: `wardgate login {one.name}`, then `wardgate lock`"
            )
        elif one.locked is None:
            lines.append(f"{one.name}: it is held until it starts and `wardgate lock` has seen its tools")
    return lines


def _items(found: Found, kept: Sequence[Kept], tried: Mapping[str, Tried], state: str) -> list[dict[str, Any]]:
    """What `--json` tells of each server."""
    items = [_item(one, kept, tried.get(one.name), state) for one in found.plan.new]
    for name, source in found.plan.known:
        items.append({"upstream": name, "state": "known", "from": [_where(source)], "why": ""})
    for skipped in found.plan.skipped:
        items.append({"upstream": "", "state": "left", "from": [_where(skipped.source)], "why": skipped.why})
    for one in found.of_project:
        items.append(
            {"upstream": "", "state": "left", "from": [*map(_where, one.sources)], "why": "of a project's file"}
        )
    return items


def _item(one: Planned, kept: Sequence[Kept], tried: Tried | None, state: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "upstream": one.name,
        "state": state,
        "from": [*map(_where, one.sources)],
        "runs": _command(one.launch),
        "secrets": {each.hidden.slot: each.reference for each in kept if each.upstream == one.name},
        "to_do": list(one.launch.to_do),
        "why": tried.why if tried is not None else "",
    }
    if tried is not None:
        groups = grouped(tried.tools)
        made["tools"] = {group.value: [tool.name for tool in groups.get(group, ())] for group in Group}
    return made


def _where(source: Source) -> dict[str, str]:
    return {"client": source.client, "scope": source.scope, "file": str(source.file), "name": source.name}


def _command(launch: Launch) -> str:
    """What is run or reached; secrets are not in it, for they stand in variables."""
    named = [f"{name}={'…' if isinstance(value, Hidden) else value}" for name, value in launch.env.items()]
    if launch.url:
        said = [f"{name}: {'…' if isinstance(value, Hidden) else value}" for name, value in launch.headers.items()]
        return visible(" ".join([*named, launch.url]) + (f" ({', '.join(said)})" if said else ""))
    at = f" (in {launch.cwd})" if launch.cwd else ""
    return visible(" ".join([*named, shlex.join((launch.command, *launch.args))]) + at)


def _kept(each: Kept) -> str:
    if not each.hidden.known:
        return f"`{each.hidden.slot}` will be read from {each.reference}"
    return f"`{each.hidden.slot}` moves to {each.reference}: {each.hidden.why}"


def _sources(sources: Sequence[Source]) -> str:
    return ", ".join(visible(f"{source.client} ({source.scope}) `{source.name}`") for source in sources)


def _group(group: Group, tools: Sequence[Proposed]) -> str:
    names = [f"{tool.name} ({tool.effect.value})" if group is Group.HIGH else tool.name for tool in tools]
    head = f"  {group.value:<6} {len(tools):>3}  "
    return fill(
        visible(", ".join(names)),
        min(columns() or WIDTH, WIDTH),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _remarks(one: Tried) -> Sequence[str]:
    """What a person should know of its tools: the same of several in one line."""
    found: dict[str, list[str]] = {}
    for tool in one.tools:
        for remark in tool.remarks:
            found.setdefault(remark, []).append(tool.name)
    return [f"{_names(names, MOST_NAMED)}: {remark}" for remark, names in found.items()]


def _names(names: Sequence[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
