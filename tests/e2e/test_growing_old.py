"""Growing old, from outside: copies of a running gateway's record, exchanged keys, and what an uninstall finds."""

import json
import os
import shutil
import sys
from pathlib import Path

import anyio
import pytest

from tests.e2e.kit import LABELS, House, text, until

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"
FREE = LABELS.replace('tools = ["stall", "die"]', 'tools = ["stall", "die", "note"]')


@pytest.mark.slow
async def test_a_copy_takes_the_place_of_the_record_and_values_and_proofs_outlast_an_exchange_of_keys(
    house: House,
) -> None:
    kept, copy, away = house.folder / "kept", house.place / "copy", house.folder / "state.old"
    table = f'[record]\ncheckpoints = [{{ file = "{kept}" }}]\n'
    house.configure(house.ledger(), table, policies={"ledger": FREE})
    ended: list[bool] = []
    async with house.client("shim", "modern") as client, anyio.create_task_group() as calls:
        going = True

        async def work(number: int) -> None:
            while going:
                ended.append((await client.call_tool("ledger__note", {"text": f"{number} {len(ended)}"})).is_error)

        for number in range(4):
            calls.start_soon(work, number)
        await until(lambda: len(ended) > 20)
        before = len(ended)
        made = await house.run("backup", str(copy), "--json")
        assert made.code == 0, made
        assert len(ended) > before  # they went on
        going = False
    assert not any(ended)
    (item,) = json.loads(made.out)["items"]
    assert item["ok"]
    assert item["size"] >= 2 * before
    house.close()
    assert (await house.run("verify", "--against", str(kept))).code == 0
    assert (await house.run("verify", "--state", str(copy))).code == 0
    house.state.rename(away)
    await anyio.to_thread.run_sync(shutil.copytree, copy, house.state)
    assert (await house.run("serve")).code == 3  # without its keys
    for name in ("key", "signing-key"):
        shutil.copy2(away / name, house.state)
    older = await house.run("verify", "--against", str(kept))
    assert older.code == 1
    assert "an older copy" in older.out
    await exchange_keys(house)


async def exchange_keys(house: House) -> None:
    """A gateway runs before and after it; each call is found and proven by the old key, and by the new one."""
    async with house.client("standalone", "modern") as client:
        assert text(await client.call_tool("ledger__note", {"text": "before"})) == "note: before"
        for which in ("digest", "signing"):
            refused = await house.run("record", "rotate", which)
            assert refused.code == 3
            assert "stop it first" in refused.err
        (call, *_) = await house.items("log", "--kind", "outcome", "--tool", "note")
        bundle = house.place / "before.json"
        assert (await house.run("export", "--proof", call["id"], "--output", str(bundle))).code == 0
    assert (await house.run("verify")).code == 0
    old = json.loads(bundle.read_text(encoding="utf-8"))["keys"][-1]
    for which in ("digest", "signing"):
        (row,) = await house.items("record", "rotate", which)
        assert row["lost"] is False
    async with house.client("standalone", "modern") as client:
        assert text(await client.call_tool("ledger__note", {"text": "after"})) == "note: after"
        (call, *_) = await house.items("log", "--kind", "outcome", "--tool", "note")
        bundle = house.place / "after.json"
        assert (await house.run("export", "--proof", call["id"], "--output", str(bundle))).code == 0
    for name, key in (("before", old), ("after", old), ("after", row["key"])):
        words = [sys.executable, "-m", "gateway.proof", str(house.place / f"{name}.json"), "--key", key]
        proven = await anyio.run_process(words, check=False)
        assert proven.returncode == 0, proven.stderr
        assert (await house.run("verify", "--key", key)).code == 0
    for word in ("before", "after"):
        found = await house.items("record", "find", "--value", json.dumps({"text": word}))
        assert {(item["kind"], item["tool"], tuple(item["matched"])) for item in found} == {
            ("intent", "note", ("arguments",)),
            ("outcome", "note", ("arguments",)),
        }
        (outcome,) = await house.items("record", "find", "--value", f"note: {word}")
        assert (outcome["kind"], outcome["matched"]) == ("outcome", ["result"])


def files(folder: Path) -> set[str]:
    """The files below a folder, but for links and sockets that ended."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
async def test_a_gateway_leaves_nothing_outside_the_places_that_an_uninstall_removes(
    tmp_path: Path, wardgate_command: str
) -> None:
    """All that docs/record.md lists, and nothing else, holds anything after a gateway was used."""
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    for folder in (home, scratch):
        folder.mkdir(mode=0o700)
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "WARDGATE_"))}
    environment = {**mine, "HOME": str(home), "TMPDIR": str(scratch), "PYTHONDONTWRITEBYTECODE": "1"}
    house = House(tmp_path, environment, wardgate_command)
    config, state, cache = (
        home / ".config" / "wardgate",
        home / ".local" / "state" / "wardgate",
        home / ".cache" / "wardgate",
    )
    house.configure(policies={"ledger": FREE})
    told = house.folder / "upstreams.toml"
    house.write("upstreams.toml", told.read_text(encoding="utf-8").replace('state = "state"\n', ""))
    config.parent.mkdir(parents=True)
    house.folder.rename(config)
    house.folder.symlink_to(config)
    try:
        for door in ("shim", "standalone"):
            async with house.client(door, "modern") as client:
                assert not (await client.call_tool("ledger__note", {"text": "one"})).is_error
                assert (await house.run("log")).code == 0
                assert (await house.run("verify")).code == 0
            house.close()
    finally:
        house.close()
    assert files(home) == {
        str(path.relative_to(home)) for place in (config, state, cache) for path in place.rglob("*") if path.is_file()
    }
    assert (state / "record.db").is_file()
    assert files(scratch) == set()
    listed = REFERENCE.read_text(encoding="utf-8").partition("## What lies in the state folder")[2]
    names = [path.name + "/" * path.is_dir() for path in state.iterdir()]
    assert [name for name in names if f"`{name}`" not in listed] == []
    for place in (config, state, cache):
        assert place.is_dir()
        shutil.rmtree(place)
    assert files(home) == set()
