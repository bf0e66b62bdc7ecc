"""What a person changes on a card: edited arguments are checked like a call's own, and a label is written, loaded and
accepted, or everything is as it was.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from msgspec.structs import replace

from gateway.acceptance import Acceptance
from gateway.app.edits import Edits, Labels
from gateway.app.inforce import InForce
from gateway.config import Settings, load_policy, load_settings
from gateway.core.account import Trail
from gateway.core.decide import decide
from gateway.core.drafted import drafted
from gateway.core.model import Approval, ApprovalState, Effect, Kind, Owner, Reason, Standing, Tier, Tool
from gateway.core.policy import Policy
from gateway.core.risk import classify, labels_for
from gateway.errors import ApprovalError, RecordError
from gateway.facts import gather
from gateway.records import Records
from gateway.store import SqliteStore, open_store
from tests.fakes import DEADLINE, FakeClock
from tests.house import KEY, Model, a_call, policy_of
from tests.store.keep import AT_ONCE, on_disk, whole

# --- edited arguments -----------------------------------------------------------------------------------------------

RULES = """\
upstream = "up"
owner = "o@example.com"
[[tool]]
match = ["write", "spin"]
effect = "write"
sinks = { path = "path" }
payload = ["text"]
[[rule]]
id = "up.secret-places"
tools = "write"
when = 'args.path.startsWith("/etc/")'
decide = "block"
[[rule]]
id = "up.drafts"
tools = "write"
when = 'args.path.startsWith("/drafts/")'
decide = "allow"
[[rule]]
id = "up.low"
tools = "spin"
decide = "ask"
set = { priority = "low" }
drop = ["bcc"]
"""
SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "text": {"type": "string"}},
    "required": ["path"],
    "additionalProperties": False,
}
ASKED = {"path": "/home/a.txt", "text": "one"}


def house(**definition: Any) -> Model:
    """A house whose tool `write` has a schema."""
    model = Model(policy_of(RULES))
    model.catalogue.tools["up__write"] = model.tool("write", inputSchema=SCHEMA, **definition)
    return model


def row_of(model: Model, name: str = "write", arguments: Any = ASKED) -> Approval:
    """The row that waits for a call."""
    trail = Trail(a_call(name, arguments), model.clock.monotonic, model.house.capture)
    trail.facts = gather(model.house, trail.call)
    trail.decision = decide(trail.call, trail.facts, model.policy)
    trail.arguments = arguments
    return replace(drafted(trail, model.clock.now(), KEY), id="a_0000000001")


async def refused(model: Model, arguments: Any, row: Approval | None = None) -> str:
    """Why an edit is refused."""
    with pytest.raises(ApprovalError) as problem:
        await Edits(model.house).reconsider(row or row_of(model), arguments)
    assert model.effects == []
    return problem.value.objection


async def test_an_edit_is_the_draft_of_the_same_call_with_other_arguments() -> None:
    model = house()
    row = row_of(model)
    draft = await Edits(model.house).reconsider(row, {"path": "/home/b.txt"})
    assert (draft.id, draft.state, draft.call) == ("", ApprovalState.WAITING, row.call)
    assert draft.arguments == {"path": "/home/b.txt"}
    same = ("principal", "client", "session", "upstream", "tool", "exposed", "definition", "tier", "effect", "labels")
    assert [getattr(draft, name) for name in same] == [getattr(row, name) for name in same]
    assert draft.arguments_digest == a_call("write", {"path": "/home/b.txt"}).digest != row.arguments_digest
    assert draft.pins != row.pins
    assert (draft.shown.known_by, draft.shown.claimed) == ("os-user", "claude-code 2")


async def test_an_edit_forwards_nothing_and_records_nothing() -> None:
    model = house()
    await Edits(model.house).reconsider(row_of(model), {"path": "/home/b.txt"})
    assert model.effects == []


@pytest.mark.parametrize(
    "arguments",
    [{}, {"path": 3}, {"path": "/a", "mode": "w"}, {"path": None}],
    ids=["missing", "another-type", "unknown", "null"],
)
async def test_arguments_that_do_not_fit_the_schema_are_refused(arguments: Any) -> None:
    assert await refused(house(), arguments) == "invalid-arguments"


async def test_a_schema_that_can_not_be_used_lets_nothing_be_edited() -> None:
    model = house()
    model.catalogue.tools["up__write"] = model.tool("write", inputSchema={"type": "nothing"})
    assert await refused(model, ASKED) == "invalid-arguments"


async def test_arguments_that_are_no_json_are_refused() -> None:
    assert await refused(house(), {"path": "\ud800"}) == "invalid-arguments"


async def test_arguments_that_policy_blocks_are_refused() -> None:
    assert await refused(house(), {"path": "/etc/passwd"}) == "blocked"


async def test_arguments_that_reach_the_gateways_own_files_are_refused() -> None:
    model = house()
    row = row_of(model)
    model.guard.path = "/home/ada/wardgate/policies"
    assert await refused(model, {"path": "/home/b.txt"}, row) == "blocked"


@pytest.mark.parametrize("held", ["frozen", "barred"])
async def test_a_call_that_is_held_meanwhile_can_not_be_edited(held: str) -> None:
    model = house()
    row = row_of(model)
    model.approvals.said = Standing(**{held: "by os:ada"})
    assert await refused(model, {"path": "/home/b.txt"}, row) == "blocked"


async def test_a_secret_in_edited_arguments_is_refused_since_it_can_not_be_kept() -> None:
    assert await refused(house(), {"path": "/home/b.txt", "text": "the secret"}) == "secret"


async def test_arguments_that_can_not_be_screened_are_refused() -> None:
    model = house()
    model.screener.unclean = True
    assert await refused(model, {"path": "/home/b.txt"}) == "unscreened"


@pytest.mark.parametrize("change", ["gone", "changed"])
async def test_a_tool_that_is_gone_or_changed_lets_nothing_be_edited(change: str) -> None:
    model = house()
    row = row_of(model)
    if change == "gone":
        del model.catalogue.tools["up__write"]
    else:
        model.catalogue.tools["up__write"] = model.tool("write", inputSchema=SCHEMA, description="other")
    assert await refused(model, ASKED, row) == "settled"


async def test_what_policy_sets_and_drops_is_set_and_dropped_in_what_is_shown() -> None:
    model = house()
    row = row_of(model, "spin", {"to": "ada"})
    draft = await Edits(model.house).reconsider(row, {"to": "bob", "bcc": "eve", "priority": "high"})
    assert draft.arguments == {"to": "bob", "priority": "low"}
    assert draft.arguments_digest == a_call("spin", draft.arguments).digest
    assert draft.obligations == ("drop bcc", "redact", "set priority='low'")


async def test_arguments_that_policy_would_allow_still_wait_for_the_person_who_edits() -> None:
    model = house()
    draft = await Edits(model.house).reconsider(row_of(model), {"path": "/drafts/b.txt"})
    assert (draft.state, draft.reason, draft.rule) == (ApprovalState.WAITING, Reason.RULE, "up.drafts")
    assert draft.requirement.proof.word == "local"


async def test_an_edit_in_a_session_that_is_only_a_principal_stays_one() -> None:
    model = house()
    row = row_of(model)
    nameless = replace(row, shown=replace(row.shown, named=False))
    assert not (await Edits(model.house).reconsider(nameless, ASKED)).shown.named
    assert (await Edits(model.house).reconsider(row, ASKED)).shown.named


# --- labels ---------------------------------------------------------------------------------------------------------

CONFIG = """\
schema = 1
[gateway]
state = "state"
[upstreams.up]
command = "none"
owner = "alice@example.com"
"""
FILE = """\
# The owner's own words.
owner = "alice@example.com"  # who answers
upstream = "up"

[[tool]]  # the reads
match = "look"
effect = "read"
"""


@dataclass
class Desk:
    """Labels on real files and a real store."""

    labels: Labels
    in_force: InForce
    settings: Settings
    store: SqliteStore
    model: Model
    folder: Path
    state: Path

    @property
    def file(self) -> Path:
        """Where the labels of `up` are written."""
        return self.folder / "policies" / "up.labels.toml"

    def row(self, name: str = "note", state: ApprovalState = ApprovalState.WAITING) -> Approval:
        """A row of a call of a tool that nobody labelled."""
        return replace(row_of(self.model, name, {"text": "one"}), state=state)

    def tool(self, name: str) -> Tool:
        """A tool with the labels that count now."""
        made = self.model.tool(name)
        ref = made.ref
        labels = labels_for(self.in_force(), ref)
        return classify(made.definition, ref, made.exposed_as, made.digest, labels, Owner("alice@example.com", ""))

    def reclassify(self) -> None:
        """Give every tool the labels that count now."""
        self.model.catalogue.tools = {f"up__{name}": self.tool(name) for name in ("look", "note", "wipe")}

    async def refused(self, row: Approval, effect: Effect = Effect.WRITE) -> str:
        """Why a label is not written; everything is as it was."""
        before = {path.name: path.read_bytes() for path in (self.folder / "policies").iterdir()}
        counted, recorded = self.in_force(), len(on_disk(self.state))
        with pytest.raises(ApprovalError) as problem:
            await self.labels.label(row, effect, "os:ada")
        assert {path.name: path.read_bytes() for path in (self.folder / "policies").iterdir()} == before
        assert self.in_force() is counted
        assert len(on_disk(self.state)) == recorded
        return problem.value.objection


@asynccontextmanager
async def a_desk(tmp_path: Path, **policies: str) -> AsyncIterator[Desk]:
    folder = tmp_path / "config"
    for made in (folder, folder / "policies"):
        made.mkdir(mode=0o700)
    write(folder / "upstreams.toml", CONFIG)
    for name, text in policies.items():
        write(folder / "policies" / f"{name}.toml", text)
    settings = await anyio.to_thread.run_sync(load_settings, folder, {})
    in_force = InForce(await loaded(settings))
    model = Model(in_force())
    clock = FakeClock()
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            acceptance = Acceptance(tmp_path / "state", store, Records(store, clock), clock)
            labels = Labels(settings, in_force, acceptance, model.house)
            desk = Desk(labels, in_force, settings, store, model, folder, tmp_path / "state")
            desk.reclassify()
            in_force.on_change(lambda policy: desk.reclassify())
            yield desk
    await whole(tmp_path / "state")


async def loaded(settings: Settings) -> Policy:
    """The policies as the files are now."""
    return await anyio.to_thread.run_sync(load_policy, settings)


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)


async def test_a_label_makes_the_file_of_its_upstream_and_counts_at_once(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        assert not desk.tool("note").labelled
        assert desk.tool("note").tier is Tier.HIGH
        assert await desk.labels.label(desk.row(), Effect.WRITE, "os:ada") == desk.file
        assert desk.file.stat().st_mode & 0o777 == 0o600
        assert desk.file.read_text(encoding="utf-8") == (
            "# What tools do, as people said it on cards of approvals. Yours to edit.\n"
            'upstream = "up"\nowner = "alice@example.com"\n\n'
            '[[tool]] # by os:ada\nmatch = "note"\neffect = "write"\n'
        )
        now = desk.model.catalogue.tools["up__note"]
        assert (now.labelled, now.effect, now.tier) == (True, Effect.WRITE, Tier.WRITE)
        assert not desk.tool("wipe").labelled
        assert desk.in_force() == replace(await loaded(desk.settings), accepted=desk.in_force().accepted)


async def test_who_labelled_what_stands_on_the_record_with_the_new_revision(tmp_path: Path) -> None:
    async with a_desk(tmp_path, files=FILE) as desk:
        before = desk.in_force().revision
        await desk.labels.label(desk.row(), Effect.EGRESS, "os:ada")
        (record,) = (row for row in on_disk(desk.state) if row.kind is Kind.POLICY)
        assert record.policy_revision == desk.in_force().revision != before
        assert record.extra["accepted_by"] == "os:ada"
        assert {file: about["labels"] for file, about in record.extra["files"].items()} == {
            "policies/files.toml": 1,
            "policies/up.labels.toml": 1,
        }
        again = await desk.labels.label(desk.row("wipe"), Effect.DESTRUCTIVE, "os:bob")
        assert again == desk.file
        later = [row for row in on_disk(desk.state) if row.kind is Kind.POLICY][1]
        assert later.extra["accepted_how"] == "label of up/wipe on a_0000000001"
        assert later.extra["before"] == record.policy_revision


async def test_comments_and_order_of_a_label_file_stay(tmp_path: Path) -> None:
    async with a_desk(tmp_path, **{"up.labels": FILE}) as desk:
        await desk.labels.label(desk.row(), Effect.WRITE, "os:ada")
        text = desk.file.read_text(encoding="utf-8")
        assert text.startswith(FILE)
        assert text[len(FILE) :].strip() == '[[tool]] # by os:ada\nmatch = "note"\neffect = "write"'
        assert desk.tool("look").effect is Effect.READ


async def test_a_mark_of_the_byte_order_before_a_label_file_is_taken_away(tmp_path: Path) -> None:
    async with a_desk(tmp_path, **{"up.labels": f"\ufeff{FILE}"}) as desk:
        await desk.labels.label(desk.row(), Effect.WRITE, "os:ada")
        assert desk.file.read_text(encoding="utf-8").startswith(FILE)


async def test_a_label_whose_policies_do_not_load_leaves_everything_as_it_was(tmp_path: Path) -> None:
    # A file that names no upstream takes patterns like `up/note`: what a label would write there is no good.
    nameless = 'owner = "alice@example.com"\n[[tool]]\nmatch = "up/look"\neffect = "read"\n'
    async with a_desk(tmp_path, **{"up.labels": nameless}) as desk:
        assert await desk.refused(desk.row()) == "invalid"


async def test_nothing_but_the_label_comes_into_force_with_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path, files=FILE) as desk:
        sly = FILE.replace('match = "look"', 'match = ["look", "wipe"]')
        write(desk.folder / "policies" / "files.toml", sly)
        assert await desk.refused(desk.row()) == "invalid"
        write(desk.folder / "policies" / "files.toml", "no policy at all")
        assert await desk.refused(desk.row()) == "invalid"
        write(desk.folder / "policies" / "files.toml", FILE)
        await desk.labels.label(desk.row(), Effect.WRITE, "os:ada")
        assert not desk.tool("wipe").labelled


async def test_a_label_file_that_was_not_there_is_not_there_after_a_failure(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row = replace(desk.row(), tool="note")
        broken = replace(desk.model.catalogue.tools["up__note"], owner=Owner("", ""))
        desk.model.catalogue.tools["up__note"] = broken
        assert await desk.refused(row) == "invalid"
        assert not desk.file.exists()


async def test_a_label_that_can_not_be_recorded_is_not_kept(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.store._writer.run(lambda db: db.execute("PRAGMA query_only=1"))
        with pytest.raises(RecordError):
            await desk.labels.label(desk.row(), Effect.WRITE, "os:ada")
        await desk.store._writer.run(lambda db: db.execute("PRAGMA query_only=0"))
        assert not desk.file.exists()
        assert not desk.tool("note").labelled
        await desk.labels.label(desk.row(), Effect.WRITE, "os:ada")
        assert desk.tool("note").labelled


@pytest.mark.parametrize("state", [state for state in ApprovalState if state is not ApprovalState.WAITING])
async def test_a_row_that_does_not_wait_labels_nothing(tmp_path: Path, state: ApprovalState) -> None:
    async with a_desk(tmp_path) as desk:
        assert await desk.refused(desk.row(state=state)) == "settled"


async def test_a_tool_that_is_labelled_or_gone_is_not_labelled_again(tmp_path: Path) -> None:
    async with a_desk(tmp_path, files=FILE) as desk:
        row = desk.row()
        assert await desk.refused(replace(row, tool="look")) == "settled"
        assert await desk.refused(replace(row, tool="gone")) == "settled"


async def test_a_tool_that_is_not_as_it_was_shown_is_not_labelled(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row = desk.row()
        desk.model.catalogue.tools["up__note"] = desk.model.tool("note", description="other words")
        assert await desk.refused(row, Effect.READ) == "settled"


async def test_two_people_who_label_at_once_label_once(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row, ended = desk.row(), list[str]()

        async def label(effect: Effect) -> None:
            try:
                await desk.labels.label(row, effect, "os:ada")
                ended.append("done")
            except ApprovalError as problem:
                ended.append(problem.objection)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(label, Effect.WRITE)
            tasks.start_soon(label, Effect.READ)
        assert sorted(ended) == ["done", "settled"]
        assert desk.file.read_text(encoding="utf-8").count("[[tool]]") == 1
