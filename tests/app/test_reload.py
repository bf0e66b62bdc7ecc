"""What counts at a start and after it: whole or not at all, tighter at once, looser once a person accepts it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from gateway.acceptance import SHORTEST, Acceptance, Held
from gateway.agreed import POLICY, UPSTREAMS
from gateway.app.inforce import InForce
from gateway.app.reload import Reload
from gateway.config import Settings, load_settings, policy_of, policy_texts
from gateway.core.model import Kind, Outcome, Record, Verdict
from gateway.core.policy import Policy
from gateway.core.risk import classify, labels_for
from gateway.errors import ApprovalError, ConfigurationError, GatewayError, RecordError
from gateway.records import Records
from gateway.store import SqliteStore, open_store
from tests.fakes import DEADLINE, FakeClock
from tests.house import Model, a_call
from tests.store.keep import AT_ONCE, on_disk, whole

CONFIG = """\
schema = 1
[gateway]
state = "../state"
[upstreams.up]
command = "none"
args = ["a"]
owner = "alice@example.com"
"""
OWNER = 'owner = "alice@example.com"\nupstream = "up"\n'
BASE = OWNER + '[[tool]]\nmatch = "write"\neffect = "write"\n[[rule]]\nid = "free"\ntools = "write"\ndecide = "allow"\n'
STOP = OWNER + '[[rule]]\nid = "stop"\ntools = "write"\ndecide = "block"\n'
LOOSER = OWNER + '[[rule]]\nid = "more"\ntools = "send"\ndecide = "allow"\n'


class Clean:
    """A screener that knows one secret."""

    async def clean(self, value: Any, deadline: float) -> Any:
        return [line.replace("hunter2", "[REDACTED]") for line in value]


@dataclass
class Desk:
    """The files of one configuration, a real store, and what counts of them."""

    folder: Path
    state: Path
    settings: Settings
    store: SqliteStore
    acceptance: Acceptance
    in_force: InForce
    reload: Reload
    held: dict[str, Held]

    def write(self, name: str, text: str) -> None:
        """Write one file of the configuration."""
        write(self.folder / name, text)

    def rows(self) -> list[Record]:
        """What the record tells of policies."""
        return [row for row in on_disk(self.state) if row.kind is Kind.POLICY]

    @property
    def files(self) -> set[str]:
        """The files that count."""
        return {Path(file.name).stem for file in self.in_force().files}


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)


def laid_out(tmp_path: Path, **policies: str) -> Path:
    """The folder of a configuration."""
    folder = tmp_path / "config"
    for made in (folder, folder / "policies"):
        made.mkdir(mode=0o700)
    write(folder / "upstreams.toml", CONFIG)
    for name, text in policies.items():
        write(folder / "policies" / f"{name}.toml", text)
    return folder


@asynccontextmanager
async def started(folder: Path, user: str = "os:ada") -> AsyncIterator[Desk]:
    """A start of a gateway, as far as policies go."""
    state = folder.parent / "state"
    now = await anyio.to_thread.run_sync(load_settings, folder, {})
    clock = FakeClock()
    with anyio.fail_after(DEADLINE):
        async with open_store(state, AT_ONCE) as store:
            acceptance = Acceptance(state, store, Records(store, clock), clock)
            settings, unaccepted = await acceptance.settings(now, user)
            texts = await anyio.to_thread.run_sync(policy_texts, now)
            loaded = await anyio.to_thread.run_sync(policy_of, texts, now.known())
            policy, held = await acceptance.begin(loaded, texts, user)
            in_force = InForce(policy)
            reload = Reload(settings, in_force, acceptance, clock, Clean(), settle=0.0)  # type: ignore[arg-type]  # all that it asks of a screener
            found = {each.what: each for each in (held, unaccepted) if each is not None}
            reload.held.update(found)
            yield Desk(folder, state, settings, store, acceptance, in_force, reload, dict(found))
    await whole(state)


# --- at a start -----------------------------------------------------------------------------------------------------


async def test_the_first_policy_that_a_state_folder_sees_is_taken_as_it_is(tmp_path: Path) -> None:
    async with started(laid_out(tmp_path, a=BASE)) as desk:
        assert desk.held == {}
        (row,) = desk.rows()
        assert (row.policy_revision, row.extra["accepted_how"]) == (desk.in_force().revision, "first seen")
        assert desk.in_force().accepted == {
            key: row.extra[key] for key in ("accepted_by", "accepted_at", "accepted_how")
        }
        kept = desk.state / "policies" / f"{row.policy_revision}.json"
        assert kept.stat().st_mode & 0o777 == 0o600
        assert kept.parent.stat().st_mode & 0o777 == 0o700


async def test_who_accepted_a_policy_stays_known_over_a_start(tmp_path: Path) -> None:
    folder = laid_out(tmp_path, a=BASE)
    async with started(folder) as desk:
        first = desk.in_force()
    async with started(folder, "os:bob") as desk:
        assert (desk.in_force(), desk.in_force().accepted) == (first, first.accepted)
        assert [row.extra["accepted_by"] for row in desk.rows()] == ["os:ada", "os:ada"]


async def test_what_only_tightens_counts_at_a_start_by_the_word_of_who_accepted_the_former(tmp_path: Path) -> None:
    folder = laid_out(tmp_path, a=BASE)
    async with started(folder) as desk:
        first = desk.in_force().revision
    write(folder / "policies" / "stop.toml", STOP)
    async with started(folder, "os:bob") as desk:
        assert (desk.held, desk.files) == ({}, {"a", "stop"})
        accepted = desk.in_force().accepted
        assert (accepted["accepted_by"], accepted["accepted_how"]) == ("os:ada", f"only tightens {first[:12]}")
        assert desk.rows()[-1].extra["before"] == first


async def test_what_may_loosen_is_held_at_a_start_and_the_text_that_was_accepted_goes_on(tmp_path: Path) -> None:
    folder = laid_out(tmp_path, a=BASE)
    async with started(folder) as desk:
        first = desk.in_force()
    write(folder / "policies" / "more.toml", LOOSER)
    for accepts in (False, True):  # starting again accepts nothing
        async with started(folder, "os:bob") as desk:
            assert (desk.in_force().revision, desk.files) == (first.revision, {"a"})
            held = desk.held[POLICY]
            assert held.told == (
                "policies/more.toml: new rule `more` (allow up/send) (may loosen)",
                "policies/more.toml: new file",
                "reach 1 -> 2",
                "reach: + up/send (destructive): any argument with any value (by more), for unknown",
            )
            assert desk.rows()[-1].policy_revision == first.revision
            if accepts:
                await desk.reload.accept(held.digest, "os:bob")
    async with started(folder) as desk:
        assert (desk.held, desk.files) == ({}, {"a", "more"})
        assert desk.in_force().accepted["accepted_by"] == "os:bob"


async def test_a_start_without_the_text_that_was_accepted_says_what_to_do(tmp_path: Path) -> None:
    folder = laid_out(tmp_path, a=BASE)
    async with started(folder) as desk:
        kept = desk.state / "policies" / f"{desk.in_force().revision}.json"
        text = kept.read_bytes()
    write(folder / "policies" / "more.toml", LOOSER)
    kept.write_bytes(text.replace(b"allow", b"block"))  # not what its name says
    with pytest.raises(ConfigurationError, match="wardgate accept policy@"):
        async with started(folder):
            pytest.fail("it started")
    kept.write_bytes(text)
    async with started(folder) as desk:
        assert desk.files == {"a"}


async def test_a_record_that_was_pruned_makes_no_policy_the_first_one(tmp_path: Path) -> None:
    folder = laid_out(tmp_path, a=BASE)
    async with started(folder) as desk:
        first = desk.in_force().revision
    (desk.state / "record.db").rename(tmp_path / "away")
    for file in desk.state.glob("record.db*"):
        file.unlink()
    (desk.state / "gateway-id").rename(desk.state / "gateway-id.new")  # a store that holds no row of a policy
    write(folder / "policies" / "more.toml", LOOSER)
    async with started(folder) as desk:
        assert (desk.in_force().revision, set(desk.held)) == (first, {POLICY})


# --- while it runs --------------------------------------------------------------------------------------------------


async def test_what_only_tightens_counts_at_once_and_is_told_to_the_rooms(tmp_path: Path) -> None:
    async with started(laid_out(tmp_path, a=BASE)) as desk:
        told: list[Policy] = []
        desk.in_force.on_change(told.append)
        desk.write("policies/stop.toml", STOP)
        await desk.reload.look()
        assert desk.files == {"a", "stop"}
        assert told == [desk.in_force()]
        assert desk.rows()[-1].policy_revision == desk.in_force().revision
        await desk.reload.look()  # nothing changed
        assert len(desk.rows()) == 2


async def test_what_may_loosen_is_held_and_counts_once_exactly_that_is_accepted(tmp_path: Path) -> None:
    async with started(laid_out(tmp_path, a=BASE)) as desk:
        first = desk.in_force()
        news: list[Held] = []
        desk.reload.on_held.append(news.append)
        desk.write("policies/more.toml", LOOSER + "# hunter2\n")
        await desk.reload.look()
        await desk.reload.look()  # it is told once
        assert desk.in_force() is first
        held = desk.reload.held[POLICY]
        assert news == [held]
        assert [row.extra.get("held") for row in desk.rows()] == [None, held.digest]
        assert desk.reload.status()["held"][0]["do"] == f"wardgate accept policy@{held.digest}"
        for wrong in ("", held.digest[: SHORTEST - 1], "0" * 64, first.revision):
            with pytest.raises(ApprovalError):
                await desk.reload.accept(wrong, "os:bob")
        assert desk.in_force() is first
        desk.write("policies/more.toml", LOOSER.replace("send", "wipe"))  # what was shown is what counts
        await desk.reload.accept(held.digest, "os:bob")
        assert desk.in_force().revision == held.digest
        assert desk.in_force().accepted["accepted_by"] == "os:bob"
        await desk.reload.look()
        assert set(desk.reload.held) == {POLICY}  # what stands there now is another one
        assert desk.in_force().revision == held.digest


async def test_what_is_taken_back_is_held_no_more(tmp_path: Path) -> None:
    async with started(laid_out(tmp_path, a=BASE)) as desk:
        desk.write("policies/more.toml", LOOSER)
        await desk.reload.look()
        digest = desk.reload.held[POLICY].digest
        (desk.folder / "policies" / "more.toml").unlink()
        await desk.reload.look()
        assert desk.reload.held == {}
        with pytest.raises(ApprovalError):
            await desk.reload.accept(digest, "os:bob")


async def test_to_go_back_to_what_was_accepted_before_loosens_what_counts_now(tmp_path: Path) -> None:
    async with started(laid_out(tmp_path, a=BASE)) as desk:
        desk.write("policies/stop.toml", STOP)
        await desk.reload.look()
        (desk.folder / "policies" / "stop.toml").unlink()
        await desk.reload.look()
        assert desk.files == {"a", "stop"}
        assert set(desk.reload.held) == {POLICY}


BROKEN: dict[str, Callable[[Path], Any]] = {
    "no-toml": lambda file: write(file, BASE + "[[rule]]\nid = "),
    "unknown-key": lambda file: write(file, BASE + "other = 1\n"),
    "empty": lambda file: write(file, ""),
    "no-utf-8": lambda file: file.write_bytes(b"\xff\xfe"),
    "others-may-write": lambda file: file.chmod(0o666),
    "a-condition": lambda file: write(file, BASE + "when = 'args.n >'\n"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_a_bad_file_keeps_the_last_good_policy_and_says_so_once(
    tmp_path: Path, broken: Callable[[Path], Any]
) -> None:
    async with started(laid_out(tmp_path, a=BASE, stop=STOP)) as desk:
        first = desk.in_force()
        desk.write("policies/more.toml", LOOSER)
        await desk.reload.look()
        broken(desk.folder / "policies" / "a.toml")
        await desk.reload.look()
        await desk.reload.look()
        assert desk.in_force() is first
        assert "policies/a.toml" in desk.reload.status()["refused"]
        assert desk.reload.held == {}  # what can be accepted is only what stands there
        assert [row.extra.get("refused") for row in desk.rows()] == [None, None, "policy"]
        desk.write("policies/a.toml", BASE)
        (desk.folder / "policies" / "more.toml").unlink()
        await desk.reload.look()
        assert (desk.reload.status()["refused"], desk.in_force()) == ("", first)


async def test_what_is_told_on_the_record_holds_no_secret(tmp_path: Path) -> None:
    async with started(laid_out(tmp_path, a=BASE)) as desk:
        desk.write(
            "policies/more.toml",
            OWNER + "[lists]\nl = ['hunter2']\n[[rule]]\nid='x'\ntools='hunter2'\ndecide='allow'\n",
        )
        await desk.reload.look()
        assert "hunter2" in str(desk.reload.status())
        assert "hunter2" not in str(desk.rows())
        assert "[REDACTED]" in str(desk.rows()[-1].extra["differences"])


async def test_a_policy_that_can_not_be_recorded_does_not_count(tmp_path: Path) -> None:
    async with started(laid_out(tmp_path, a=BASE)) as desk:
        first = desk.in_force()
        desk.write("policies/stop.toml", STOP)
        await desk.store._writer.run(lambda db: db.execute("PRAGMA query_only=1"))
        with pytest.raises(RecordError):
            await desk.reload.look()
        assert desk.in_force() is first
        await desk.store._writer.run(lambda db: db.execute("PRAGMA query_only=0"))
        await desk.reload.look()
        assert desk.files == {"a", "stop"}


async def test_a_room_that_can_not_do_with_a_policy_leaves_all_with_the_former(tmp_path: Path) -> None:
    async with started(laid_out(tmp_path, a=BASE)) as desk:
        first, told = desk.in_force(), list[Policy]()

        def fail(policy: Policy) -> None:
            if policy is not first:
                raise GatewayError("no room for it")

        desk.in_force.on_change(told.append)
        desk.in_force.on_change(fail)
        desk.write("policies/stop.toml", STOP)
        with pytest.raises(GatewayError):
            await desk.reload.look()
        assert desk.in_force() is first
        assert told[-1] is first


async def test_files_are_taken_once_they_stay_as_they_are(tmp_path: Path) -> None:
    async with started(laid_out(tmp_path, a=BASE)) as desk:
        clock = FakeClock()
        patient = Reload(desk.settings, desk.in_force, desk.acceptance, clock, Clean(), settle=1.0)  # type: ignore[arg-type]  # as above
        desk.write("policies/stop.toml", STOP[: len(STOP) // 2])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(patient.look)
            await clock.asleep(1)
            desk.write("policies/stop.toml", STOP)  # the rest of it
            clock.advance(1.0)
            await anyio.wait_all_tasks_blocked()
            await clock.asleep(1)
            assert (desk.files, patient.refused) == ({"a"}, {})
            clock.advance(1.0)
        assert (desk.files, patient.refused) == ({"a", "stop"}, {})


# --- upstreams.toml -------------------------------------------------------------------------------------------------

SPY = '[upstreams.spy]\ncommand = "spy"\nowner = "eve@example.com"\n'
WEB = '[upstreams.web]\nurl = "https://x.example/mcp"\nowner = "a"\n'
NEW: dict[str, str] = {
    "a-command": CONFIG + SPY,
    "arguments": CONFIG.replace('["a"]', '["b"]'),
    "a-variable": CONFIG + 'env = { PATH = "/tmp" }\n',
    "a-reference": CONFIG + 'env = { KEY = "cmd:/bin/echo x" }\n',
    "a-header": CONFIG + WEB + 'headers = { A = "cmd:/bin/echo x" }\n',
    "a-notice": CONFIG + '[notify]\nto = ["cmd:/bin/echo x"]\n',
    "a-keeper": CONFIG + '[record]\ncheckpoints = [{ command = ["/bin/cat"] }]\n',
}  # fmt: skip


@pytest.mark.parametrize("text", NEW.values(), ids=NEW)
async def test_a_new_program_is_held_until_a_person_accepts_it(tmp_path: Path, text: str) -> None:
    folder = laid_out(tmp_path, a=BASE)
    async with started(folder) as desk:
        before = desk.settings
        desk.write("upstreams.toml", text)
        await desk.reload.look()
        running = desk.reload.held[UPSTREAMS]
        assert desk.rows()[-1].extra["held"] == running.digest
    for again in (True, False):
        async with started(folder, "os:bob") as desk:
            held = desk.held[UPSTREAMS]
            assert held.digest == running.digest
            assert "runs `" in held.told[0]
            counts = (desk.settings.upstreams, desk.settings.notify, desk.settings.recording)
            assert counts == (before.upstreams, before.notify, before.recording)
            if not again:
                await desk.reload.accept(held.digest, "os:bob")
                assert desk.reload.status()["restart"]
    async with started(folder) as desk:
        assert desk.held == {}
        now = (desk.settings.upstreams, desk.settings.notify, desk.settings.recording)
        assert now != (before.upstreams, before.notify, before.recording)
        assert desk.rows()[-1].extra["upstreams"] == running.digest


async def test_other_changes_of_upstreams_toml_need_a_restart_and_no_consent(tmp_path: Path) -> None:
    folder = laid_out(tmp_path, a=BASE)
    async with started(folder) as desk:
        desk.write("upstreams.toml", CONFIG + 'timeout = "5s"\n')
        await desk.reload.look()
        assert (desk.reload.held, desk.reload.status()["restart"]) == ({}, True)
        desk.write("upstreams.toml", CONFIG + "timeout = 5\n")
        await desk.reload.look()
        assert "upstreams.toml" in desk.reload.status()["refused"]
        desk.write("upstreams.toml", CONFIG + 'timeout = "5s"\n')
    async with started(folder) as desk:
        assert (desk.held, desk.settings.upstreams["up"].timeout) == ({}, 5.0)


async def test_a_program_that_goes_needs_no_consent_and_to_come_back_it_does(tmp_path: Path) -> None:
    folder = laid_out(tmp_path, a=BASE)
    write(folder / "upstreams.toml", CONFIG + SPY)
    async with started(folder) as desk:
        assert desk.held == {}
    write(folder / "upstreams.toml", CONFIG)
    async with started(folder) as desk:
        assert desk.held == {}
    write(folder / "upstreams.toml", CONFIG + SPY)
    async with started(folder) as desk:
        assert set(desk.held) == {UPSTREAMS}
        assert set(desk.settings.upstreams) == {"up"}


# --- calls meanwhile ------------------------------------------------------------------------------------------------


async def test_no_call_sees_a_mixture_of_two_policies(tmp_path: Path) -> None:
    async with started(laid_out(tmp_path, a=BASE)) as desk:
        loose = desk.in_force()
        desk.write("policies/stop.toml", STOP)
        desk.write("policies/a.toml", BASE.replace('effect = "write"', 'effect = "egress"'))
        texts = await anyio.to_thread.run_sync(policy_texts, desk.settings)
        strict = await anyio.to_thread.run_sync(policy_of, texts, desk.settings.known())
        model = Model(loose)

        def relabel(policy: Policy) -> None:
            model.policy = policy
            for name, tool in dict(model.catalogue.tools).items():
                labels = labels_for(policy, tool.ref)
                model.catalogue.tools[name] = classify(tool.definition, tool.ref, name, tool.digest, labels, tool.owner)

        desk.in_force.on_change(relabel)
        relabel(loose)
        ended = 0

        async def calls() -> None:
            nonlocal ended
            for number in range(40):
                await model.enforcer.handle(a_call("write", {"n": number}), model.caller)
                await anyio.lowlevel.checkpoint()
                ended += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(calls)
            for number in range(50):
                desk.in_force.exchange(strict if number % 2 == 0 else loose)
                await anyio.lowlevel.checkpoint()
        assert ended == 160
        seen = set()
        for record in model.records.rows:
            seen.add((record.policy_revision, record.verdict, record.effect))
        assert seen <= {(loose.revision, Verdict.ALLOW.word, "write"), (strict.revision, Verdict.BLOCK.word, "egress")}
        assert len(seen) == 2
        assert Outcome.OK.value in {record.outcome for record in model.records.rows}
