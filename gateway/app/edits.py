"""What a person changes on a card: other arguments of a call, and what an unlabelled tool does.

Edited arguments are checked as a call's own are; a label is written into `policies/`, and counts once all of them load.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import tomlkit

from gateway.acceptance import Acceptance
from gateway.app.inforce import InForce
from gateway.config import Settings, policy_of, policy_texts
from gateway.core.account import Trail
from gateway.core.canon import canonical, keyed_digest
from gateway.core.decide import decide
from gateway.core.drafted import drafted
from gateway.core.model import (
    Approval,
    ApprovalState,
    Call,
    Client,
    Context,
    Effect,
    Principal,
    Surface,
    Tool,
    Verdict,
)
from gateway.core.policy import Policy
from gateway.errors import ApprovalError, ConfigurationError, GatewayError
from gateway.facts import gather
from gateway.ports import House
from gateway.private import put
from gateway.screening.schema import stays_valid

PATIENCE = 10.0  # seconds for screening what a person wrote
NESTING = 64
_NAME = re.compile(r"[A-Za-z0-9_-]{1,24}")


class Edits:
    """Checks edited arguments against one house."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def reconsider(self, row: Approval, arguments: Mapping[str, Any]) -> Approval:
        """The draft of a row with other arguments: valid, without secrets, and not blocked; else `ApprovalError`.

        What the policy sets or drops is set and dropped, so that what is shown is what would run.
        """
        house = self._house
        tool = house.catalogue.of(row.upstream, row.tool)
        if tool is None or tool.digest != row.definition or tool.surface is not Surface.TOOLS:
            raise ApprovalError(f"the tool of approval `{row.id}` changed meanwhile", "settled")
        if not await _fits(arguments, tool.definition.get("inputSchema", {})):
            raise ApprovalError("these arguments don't fit the tool's schema", "invalid-arguments")
        trail = Trail(self._call(row, arguments), house.clock.monotonic, house.capture)
        self._decide(trail)
        if (changed := trail.changes()) is not None and trail.verdict is not Verdict.BLOCK:
            trail.change(changed, house.key)
            self._decide(trail)
        if trail.verdict is Verdict.BLOCK or trail.changes() is not None:
            why = trail.decision.reason.value if trail.decision is not None else ""
            raise ApprovalError(f"policy blocks the call with these arguments ({why})", "blocked")
        try:
            deadline = house.clock.monotonic() + PATIENCE
            trail.arguments, trail.findings = await house.screener.redact(trail.call.arguments, deadline)
        except GatewayError:
            raise ApprovalError("these arguments can't be screened for secrets now", "unscreened") from None
        if trail.findings:
            raise ApprovalError("there is a secret in these arguments: it can't be kept, so they can't be", "secret")
        return drafted(trail, house.clock.now(), house.key)

    def _decide(self, trail: Trail) -> None:
        trail.facts = gather(self._house, trail.call)
        trail.decision = decide(trail.call, trail.facts, self._house.policy())

    def _call(self, row: Approval, arguments: Mapping[str, Any]) -> Call:
        """The call as it would be with these arguments; what only its connection knows is left out."""
        try:
            sealed = canonical(arguments)
        except ValueError as problem:
            raise ApprovalError(f"these arguments can't be taken: {problem}", "invalid-arguments") from None
        return Call(
            id=row.call,
            principal=Principal(row.principal, row.shown.known_by),
            client=Client(row.client, row.shown.claimed),
            exposed=row.exposed,
            arguments=arguments,
            canonical=sealed,
            digest=keyed_digest(self._house.key, sealed),
            at=self._house.clock.now(),
            context=Context(row.session, row.shown.transport, seat="" if row.shown.named else row.session),
        )


async def _fits(arguments: Mapping[str, Any], schema: Any) -> bool:
    """Whether arguments are valid; the schema is an upstream's, so that is found out beside the loop, or in time."""
    with anyio.move_on_after(PATIENCE):
        return await anyio.to_thread.run_sync(stays_valid, arguments, schema, abandon_on_cancel=True)
    return False


class Labels:
    """Writes the label of a tool that nobody labelled, and lets it count."""

    def __init__(
        self,
        settings: Settings,
        in_force: InForce,
        acceptance: Acceptance,
        house: House,
        writing: anyio.Lock | None = None,
    ) -> None:
        """`writing` is held by whoever lets other files count."""
        self._settings, self._in_force, self._acceptance, self._house = settings, in_force, acceptance, house
        self._writing = writing or anyio.Lock()

    async def label(self, row: Approval, effect: Effect, by: str) -> Path:
        """Write what the tool of a waiting row does into a file of its upstream's labels; returns the file.

        Raises `ApprovalError` for a tool that is labelled or not as it was shown, for a row that doesn't wait, and
        where the policies with the label don't load; `RecordError` or `StateError` where that can't be kept. The file
        is as it was then. INVARIANT: nothing but the label comes into force with it; where the files are not what
        counts now, it is refused.
        """
        async with self._writing:
            tool = self._house.catalogue.of(row.upstream, row.tool)
            shown = tool is not None and tool.digest == row.definition
            if row.state is not ApprovalState.WAITING or tool is None or tool.labelled or not shown:
                raise ApprovalError(f"the tool of approval `{row.id}` is labelled, changed or gone", "settled")
            file = self._settings.gateway.policies / f"{row.upstream}.labels.toml"
            before = await anyio.to_thread.run_sync(_read, file)
            if await self._revision() != self._in_force().revision:
                told = "the policies are not the ones that count now: accept what changed, or undo it"
                raise ApprovalError(told, "invalid")
            await anyio.to_thread.run_sync(_write, file, _with(before, tool, effect, by))
            how = f"label of {row.upstream}/{row.tool} on {row.id}"
            try:
                texts, loaded = await anyio.to_thread.run_sync(self._load)
                policy = await self._acceptance.take(loaded, texts, by, how)
            except (ConfigurationError, GatewayError) as problem:
                await anyio.to_thread.run_sync(_restore, file, before)
                if isinstance(problem, GatewayError):
                    raise
                raise ApprovalError(f"the label can't be kept: {problem}", "invalid") from None
            self._in_force.exchange(policy)
            return file

    async def _revision(self) -> str:
        """The revision of the policies as the files are now; empty where they don't load."""
        try:
            return (await anyio.to_thread.run_sync(self._load))[1].revision
        except ConfigurationError:
            return ""

    def _load(self) -> tuple[Mapping[str, str], Policy]:
        """The policies as the files are now; not for the loop."""
        texts = policy_texts(self._settings)
        return texts, policy_of(texts, self._settings.known())


def _with(before: str | None, tool: Tool, effect: Effect, by: str) -> str:
    """The text of the file with one more label; comments and order of what is there stay."""
    document = tomlkit.parse(before) if before is not None else tomlkit.document()
    if before is None:
        document.add(tomlkit.comment("What tools do, as people said it on cards of approvals. Yours to edit."))
        document.add("upstream", tool.ref.upstream)
        document.add("owner", tool.owner.business if tool.owner is not None else by)
        document.add(tomlkit.nl())
    entry = tomlkit.table()
    entry.add("match", tool.ref.name)
    entry.add("effect", effect.value)
    entry.comment(f"by {by}")
    tables = document.get("tool")
    if tables is None:
        tables = tomlkit.aot()
        document.add("tool", tables)
    tables.append(entry)
    return tomlkit.dumps(document)


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8-sig") if file.exists() else None


def _write(file: Path, text: str) -> None:
    """Put a file in the place of another one, whole or not at all."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    put(file, text.encode())


def _restore(file: Path, before: str | None) -> None:
    if before is None:
        file.unlink(missing_ok=True)
    else:
        _write(file, before)
