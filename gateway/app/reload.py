"""Let the files of the configuration count again while the gateway runs: whole or not at all.

What only tightens counts at once, what may loosen waits for a person, and a file that can't be used changes nothing.
No call is decided here.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import anyio.to_thread
from msgspec import Struct, field

from gateway.acceptance import BY_DIGEST, Acceptance, Held, held_policy
from gateway.agreed import POLICY, UPSTREAMS
from gateway.app.inforce import InForce
from gateway.clock import Sleeper
from gateway.config import Settings, policy_of, policy_texts, settings_of
from gateway.config.trust import read_trusted
from gateway.core.canon import digest
from gateway.core.loosening import differences
from gateway.core.reach import told_change
from gateway.errors import ApprovalError, ConfigurationError, GatewayError
from gateway.screening.screener import Screener

SETTLE = 0.25  # seconds for which files must stay as they are before they are taken
AGAIN = 5.0  # seconds until what the record didn't take is tried anew
PATIENCE = 30.0  # seconds until a difference must have been screened: the scanner may still be loading
MOST = 200  # differences that are kept on the record, and told
LONGEST = 500  # characters of one

log = logging.getLogger("wardgate")


class _Files(Struct, frozen=True):
    """What stands on the disk at one moment, and why the policies, or upstreams.toml, can't be read."""

    policies: Mapping[str, str] = field(default_factory=dict)
    upstreams: str = ""
    wrong: str = ""
    unreadable: str = ""


class Reload:
    """Takes the files of one configuration whenever it is asked to; one at a time, in `writing`.

    `held` is what waits for a person, `refused` why files can't be used, `restart` whether a restart would change
    anything.
    """

    def __init__(
        self,
        settings: Settings,
        in_force: InForce,
        acceptance: Acceptance,
        clock: Sleeper,
        screener: Screener | None = None,
        settle: float = SETTLE,
    ) -> None:
        self._settings, self._in_force, self._acceptance = settings, in_force, acceptance
        self._clock, self._screener, self._settle = clock, screener, settle
        self._asked = anyio.Event()
        self.writing = anyio.Lock()
        self.held: dict[str, Held] = {}
        self.refused: dict[str, str] = {}
        self.restart = False
        self.on_held: list[Callable[[Held], None]] = []

    def ask(self) -> None:
        """Look at the files soon: something changed, or somebody wants it."""
        self._asked.set()

    async def run(self) -> None:
        """Tell what was held at the start, then look whenever asked, until cancelled. Nothing that breaks ends it."""
        for held in tuple(self.held.values()):
            await self._tell(held)
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            try:
                await self.look()
            except GatewayError as problem:
                log.warning("the policy could not be loaded again, and goes on as it is: %s", problem)
                await self._clock.sleep(AGAIN)
                self.ask()
            except Exception as broken:  # noqa: BLE001 - what is wrong with a file must not end the gateway
                log.warning("the policy could not be loaded again, and goes on as it is: %s", type(broken).__name__)

    async def look(self) -> None:
        """Take the files as they are, once they stay as they are; raises `RecordError` or `StateError` where it can't
        be kept that they count, and then nothing has changed.
        """
        files = await self._settled()
        async with self.writing:
            if files != await self._read():  # somebody wrote meanwhile: that is looked at instead
                self.ask()
                return
            await self._policies(files)
            await self._upstreams(files)

    async def accept(self, word: str, by: str, how: str = BY_DIGEST) -> Held:
        """Let what is held count, exactly as it was shown: the policy at once, upstreams.toml at the next start.

        Raises `ApprovalError` for a digest of nothing that is held, `RecordError` and `StateError`.
        """
        async with self.writing:
            held = next((each for each in self.held.values() if each.named(word)), None)
            if held is None:
                there = ", ".join(f"policy@{each.digest}" for each in self.held.values()) or "nothing"
                raise ApprovalError(
                    f"no policy `{word}` is held: expected a digest as it was shown ({there})", "unknown"
                )
            if held.policy is not None:
                self._in_force.exchange(await self._acceptance.take(held.policy, held.texts, by, how))
                log.info("policy %s counts now: accepted by %s", held.digest[:12], by)
            else:
                now = await anyio.to_thread.run_sync(self._as_settings, held)
                await self._acceptance.take_settings(now, by, how)
                self.restart = True
                log.info("%s %s counts from the next start: accepted by %s", UPSTREAMS, held.digest[:12], by)
            del self.held[held.what]
            return held

    def _as_settings(self, held: Held) -> Settings:
        file = self._settings.file
        return settings_of(held.texts[file.name], file)

    def status(self) -> dict[str, Any]:
        """What counts, what is held and what is wrong, for `status` and `doctor`."""
        policy = self._in_force()
        return {
            "revision": policy.revision,
            **policy.accepted,
            "held": [held_item(held) for held in self.held.values()],
            "refused": "; ".join(self.refused.values()),
            "restart": self.restart,
        }

    async def _settled(self) -> _Files:
        """The files, once two looks found the same: a file that is half written is not taken for whole."""
        files = await self._read()
        while True:
            await self._clock.sleep(self._settle)
            again = await self._read()
            if again == files:
                return files
            files = again

    async def _read(self) -> _Files:
        return await anyio.to_thread.run_sync(_files, self._settings)

    async def _policies(self, files: _Files) -> None:
        before = self._in_force()
        if not files.wrong and digest(dict(files.policies)) == before.revision:
            self.refused.pop(POLICY, None)
            if self.held.pop(POLICY, None) is not None:
                log.info("the policies are again those that count: nothing of them is held any more")
            return
        try:
            if files.wrong:
                raise ConfigurationError(files.wrong)
            policy = await anyio.to_thread.run_sync(policy_of, files.policies, self._settings.known())
        except ConfigurationError as problem:
            await self._refuse(POLICY, str(problem))
            return
        self.refused.pop(POLICY, None)
        found = await anyio.to_thread.run_sync(differences, before, policy)
        if any(one.loosens for one in found):
            reaches = await anyio.to_thread.run_sync(told_change, before, policy, self._clock.now())
            await self._hold(held_policy(policy, files.policies, found, reaches))
            return
        counted = await self._acceptance.tighten(before, policy, files.policies)
        self._in_force.exchange(counted)
        self.held.pop(POLICY, None)
        log.info("policy %s counts now: it only tightens (%s)", policy.revision[:12], len(found))

    async def _upstreams(self, files: _Files) -> None:
        """Nothing of upstreams.toml counts before a restart; what a restart would do is told."""
        if files.upstreams == self._settings.text and UPSTREAMS not in self.held:
            self.refused.pop(UPSTREAMS, None)
            return
        try:
            if files.unreadable:
                raise ConfigurationError(files.unreadable)
            now = await anyio.to_thread.run_sync(settings_of, files.upstreams, self._settings.file)
        except ConfigurationError as problem:
            await self._refuse(UPSTREAMS, str(problem))
            return
        self.refused.pop(UPSTREAMS, None)
        if programs := self._acceptance.programs(now):
            texts = {self._settings.file.name: files.upstreams}
            await self._hold(Held(UPSTREAMS, digest(texts), texts, programs))
            return
        self.held.pop(UPSTREAMS, None)
        if files.upstreams != self._settings.text and not self.restart:
            self.restart = True
            log.warning("`%s` changed: start the gateway anew to let it count", self._settings.file.name)

    async def _hold(self, held: Held) -> None:
        before = self.held.get(held.what)
        self.held[held.what] = held
        if before is None or before.digest != held.digest:
            await self._tell(held)

    async def _tell(self, held: Held) -> None:
        """Say loudly that something is held: in the log, on the record, and to whoever listens."""
        lines = told(held)
        name = "the policy" if held.what == POLICY else f"`{self._settings.file.name}`"
        log.warning(
            "%s is held, and goes on as it was accepted last: %s. A person accepts it by `%s`",
            name,
            "; ".join(lines),
            held.command,
        )
        for hook in self.on_held:
            hook(held)
        await self._note({"held": held.digest, "what": held.what}, lines)

    async def _refuse(self, what: str, problem: str) -> None:
        if self.refused.get(what) == problem:
            return
        self.refused[what] = problem
        self.held.pop(what, None)
        log.error("%s: the last good one goes on", problem)
        await self._note({"refused": what}, (problem[:LONGEST],))

    async def _note(self, about: Mapping[str, Any], lines: tuple[str, ...]) -> None:
        """Put it on the record, without secrets that the files may hold; what can't be screened is counted only."""
        shown: Any = []
        if self._screener is not None:
            try:
                shown = await self._screener.clean(list(lines), self._clock.monotonic() + PATIENCE)
            except GatewayError:
                shown = []
        try:
            await self._acceptance.tell(self._in_force(), {**about, "differences": shown, "count": len(lines)})
        except GatewayError as problem:
            log.warning("a policy that does not count could not be recorded: %s", problem)


def held_item(held: Held) -> dict[str, Any]:
    """Something that is held, as commands are told of it."""
    return {"what": held.what, "digest": held.digest, "differences": list(told(held)), "do": held.command}


def told(held: Held) -> tuple[str, ...]:
    """How something that is held differs, bounded."""
    lines = tuple(line[:LONGEST] for line in held.told[:MOST])
    more = len(held.told) - len(lines)
    return (*lines, f"and {more} more") if more else lines or ("it is not known how it differs",)


def _files(settings: Settings) -> _Files:
    """Read all of them; blocks."""
    text, problems = read_trusted(settings.file, settings.file.name)
    unreadable = str(problems[0]) if problems else ""
    try:
        return _Files(policy_texts(settings), text, "", unreadable)
    except ConfigurationError as problem:
        return _Files({}, text, str(problem), unreadable)
