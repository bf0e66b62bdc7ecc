"""What the exact search is told besides what upstreams are given: honeytokens, the gateway's own keys, the addresses
that its notices go to, and the hashes of clients' tokens.
"""

import base64
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import anyio.to_thread

from gateway.clock import Sleeper
from gateway.config import Settings
from gateway.config.references import resolve, split_reference
from gateway.core.own import HONEYTOKEN
from gateway.errors import ConfigurationError, StateError
from gateway.honeytokens import Credential, Honeytoken, Honeytokens, credential
from gateway.screening.screener import Screener
from gateway.store.folder import digest_keys
from gateway.tokens import Tokens

LONG = re.compile(r"[A-Za-z0-9_-]{20,}")  # a part of an address that is a token of its own
LOOK_EVERY = 30.0  # seconds until the file of clients' tokens is looked at again, where no request made us look

log = logging.getLogger("wardgate")


async def plant(state: Path, screener: Screener) -> int:
    """Look for every honeytoken of a state folder from now on; returns how many those are.

    Raises `StateError` where the file or a key can't be read.
    """
    found = await anyio.to_thread.run_sync(_made, state)
    for honeytoken, made in found:
        if made is None:
            log.warning("%s can't be looked for: the key that it was made from is lost", honeytoken.name)
            continue
        for value in made.values:
            screener.know(honeytoken.name, value, HONEYTOKEN)
    return sum(made is not None for _, made in found)


def _made(state: Path) -> list[tuple[Honeytoken, Credential | None]]:
    """Reads files; not for the loop."""
    honeytokens = Honeytokens(state).all()
    keys = digest_keys(state) if honeytokens else ()
    return [(each, credential(each, keys)) for each in honeytokens]


def know_keys(keys: Mapping[str, bytes], screener: Screener) -> None:
    """Look for the gateway's own keys, as texts may hold them."""
    for name, key in keys.items():
        coded = (base64.b64encode(key), base64.urlsafe_b64encode(key))
        for text in (key.hex(), key.hex().upper(), *(each.decode("ascii").rstrip("=") for each in coded)):
            screener.know(f"key {name}", text)


async def know_targets(settings: Settings, screener: Screener) -> None:
    """Look for the addresses of `[notify]` that stand elsewhere, and for the tokens in them; resolving may take long.

    One that can't be resolved is told when it is used.
    """
    for key in ("to", "second"):
        for place, target in enumerate(getattr(settings.notify, key), 1):
            if split_reference(target)[0]:
                with suppress(ConfigurationError):
                    found = await anyio.to_thread.run_sync(resolve, target, settings.root, abandon_on_cancel=True)
                    for value in (found, *LONG.findall(found)):
                        screener.know(f"notify.{key}[{place}]", value)


async def follow_tokens(tokens: Tokens, clock: Sleeper) -> None:
    """Keep what is known of clients' tokens up to date, until cancelled: the search itself may touch no file."""
    while True:
        try:
            await anyio.to_thread.run_sync(tokens.all)
        except StateError as problem:
            log.warning("client tokens: %s", problem)
        await clock.sleep(LOOK_EVERY)
