"""What people run every day starts in a moment: what each command imports is counted, with a gateway that runs."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from gateway.cli.main import COMMANDS
from tests.cli.room import Room, configure, running

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.may_block(reason="binding the control socket looks at its path, once at start")

HEAVY = (
    *("mcp", "mcp_types", "cel", "pydantic", "rich", "typer", "anyio", "aiosqlite", "starlette", "httpx2", "jinja2"),
    *("cryptography", "tomlkit", "jsonschema", "kingfisher_sdk", "argcomplete", "logging", "asyncio", "concurrent"),
    *("gateway.app", "gateway.server", "gateway.upstreams", "gateway.screening", "gateway.console"),
)
MOST = 220  # modules that one of them loads; a bare Python has about 60
MOST_OF_THE_INVENTORY = 260  # the same of `tools`, which reads the whole configuration besides
COUNT = """
import sys
sys.argv = ["wardgate", *sys.argv[1:]]
code = 0
try:
    from gateway.cli.main import main
    main()
except SystemExit as ended:
    code = int(ended.code or 0)
import json
sys.stdout.flush()
print(json.dumps({"code": code, "modules": sorted(sys.modules)}), file=sys.stderr)
"""
APPROVAL = "{approval}"
EVERYDAY = (
    ("approvals",),
    ("approvals", "show", APPROVAL),
    ("approve", APPROVAL),
    ("deny", APPROVAL, "--reason", "no"),
    ("grants",),
    ("log",),
    ("explain", APPROVAL),
    ("sessions",),
    ("leaks",),
    ("freeze",),
    ("console", "--help"),
    ("completion", "--help"),
    ("stdio", "--help"),
    ("hook", "--help"),
    ("--help",),
    ("--version",),
    ("aprove",),
)


async def loaded(*words: str) -> tuple[int, Sequence[str]]:
    """How `wardgate WORDS` ends, and the modules that it has loaded by then."""
    done = await anyio.run_process([sys.executable, "-c", COUNT, *words], check=False)
    told = json.loads(done.stderr.splitlines()[-1])
    return told["code"], told["modules"]


def heavy(modules: Sequence[str]) -> list[str]:
    """Which of them nobody should have to wait for."""
    return [name for name in HEAVY if name in modules]


async def _recorded(room: Room) -> str:
    return (await room.asks()).id


@pytest.mark.parametrize("words", EVERYDAY, ids=" ".join)
async def test_what_people_run_every_day_loads_little(words: Sequence[str], tmp_path: Path, capsys: Capture) -> None:
    async with running(tmp_path, capsys) as room:
        id = await _recorded(room)
        config = () if words[-1].startswith("--") or words == ("aprove",) else ("--config", str(tmp_path))
        code, modules = await loaded(*(word.format(approval=id) for word in words), *config)
    assert code == (2 if words == ("aprove",) else 0)
    assert heavy(modules) == []
    assert len(modules) <= MOST, len(modules)


@pytest.mark.parametrize("words", [("tools",), ("doctor",)], ids=" ".join)
async def test_the_inventory_and_the_doctor_load_neither_the_sdk_nor_conditions(
    words: Sequence[str], tmp_path: Path, capsys: Capture
) -> None:
    async with running(tmp_path, capsys):
        _, modules = await loaded(*words, "--config", str(tmp_path))
    assert {"mcp", "mcp_types", "cel", "gateway.app", "gateway.server", "rich"}.isdisjoint(modules)
    if words == ("tools",):
        assert heavy(modules) == []
        assert len(modules) <= MOST_OF_THE_INVENTORY, len(modules)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"serve"}))
async def test_help_loads_no_more_than_its_options(name: str) -> None:
    code, modules = await loaded(name, "--help")
    assert code == 0
    assert heavy(modules) == []


async def test_a_command_that_finds_nobody_loads_little_too(tmp_path: Path) -> None:
    code, modules = await loaded("approvals", "--config", str(configure(tmp_path / "place")))
    assert code == 3
    assert heavy(modules) == []


async def test_what_is_counted_would_be_seen() -> None:
    _, modules = await loaded("warm")
    assert {"kingfisher_sdk"} <= set(heavy(modules))
