"""Sign with an ssh key what the gateway hands out: an answer to an approval, or another key. Light, no network."""

import base64
import binascii
import json
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.cli.talk import Unreachable, ask

WRONG = 1  # the exit code where nothing was signed
NAMESPACE = "wardgate-approval"  # whatever is asked for: what is signed here counts nowhere else
KEY_FORMAT = "wardgate-key/1"
GRANTS = ("arguments", "pattern", "session", "vouch")  # choices that give more than one call


def add_options(options: ArgumentParser) -> None:
    """`--key` and `--sign`, for a command that decides."""
    options.add_argument("--key", metavar="FILE", help="sign with this ssh key (private, or public and in an agent)")
    options.add_argument("--sign", action="store_true", help="sign with the enrolled ssh key that is in ~/.ssh")


def signed(config: str | None, answer: Mapping[str, Any], shown: Mapping[str, Any], key: str | None) -> dict[str, str]:
    """What `signed` of an `approve` holds: the signature of `answer` to the row `shown`, by `key` or the enrolled one.

    What is signed is looked at first. Raises `Unreachable` where nothing is.
    """
    file = Path(key).expanduser() if key else _enrolled(config)
    made = ask(config, "document", **answer)
    _look(made["document"], answer, shown)
    return {"nonce": made["nonce"], "signature": sign(made["document"], file)}


def sign(document: str, key: Path) -> str:
    """The signature of a document, as `ssh-keygen` makes it; it may ask for a passphrase or a touch at the terminal."""
    words = ["ssh-keygen", "-Y", "sign", "-n", NAMESPACE, "-f", str(key)]
    try:
        done = subprocess.run(words, input=document.encode(), stdout=subprocess.PIPE, check=False)
    except OSError as problem:
        raise Unreachable(f"`ssh-keygen` can't be run: {problem.strerror}", WRONG) from None
    if done.returncode:
        raise Unreachable(f"nothing was signed with `{key}`: nothing was decided", WRONG)
    return done.stdout.decode("ascii", "replace")


def endorsed(document: str, key: Path) -> str:
    """The signature of a document by which another key counts for the same name; says before which key that is."""
    said = json.loads(document)
    if said.get("format") != KEY_FORMAT:
        raise Unreachable("the gateway asks to sign something else than a key: nothing was signed", WRONG)
    about = (said["kind"], said["key"], said["name"])
    print("wardgate: you sign that the {} key {} signs for {}".format(*map(ascii, about)), file=sys.stderr)
    return sign(document, key)


def _look(document: str, answer: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    """What is about to be signed has to be the answer to what was shown, and nothing besides."""
    said = json.loads(document)
    wanted = [shown["id"], *answer.get("also", ())]
    same = (
        [one["approval"] for one in said["statements"]] == wanted
        and said["statements"][0]["arguments_digest"] == shown["arguments_digest"]
        and said["choice"] == answer.get("choice", "once")
        and ("uses" in said) == (said["choice"] in GRANTS)
        and answer.get("uses", said.get("uses")) == said.get("uses")
        and said.get("values", []) == list(answer.get("values", []))
    )
    if not same:
        raise Unreachable("the gateway asks to sign something else than what was shown: nothing was signed", WRONG)


def _enrolled(config: str | None) -> Path:
    """The key in ~/.ssh that is enrolled."""
    known = {_blob(item["public"]) for item in ask(config, "keys")["items"] if item["kind"] == "ssh"}
    found = [file for file in sorted(Path("~/.ssh").expanduser().glob("*.pub")) if _blob(_line(file)) in known]
    if len(found) != 1:
        many = "none" if not found else "more than one"
        raise Unreachable(f"{many} of the keys in ~/.ssh is enrolled: name the one to sign with by `--key FILE`", WRONG)
    private = found[0].with_suffix("")
    return private if private.exists() else found[0]


def _line(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _blob(line: str) -> bytes:
    """The bytes of a public key's line; a marker for one that is none."""
    words = line.split()
    try:
        return base64.b64decode(words[1], validate=True)
    except (IndexError, binascii.Error):
        return b"none"
