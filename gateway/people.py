"""Who a user is, and who may read everybody's records. Light: commands start with it. It decides nothing."""

from pathlib import Path

AUDITOR = "auditor"


def user_name(uid: int) -> str:
    """The user's name, or the number where it has none."""
    import pwd  # imported late: not on every platform

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def auditors(config: Path, owner: int | None = None) -> frozenset[str]:
    """The names of `[approvers]` with the role `auditor`, without reading more of a configuration than that.

    One that can't be read, or is not of that shape, names nobody: `wardgate check` says what is wrong with it. With
    `owner`, the user whose record is read, neither does a file of anybody else but root: no reader names himself.
    """
    import tomllib  # imported late, as in `place`

    try:
        if owner is not None and config.stat().st_uid not in (0, owner):
            return frozenset()
        found = tomllib.loads(config.read_text(encoding="utf-8-sig")).get("approvers", {})
    except (OSError, ValueError, RecursionError):
        return frozenset()
    entries = found.items() if isinstance(found, dict) else ()
    return frozenset(
        name
        for name, entry in entries
        if isinstance(entry, dict) and isinstance(roles := entry.get("roles"), list) and AUDITOR in roles
    )
