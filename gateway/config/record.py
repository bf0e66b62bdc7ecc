"""Read `[record]`: how long the record is kept, and where its checkpoints go. Opens no file."""

from pathlib import Path

from gateway.config.hosts import may_carry_tokens
from gateway.config.nouns import Keeper, Recording
from gateway.core.section import Section

KIB, MIB, TIB = 1024, 1024**2, 1024**4
DAY = 86_400.0
FACILITIES = ("auth", "authpriv", "daemon", "user", *(f"local{number}" for number in range(8)))
KEEPERS = ("file", "syslog", "command", "witness")
ORIGIN = r"[^\s+]{1,200}"


def read_recording(section: Section, base: Path) -> Recording:
    """The `[record]` table; `base` is the folder to which paths are relative."""
    plain = Recording()
    keep = section.duration("keep", 0.0, DAY, 100 * 366 * DAY)
    size = section.size("size", 0, 16 * MIB, 100 * TIB)
    recording = Recording(
        checkpoint_rows=section.number("checkpoint_rows", plain.checkpoint_rows, 1, 1_000_000),
        checkpoint_every=section.duration("checkpoint_every", plain.checkpoint_every, 1, DAY),
        checkpoints=tuple(keeper for each in section.each("checkpoints") if (keeper := _keeper(each, base))),
        origin=section.text("origin", "", ORIGIN, "a name without spaces and `+`, such as `example.com/wardgate`"),
        keep=keep or None,
        size=size or None,
        low_space=section.size("low_space", plain.low_space, 0, 100 * TIB),
        search=section.flag("search", plain.search),
        most=section.size("most", plain.most, KIB, 16 * MIB),
    )
    section.close()
    return recording


def _keeper(section: Section, base: Path) -> Keeper | None:
    """One entry of `checkpoints`: a table with exactly one key, which says what kind of place it is."""
    kinds = [key for key in section.keys if key in KEEPERS]
    keeper = None
    match kinds:
        case ["file"]:
            if named := section.text("file", expected="the path of a file"):
                keeper = Keeper("file", str((base / Path(named).expanduser()).absolute()))
        case ["syslog"]:
            keeper = Keeper("syslog", section.word("syslog", FACILITIES, "daemon"))
        case ["command"]:
            words = section.texts("command", "a list: an absolute path, then arguments")
            if words and Path(words[0]).is_absolute():
                keeper = Keeper("command", words[0], words[1:])
            else:
                section.wrong("command", "a list: an absolute path, then arguments", list(words))
        case ["witness"]:
            url = section.text("witness", expected="an address that starts with https://")
            if url and may_carry_tokens(url, loopback=True):
                keeper = Keeper("witness", url.rstrip("/"))
            elif url:
                section.wrong("witness", "an address that starts with https:// (or http:// on loopback)", url)
        case _:
            section.problem("", f"expected exactly one of {', '.join(KEEPERS)}")
    section.close()
    return keeper
