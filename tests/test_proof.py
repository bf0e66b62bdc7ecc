"""Bundles: made from a real store, checked by the verifier that stands alone, and refused once anything is changed."""

import copy
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import keeping, proof
from gateway.bundling import Uncovered, bundle
from gateway.checkpoints import Checkpoints
from gateway.config import Recording
from gateway.core.model import Kind
from gateway.errors import StateError
from gateway.keeping import Keeping
from gateway.reading import reading
from gateway.records import Records
from gateway.schema import STORE_NAME
from gateway.signing import verifier_of
from gateway.store import open_store
from tests.fakes import FakeClock, a_record
from tests.store.keep import AT_ONCE

CALL = "d_0000000005"


class FakeSpace:
    async def free(self) -> int:
        return 1 << 40

    async def used(self) -> int:
        return 0


class Made:
    """A record of which the call 5 has an intent and an outcome, with checkpoints between and behind."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.key, self.notes = anyio.run(self._fill)

    async def _fill(self) -> tuple[str, list[str]]:
        clock = FakeClock()
        async with open_store(self.state, AT_ONCE) as store:
            records = Records(store, clock)
            checkpoints = Checkpoints(store, records, clock, Recording(keep=1.0), store.folder.signing_key)
            notes = []
            for number in range(9):
                await records.append(a_record(number))
                if number in (3, 5):
                    notes.append(await checkpoints.make())
            await records.append(a_record(5, Kind.OUTCOME, outcome="ok"))
            notes.append(await checkpoints.make())
            await records.append(a_record(77))
            for number in range(3):
                await records.append(a_record(number, Kind.OUTCOME, outcome="ok"))
            return str(verifier_of(checkpoints.origin, store.folder.signing_key)), notes

    def bundle(self, call: str = CALL) -> dict[str, Any]:
        with reading(self.state) as db:
            return json.loads(json.dumps(bundle(db, call)))  # as it comes from a file


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("proof"))


def test_a_bundle_shows_the_rows_of_a_call(made: Made) -> None:
    said = proof.check(made.bundle(), made.key)
    assert [line.split()[:1] for line in said] == [["checkpoint"], ["checkpoint"], ["row"], ["row"]]
    assert "intent" in said[2]
    assert "outcome" in said[3]


def test_a_bundle_is_accepted_where_there_is_no_store_and_nothing_else_of_the_gateway(
    made: Made, tmp_path: Path
) -> None:
    alone = tmp_path / "gateway"
    alone.mkdir()
    shutil.copy(proof.__file__, alone / "proof.py")
    (alone / "__init__.py").touch()
    (tmp_path / "bundle").write_text(json.dumps(made.bundle()), encoding="utf-8")
    (tmp_path / "kept").write_text("\n".join(made.notes), encoding="utf-8")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "gateway.proof", "bundle", *words]
        environ = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    plain = run()
    assert (plain.returncode, plain.stderr) == (0, "")
    assert "its own word" in plain.stdout or "own word" in plain.stdout
    sure = run("--key", made.key, "--checkpoint", "kept")
    assert sure.returncode == 0
    assert "one of those that you kept" in sure.stdout
    assert "own word" not in sure.stdout
    other = str(verifier_of(made.key.split("+")[0], b"o" * 32))
    refused = run("--key", other)
    assert (refused.returncode, refused.stdout) == (1, "")
    (tmp_path / "kept").write_text(made.notes[0], encoding="utf-8")
    assert run("--checkpoint", "kept").returncode == 1
    (tmp_path / "bundle").write_text("{}", encoding="utf-8")
    assert run().returncode == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.data())
def test_no_change_of_a_bundle_is_taken_for_proven(made: Made, data: st.DataObject) -> None:
    whole = json.dumps(made.bundle())
    at = data.draw(st.integers(0, len(whole) - 1))
    char = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    try:
        said = proof.check(json.loads(whole[:at] + char + whole[at + 1 :]), made.key)
    except (proof.Refused, ValueError, KeyError, TypeError, AttributeError):
        return
    assert said == proof.check(made.bundle(), made.key)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda it: it["rows"].append(it["rows"][0] | {"index": 1}),
        lambda it: it["rows"][0].update(proof=it["rows"][0]["proof"][:-1]),
        lambda it: it["rows"][0].update(proof=[*it["rows"][0]["proof"], "AA=="]),
        lambda it: it["rows"][0].update(size=10_000),
        lambda it: it["rows"][0].update(index=10_000),
        lambda it: it.update(rows=[]),
        lambda it: it.update(call="d_0000000006"),
        lambda it: it.update(checkpoints=[]),
        lambda it: it.update(checkpoints=["x"]),
        lambda it: it.update(keys=["x"]),
        lambda it: it.update(format="other"),
    ],
)
def test_a_bundle_that_was_put_together_otherwise_is_refused(spoil: Any, made: Made) -> None:
    spoilt = copy.deepcopy(made.bundle())
    spoil(spoilt)
    with pytest.raises((proof.Refused, KeyError)):
        proof.check(spoilt, made.key if "keys" not in spoilt or spoilt["keys"] != ["x"] else "")


def test_a_row_that_no_checkpoint_covers_yet_is_told_apart(made: Made) -> None:
    with pytest.raises(Uncovered):
        made.bundle("d_0000000077")


def test_a_record_that_can_not_prove_itself_says_so(made: Made, tmp_path: Path) -> None:
    spoilt = shutil.copytree(made.state, tmp_path / "state")
    with closing(sqlite3.connect(spoilt / STORE_NAME, isolation_level=None)) as db:
        db.execute("UPDATE record SET leaf = x'00' WHERE seq = 8")
    with reading(spoilt) as db, pytest.raises(StateError):
        bundle(db, CALL)


def test_a_bundle_can_be_made_after_pruning(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = shutil.copytree(made.state, tmp_path / "state")
    monkeypatch.setattr(keeping, "LEAST", 1)

    async def prune() -> int:
        clock = FakeClock()
        async with open_store(state, AT_ONCE) as store:
            records = Records(store, clock)
            await records.close_open_intents()
            clock.advance(3600)
            room = Keeping(store, records, clock, Recording(keep=1.0), FakeSpace())  # type: ignore[arg-type]  # a disk
            monkeypatch.setattr(keeping, "STEP", 3)
            monkeypatch.setattr(room, "_bound", lambda gone, upto: as_it_is(5))
            return await room.prune()

    async def as_it_is(upto: int) -> int:
        return upto

    clock_sleep = FakeClock.sleep

    async def at_once(self: FakeClock, seconds: float) -> None:
        await clock_sleep(self, 0)

    monkeypatch.setattr(FakeClock, "sleep", at_once)
    assert anyio.run(prune) == 5
    with reading(state) as db:
        assert proof.check(json.loads(json.dumps(bundle(db, CALL))), made.key)
