"""The stage: one house with all upstreams behind the installed gateway, an agent that plays, and a person who is asked.

Knows nothing of the gateway's inside; what it asks of a running one goes over the control socket, as commands do.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread
from mcp.shared._httpx_utils import create_mcp_http_client

from gateway.cli.hook import request
from gateway.cli.talk import exchange
from tests.attacks import policy
from tests.attacks.cast import Cast, Organisation
from tests.attacks.links import Http, Link, Pipes
from tests.attacks.play import Harm, Play, Step, judge
from tests.e2e.kit import House, listens, until, upstream_table

SERVER = Path(__file__).parent / "upstreams" / "serve.py"
KINDS = {"calendar": "agenda", "desk": "files"}  # upstream -> kind, where they differ
UPSTREAMS = (
    *("mail", "files", "desk", "web", "issues", "calendar", "bank", "memory", "chat", "directory", "admin", "clock"),
    "guest",
)
FOLDERS = ("files", "desk")
UNNAMED = 4  # plays of a mode in which no session is named: a client of its own each
GLANCE = 0.02  # seconds between two looks at what waits for a person
LISTINGS, BETWEEN = 10, 0.008  # looks at `tools/list` behind a change, until it counts as not shown; seconds apart
META = "dev.wardgate"
ATTENDED = {"CLAUDE_CODE_SESSION_ATTENDED": "1", "CLAUDE_CODE_ENTRYPOINT": "cli"}  # as Claude Code tells its hooks


@dataclass(frozen=True)
class Mode:
    """Which client plays: one with tools of its own or not, that hands over the prompt or not. `era`: what it speaks,
    `door`: where (`shim` or `http`); `hooks`: its prompts come by hooks, where it names its session.
    """

    closed: bool
    prompt: bool
    era: str = "legacy"
    door: str = "shim"
    hooks: bool = False

    @property
    def name(self) -> str:
        """The name of its client."""
        return f"{'closed' if self.closed else 'open'}{'-prompt' if self.prompt else ''}"


MODES = tuple(Mode(closed, prompt) for closed in (True, False) for prompt in (False, True))


@dataclass
class Result:
    """How a play ended."""

    play: str
    group: str
    honest: bool
    asked: list[str] = field(default_factory=list)  # tools whose calls a person was asked about
    harm: Harm = field(default_factory=Harm)
    blocked: list[str] = field(default_factory=list)  # honest calls that did not run
    changed: list[str] = field(default_factory=list)  # honest calls that ran otherwise than they were sent


@dataclass
class Stage:
    """A house, and what is played in it. `rules` names one of `policy.POLICIES`; `lying`: what upstreams say of their
    tools; `trusting`: whoever runs the house accepts every change of a definition.
    """

    house: House
    organisation: Organisation
    rules: str = "proven"
    lying: bool = False
    trusting: bool = False
    links: dict[tuple[str, str, str, int], Link] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    told: dict[tuple[str, str], str] = field(default_factory=dict)  # client and session -> the prompt that a hook told
    telling: anyio.Lock = field(default_factory=anyio.Lock)
    _tasks: anyio.abc.TaskGroup | None = None
    _stack: AsyncExitStack | None = None
    _unnamed: dict[str, int] = field(default_factory=dict)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Stage"]:
        """Configure, serve and lock, until the block ends."""
        self.set_world(Cast(self.organisation, "empty").world(), {})
        self._configure()
        async with self.house.serving(), AsyncExitStack() as stack, anyio.create_task_group() as tasks:
            await self.lock()
            self._stack, self._tasks = stack, tasks
            yield self
            await stack.aclose()
            tasks.cancel_scope.cancel()

    def _configure(self) -> None:
        tables = []
        for name in UPSTREAMS:
            command = [sys.executable, "-E", "-s", str(SERVER), KINDS.get(name, name), name, str(self.house.world)]
            tables.append(upstream_table(name, [*command, "--lying"] if self.lying else command))
        clients = [
            f'[clients.{name}]\nowner = "alice@example.com"\nclosed = {json.dumps(mode.closed)}\n'
            f"trust = {json.dumps(['session'] * named + ['prompt'] * mode.prompt)}\n"
            for mode in MODES
            for name, named in ((mode.name, True), *((f"{mode.name}-{n}", False) for n in range(UNNAMED)))
        ]
        head = f'schema = 1\n[gateway]\nlisten = "127.0.0.1:{self.house.port}"\nstate = "state"\n'
        head += "[limits]\nprompts_per_hour = 10000\nconnections = 1000\n[notify]\ndesktop = false\n"
        self.house.write("upstreams.toml", "\n".join([head, *clients, *tables]))
        for old in (self.house.folder / "policies").glob("*.toml"):
            old.unlink()
        self._rule()

    def _rule(self) -> None:
        for name, text in policy.POLICIES[self.rules](self.organisation).items():
            self.house.write(f"policies/{name}.toml", text)

    async def ruled(self, rules: str) -> None:
        """Let another policy count, which is held until it is accepted since it loosens the one before."""
        self.rules = rules
        self._rule()
        (held,) = await until(self._held)
        accepted = await self.control(op="accept-policy", digest=held["digest"])
        assert [(each["digest"], each["restart"]) for each in accepted["items"]] == [(held["digest"], False)], accepted

    async def _held(self) -> Sequence[Mapping[str, Any]]:
        return list((await self.control(op="accept-policy", digest="", look=True)).get("items", ()))

    async def lock(self) -> None:
        """Accept what the upstreams offer now, as whoever sets a gateway up does."""
        locked = await self.house.run("lock", "--yes")
        assert locked.code == 0, locked

    def set_world(self, world: Mapping[str, Any], tricks: Mapping[str, Any]) -> None:
        """Exchange all data of the upstreams, and empty the ledger."""
        place = self.house.world
        for name in FOLDERS:
            shutil.rmtree(place / name, ignore_errors=True)
            for path, text in world[name].items():
                file = place / name / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        for name, data in world.items():
            if name not in FOLDERS:
                (place / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
        (place / "guest.json").write_text(json.dumps({"tricks": tricks}), encoding="utf-8")
        (place / "ledger.jsonl").write_text("", encoding="utf-8")

    def ledger(self) -> list[dict[str, Any]]:
        """What happened since the world was set."""
        return [json.loads(line) for line in (self.house.world / "ledger.jsonl").read_text("utf-8").splitlines()]

    async def link(self, mode: Mode, client: str, number: int) -> Link:
        """A connection of a client, opened when it is first used."""
        key = (mode.door, mode.era, client, number)
        if key not in self.links:
            self.links[key] = link = await (self._http(client) if mode.door == "http" else self._pipes(client))
            await link.greet(mode.era)
        return self.links[key]

    async def _pipes(self, client: str) -> Link:
        assert self._stack is not None
        assert self._tasks is not None
        log = self._stack.enter_context(self.house.log())
        words = self.house.stdio(client=client)
        process = await anyio.open_process(words, stderr=log, env=self.house.environment)
        self._stack.push_async_callback(_end, process)
        link = Pipes(process)
        self._tasks.start_soon(link.listen)
        return link

    async def _http(self, client: str) -> Link:
        assert self._stack is not None
        if client not in self.tokens:
            self.tokens[client] = await self.house.token(client)
        bearer = {"Authorization": f"Bearer {self.tokens[client]}"}
        return Http(await self._stack.enter_async_context(create_mcp_http_client(bearer)), self.house.url)

    async def kill(self) -> None:
        """Kill the gateway; the shims start another one and go on, and where there is none somebody does."""
        before = self.house.gateway()
        os.kill(before, signal.SIGKILL)
        if all(door == "http" for door, *_ in self.links):
            assert self._stack is not None
            await until(lambda: not listens(self.house.port))
            await self._stack.enter_async_context(self.house.serving())
        await until(lambda: self._another(before) and listens(self.house.port))
        self.links = {key: link for key, link in self.links.items() if key[0] != "http"}

    async def hook(self, client: str, session: str, prompt: str) -> None:
        """The client's hooks tell of a session that begins, and of what is asked for in it, once."""
        async with self.telling:
            before = self.told.get((client, session))
            if before == prompt:
                return
            self.told[client, session] = prompt
            for event in (
                {"hook_event_name": "SessionStart", "source": "startup"}
                if before is None
                else {"hook_event_name": "Stop", "background_tasks": [], "session_crons": []},
                {"hook_event_name": "UserPromptSubmit", "prompt": prompt},
            ):
                line = request(
                    {"session_id": session, **event}, client, {**ATTENDED, "CLAUDE_CODE_SESSION_ID": session}
                )
                answer = await anyio.to_thread.run_sync(exchange, self.house.state, line)
                assert answer["ok"], answer

    def _another(self, before: int) -> bool:
        """Whether another gateway than this one was announced."""
        try:
            return self.house.gateway() != before
        except ValueError:
            return False  # it is being written

    async def control(self, **request: Any) -> dict[str, Any]:
        """Ask the gateway over its control socket."""
        line = json.dumps(request).encode() + b"\n"
        return await anyio.to_thread.run_sync(exchange, self.house.state, line)

    async def perform(self, mode: Mode, cast: Cast, play: Play) -> Result:
        """Play once, in this mode, and tell how it ended."""
        return await _Performance(self, mode, cast, play).run()

    def unnamed(self, mode: Mode) -> str:
        """The next client of a mode that names no session."""
        number = self._unnamed[mode.name] = self._unnamed.get(mode.name, -1) + 1
        assert number < UNNAMED, "more plays without a session's name than clients for them"
        return f"{mode.name}-{number}"


async def _end(process: anyio.abc.Process) -> None:
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await process.aclose()


class _Performance:
    """One play on a stage."""

    def __init__(self, stage: Stage, mode: Mode, cast: Cast, play: Play) -> None:
        self.stage, self.mode, self.cast, self.play = stage, mode, cast, play
        self.client = mode.name if play.named else stage.unnamed(mode)
        self.result = Result(play.name, play.group, play.honest)
        self.prompts: dict[int, str] = {0: play.prompt}
        self.shown = ""
        self.seen: set[str] = set()

    async def run(self) -> Result:
        self.stage.set_world(self.play.world, {})
        evil: list[dict[str, Any]] = []
        for number, steps in enumerate(_grouped(self.play.steps)):
            if number == 1 and self.play.tricks:
                await self._turn(self.play.tricks)
            if steps[0].restart:
                await self.stage.kill()
            before = len(self.stage.ledger())
            answers = await self._all([step for step in steps if step.needs in self.shown])
            lines = self.stage.ledger()[before:]
            if any(step.evil for step in steps):
                evil += lines
            if self.play.honest:
                self._compare(steps, answers, lines)
        if self.play.tricks:
            await self._turn({})
        self.result.harm = judge(self.cast, self.play, evil)
        return self.result

    async def _all(self, steps: Sequence[Step]) -> list[dict[str, Any]]:
        """Send these calls at once, while a person answers what is asked."""
        answers: list[dict[str, Any]] = [{} for _ in steps]
        async with anyio.create_task_group() as person, anyio.create_task_group() as calls:

            async def one(place: int, step: Step) -> None:
                answers[place] = await self._call(step)

            for place, step in enumerate(steps):
                calls.start_soon(one, place, step)
            person.start_soon(self._answer, steps, answers, person.cancel_scope)
        for answer in answers:
            self.shown += json.dumps(answer.get("content", []), ensure_ascii=False)
        return answers

    async def _call(self, step: Step) -> dict[str, Any]:
        link = await self.stage.link(self.mode, self.client, step.connection)
        meta: dict[str, Any] = {}
        session = f"{self.play.thread or self.cast.place} {step.session}"
        if self.play.named:
            meta[f"{META}/session"] = session
        if step.prompt:
            self.prompts[step.session] = step.prompt
        if self.mode.prompt and (prompt := self.prompts.get(step.session)):
            if self.mode.hooks and self.play.named:
                await self.stage.hook(self.client, session, prompt)
            else:
                meta[f"{META}/prompt"] = prompt
        named = (
            {"name": step.tool, "arguments": dict(step.arguments)} if step.method == "tools/call" else step.arguments
        )
        return await link.ask(step.method, {**named, "_meta": meta})

    async def _answer(self, steps: Sequence[Step], answers: Sequence[object], done: anyio.CancelScope) -> None:
        """The person: yes to what serves the user's wish, no to all else, until every call has its answer."""
        wanted = {step.tool for step in steps if not step.evil}
        while not all(answers):
            await anyio.sleep(GLANCE)
            if all(answers):
                break
            for row in (await self.stage.control(op="approvals"))["items"]:
                tool = f"{row['upstream']}__{row['tool']}"
                if row["id"] not in self.seen:
                    self.seen.add(row["id"])
                    self.result.asked.append(tool)
                    await self.stage.control(op="approve" if tool in wanted else "deny", id=row["id"])
        done.cancel()

    async def _turn(self, tricks: Mapping[str, Any]) -> None:
        """The guest's server changes its tools; wait until the gateway has asked for them, and what it then shows."""
        place = self.stage.house.world
        (place / "guest.json").write_text(json.dumps({"tricks": tricks}), encoding="utf-8")
        listed = place / "guest.listed"
        await until(lambda: json.loads(listed.read_text("utf-8") or "null") == tricks)
        if self.stage.trusting:
            await self.stage.lock()
        link = await self.stage.link(self.mode, self.client, 0)
        for _ in range(LISTINGS):
            await anyio.sleep(BETWEEN)
            self.shown += json.dumps(await link.ask("tools/list", {}), ensure_ascii=False)

    def _compare(self, steps: Sequence[Step], answers: Sequence[Mapping[str, Any]], lines: Sequence[Any]) -> None:
        """An honest call must run as it was sent."""
        for step, answer in zip(steps, answers, strict=True):
            text = json.dumps(answer.get("content", []))
            if answer.get("isError") or "[REDACTED" in text:
                self.result.blocked.append(f"{step.tool}: {text[:300]}{answer.get('error') or ''}")
            if any(line["arguments"] != step.arguments for line in lines):
                self.result.changed.append(step.tool)


def _grouped(steps: Sequence[Step]) -> list[list[Step]]:
    """Steps that are sent at once, together."""
    groups: list[list[Step]] = [[]]
    for step in steps:
        groups[-1].append(step)
        if not step.together:
            groups.append([])
    return [group for group in groups if group]
