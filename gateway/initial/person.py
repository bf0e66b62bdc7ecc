"""Who answers for what is set up, if nobody says so: the mail address of git, or the name of the user."""

import getpass
import os
import shutil
import subprocess
from collections.abc import Mapping

PATIENCE = 5.0  # seconds that git gets


def owner_of(environ: Mapping[str, str]) -> str:
    """A mail address or a name, or the number of a user whose name is no text."""
    name = _of_git(environ) or getpass.getuser()
    return name if name.isprintable() else str(os.getuid())


def _of_git(environ: Mapping[str, str]) -> str:
    """The address that the user's own settings of git name; a repository's own settings say nothing here."""
    git = shutil.which("git", path=environ.get("PATH"))
    if git is None:
        return ""
    try:
        asked = [git, "config", "--global", "user.email"]
        done = subprocess.run(asked, capture_output=True, timeout=PATIENCE, check=False, env=dict(environ))
    except (OSError, subprocess.TimeoutExpired):
        return ""
    said = done.stdout.decode("utf-8", "replace").strip()
    return said if said.isprintable() and "@" in said else ""
