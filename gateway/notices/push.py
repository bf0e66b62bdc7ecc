"""Notices by the extra `notify`: chat, mail, ntfy, webhooks, by their addresses as apprise knows them.

An address may hold a secret: it is resolved each time, kept nowhere, and told to nobody but the program that sends.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.to_thread

from gateway.config import resolve
from gateway.core.mail import mail_to
from gateway.core.notice import Group, Notice
from gateway.errors import ConfigurationError, GatewayError
from gateway.notices import send

MOST_AT_ONCE = 4  # programs that send at a time
PASSED_ON = frozenset(
    (
        *("PATH", "HOME", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    )
)


class Push:
    """One target. `base` is the folder to which a `file:` reference is relative."""

    def __init__(self, name: str, target: str, base: Path, limiter: anyio.CapacityLimiter) -> None:
        self.name = name
        self._target, self._base, self._limiter = target, base, limiter

    async def tell(self, group: Group, notice: Notice, *, anew: bool) -> None:
        """Send a notice; what was sent before is not sent again. Raises `GatewayError`."""
        if not anew:
            return
        address = await anyio.to_thread.run_sync(self._address)
        if not address:
            return
        asked = {"address": address, "title": notice.title, "text": notice.text}
        async with self._limiter:
            done = await anyio.run_process(
                [sys.executable, "-I", send.__file__],
                input=json.dumps(asked).encode(),
                stderr=subprocess.DEVNULL,
                check=False,
                env={name: value for name, value in os.environ.items() if name in PASSED_ON},
            )
        if done.returncode or done.stdout:
            raise GatewayError(done.stdout.decode("utf-8", "replace")[:200] or f"it ended with {done.returncode}")

    async def withdraw(self, group: Group) -> None:
        """What was sent stays where it is."""

    def _address(self) -> str:
        return resolved(self._target, self._base)


class OwnerMail(Push):
    """The business owner of an upstream, from the first mailbox among the targets; tells nobody where there is none."""

    def __init__(self, owner: str, targets: Sequence[str], base: Path, limiter: anyio.CapacityLimiter) -> None:
        super().__init__("owner", "", base, limiter)
        self._owner, self._targets = owner, targets

    def _address(self) -> str:
        return mail_to(self._owner, [resolved(target, self._base) for target in self._targets])


def resolved(target: str, base: Path) -> str:
    """The address of a target; blocks. Raises `GatewayError`, in words without it."""
    try:
        return resolve(target, base)
    except ConfigurationError as problem:
        raise GatewayError(str(problem)) from None
