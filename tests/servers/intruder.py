"""A process beside the gateway that tries to go round it; the standard library, and the gateway's own code.

    intruder.py [--as UID] ATTEMPT...

It reads its plan (JSON) from standard input and prints {attempt: [what came of it, why not]}. With `--as` it becomes
another user first, as a program of the agent's own user would be.
"""

import encodings.idna  # noqa: F401 - else looked for on the disk once this is another user
import http.client
import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import tomllib  # noqa: F401 - as above
from contextlib import closing
from pathlib import Path

import gateway.cli.approve
import gateway.cli.decide
import gateway.place  # noqa: F401 - as above
from gateway.cli.main import main
from gateway.cli.talk import exchange
from gateway.core.merkle import Tree

READING = 0.8  # seconds that a card has to stand there
PATIENCE = 10.0
NAMESPACE = "wardgate-approval"
KEYS = ("key", "signing-key")


def control(plan, **request):
    return exchange(Path(plan["state"]), json.dumps(request).encode() + b"\n")


def settled(answer):
    return bool(answer.get("ok")) and answer["items"][0]["state"] == "approved", answer.get("error", "")


# --- looking


def read_files(plan):
    config, state = Path(plan["config"]), Path(plan["state"])
    texts = [(config / "upstreams.toml").read_text(), *(file.read_text() for file in (config / "policies").iterdir())]
    keys = [(state / name).read_bytes() for name in KEYS]
    with closing(sqlite3.connect(f"file:{state}/record.db?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT body FROM record").fetchall()
    return bool(all(texts) and all(keys) and rows), ""


def read_environment(plan):
    return plan["planted"].encode() in Path(f"/proc/{plan['pid']}/environ").read_bytes(), ""


def read_memory(plan):
    with Path(f"/proc/{plan['pid']}/maps").open() as maps, Path(f"/proc/{plan['pid']}/mem").open("rb", 0) as memory:
        for line in maps:
            place, mode, *_ = line.split()
            if "[stack]" in line and mode.startswith("r"):
                begin, end = (int(part, 16) for part in place.split("-"))
                memory.seek(begin)
                return plan["planted"].encode() in memory.read(end - begin), ""
    return False, "no stack"


# --- deciding


def approve_by_socket(plan, row):
    return settled(control(plan, op="approve", id=row))


def approve_in_a_terminal(plan, row):
    child, end = pty.fork()
    if child == 0:
        code = 99
        try:
            sys.argv = ["wardgate", "approve", row, "--config", plan["config"]]
            main()
        except SystemExit as ended:
            code = ended.code
        except Exception as problem:
            print(repr(problem))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    said = b""
    asked = None
    while select.select([end], [], [], PATIENCE)[0]:
        try:
            said += os.read(end, 65536)
        except OSError:  # the other side has closed it
            break
        if asked is None and (asked := re.search(rb"Type `([^`]+)` to approve", said)):
            threading.Event().wait(READING)
            os.write(end, asked[1] + b"\n")
    os.close(end)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code == 0 and b"approved:" in said, f"{code}: {said[-200:].decode(errors='replace').strip()}"


class Browser:
    """What asks the console, as a page of `host` would."""

    def __init__(self, plan, **headers):
        self.port, self.headers = plan["port"], headers

    def ask(self, method, path, body=None, **headers):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with closing(link):
            own = {"host": f"localhost:{self.port}", "origin": f"http://localhost:{self.port}"}
            if body is not None:
                own["content-type"] = "application/json"
            link.request(
                method, path, json.dumps(body) if body is not None else None, {**own, **self.headers, **headers}
            )
            answer = link.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def sign_in(self, plan):
        url = control(plan, op="console")["items"][0]["url"]
        status, headers, body = self.ask("POST", "/do/sign-in", {"link": url.partition("#key=")[2]})
        assert status == 200, (status, body)
        self.headers = {"cookie": headers["set-cookie"].partition(";")[0], "x-wardgate-key": json.loads(body)["key"]}
        return self


def an_answer(plan, row):
    """An answer that would count, of one that was signed in."""
    shown = control(plan, op="approval", id=row)
    digest = shown["items"][0]["arguments_digest"]
    return {"choice": "once", "confirm": shown["view"]["exposed"], "digest": digest}


def approve_in_the_console(plan, row):
    browser = Browser(plan).sign_in(plan)
    assert browser.ask("GET", f"/data/approvals/{row}")[0] == 200
    threading.Event().wait(READING)
    status, _, body = browser.ask("POST", f"/do/approvals/{row}", an_answer(plan, row))
    return status == 200 and json.loads(body)["state"] == "approved", body.decode()


def decide_without_the_right(plan, row):
    """Without signing in, with half of a sign-in, with a client's token, from another page, by a GET."""
    body = an_answer(plan, row) if plan["mine"] else {"choice": "once"}
    tried = {
        "not signed in": Browser(plan).ask("POST", f"/do/approvals/{row}", body),
        "token of a client": Browser(plan).ask(
            "POST", f"/do/approvals/{row}", body, authorization=f"Bearer {plan['token']}"
        ),
        "used link": Browser(plan).ask("POST", "/do/sign-in", {"link": "A" * 43}),
        "data": Browser(plan).ask("GET", f"/data/approvals/{row}"),
    }
    if plan["mine"]:  # one that may sign in: half of it, another page, a GET
        browser = Browser(plan).sign_in(plan)
        cookie, key = browser.headers["cookie"], browser.headers["x-wardgate-key"]
        page = f"http://localhost:{plan['port'] + 1}"
        assert browser.ask("GET", f"/data/approvals/{row}")[0] == 200
        threading.Event().wait(READING)
        tried |= {
            "cookie alone": Browser(plan, cookie=cookie).ask("POST", f"/do/approvals/{row}", body),
            "key alone": Browser(plan, **{"x-wardgate-key": key}).ask("POST", f"/do/approvals/{row}", body),
            "another page": browser.ask("POST", f"/do/approvals/{row}", body, origin=page),
            "GET": browser.ask("GET", f"/do/approvals/{row}?choice=once"),
            "GET of the card": browser.ask("GET", f"/approvals/{row}?choice=once&approve=1"),
        }
        still = control(plan, op="approval", id=row)["items"][0]["state"] == "waiting"
        shell = tried.pop("GET of the card")
        assert row.encode() not in shell[2]  # the page is a shell, the same for everybody
    else:
        still = True
    why = [f"{name}: {status}" for name, (status, _, _) in tried.items()]
    return any(status < 400 for status, _, _ in tried.values()) or not still, ", ".join(why)


def call_as_a_client(plan):
    """The way that it is meant to take: a read, with the token of its client."""
    browser = Browser(plan, authorization=f"Bearer {plan['token']}", accept="application/json, text/event-stream")

    def send(method, params, id=None, **headers):
        message = {"jsonrpc": "2.0", "method": method, "params": params, **({"id": id} if id is not None else {})}
        status, told, body = browser.ask("POST", "/mcp", message, **headers)
        assert status < 300, (status, body)
        return told, body

    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "intruder", "version": "1"}}
    told, _ = send("initialize", about, 1)
    session = {"mcp-session-id": told["mcp-session-id"]}
    send("notifications/initialized", {}, **session)
    _, body = send("tools/call", {"name": "ledger__look", "arguments": {"text": "by the door"}}, 2, **session)
    return b"look: by the door" in body, body.decode()


# --- signing


def keygen(*words, given=None, **environment):
    run = ["ssh-keygen", *words]
    own = {**os.environ, "SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force", **environment}
    done = subprocess.run(run, input=given, capture_output=True, env=own, timeout=PATIENCE, start_new_session=True)
    return done.stdout.decode() if done.returncode == 0 else ""


def a_key(folder, passphrase=""):
    file = Path(folder) / "own"
    keygen("-q", "-t", "ed25519", "-N", passphrase, "-f", str(file))
    return file, file.with_suffix(".pub").read_text().strip()


def sign(document, file, **environment):
    return keygen("-Y", "sign", "-n", NAMESPACE, "-f", str(file), given=document.encode(), **environment)


def answer_signed(plan, row, file, **environment):
    made = control(plan, op="document", id=row)
    signature = sign(made["document"], file, **environment)
    return control(plan, op="approve", id=row, signed={"nonce": made["nonce"], "signature": signature})


def sign_as_an_approver(plan, row):
    """With the approver's own file, with a key of its own, with one that it enrols, with a signature on the record."""
    told = {}
    with tempfile.TemporaryDirectory() as folder:
        own, public = a_key(folder)
        told["stolen file"] = answer_signed(plan, row, plan["key"])
        told["own key"] = answer_signed(plan, row, own)
        made = control(plan, op="key-add", name="ada", public=public, private=str(own), agent="")
        told["enrolled"] = {"ok": bool(made.get("items"))}
        told["endorsed"] = control(plan, op="endorse", nonce=made["nonce"], signature=sign(made["document"], own))
        nonce = control(plan, op="document", id=row)["nonce"]
        told["replayed"] = control(plan, op="approve", id=row, signed={"nonce": nonce, "signature": plan["signature"]})
    why = [f"{name}: {answer.get('error', answer['ok'])}" for name, answer in told.items()]
    return any(answer.get("ok") for answer in told.values()), "\n".join(why)


def put_a_key_in_an_approvers_place(plan, row):
    for key in control(plan, op="keys")["items"]:
        control(plan, op="key-revoke", id=key["id"])
    with tempfile.TemporaryDirectory() as folder:
        own, public = a_key(folder, "known to me")
        ask = Path(folder) / "ask"
        ask.write_text("#!/bin/sh\necho known to me\n")
        ask.chmod(0o700)
        added = control(plan, op="key-add", name="ada", public=public, private=str(own), agent="")
        if not added.get("items"):
            return False, str(added)
        return settled(answer_signed(plan, row, own, SSH_ASKPASS=str(ask)))


# --- changing


def edit_policies(plan):
    file = Path(plan["config"]) / "policies" / "ledger.toml"
    before, mine = file.read_text(), '[[rule]]\nid = "ledger.mine"\ntools = "wipe"\ndecide = "allow"\n'
    file.write_text(before.partition("[[rule]]\n")[0] + mine)
    return True, ""


def act_without_the_gateway(plan):
    with Path(plan["ledger"]).open("a") as ledger:
        ledger.write("wipe by myself\n")
    return True, ""


def stop_the_gateway(plan):
    os.kill(plan["pid"], signal.SIGTERM)
    return True, ""


def change_a_record(plan):
    with closing(sqlite3.connect(Path(plan["state"]) / "record.db", isolation_level=None)) as db:
        told = """replace(CAST(body AS TEXT), '"proof":"local"', '"proof":"signed"')"""
        changed = db.execute(f"UPDATE record SET body = CAST({told} AS BLOB) WHERE kind = 'approval'")
        return changed.rowcount > 0, ""


def cut_the_record(plan):
    """Let the end of the record disappear, and make the head fit: what stays is whole in itself."""
    with closing(sqlite3.connect(Path(plan["state"]) / "record.db", isolation_level=None)) as db:
        leaves = [leaf for (leaf,) in db.execute("SELECT leaf FROM record ORDER BY seq").fetchall()]
        tree = Tree()
        for leaf in leaves[: plan["cut"]]:
            tree.append(leaf)
        db.execute("BEGIN")
        db.execute("DELETE FROM record WHERE seq > ?", (tree.size,))
        db.execute("DELETE FROM approval WHERE id NOT IN (SELECT approval FROM record)")
        told = "SELECT approval, body FROM record WHERE kind = 'approval' ORDER BY seq"
        for row, body in db.execute(told).fetchall():
            db.execute("UPDATE approval SET state = ? WHERE id = ?", (json.loads(body)["extra"]["state"], row))
        enrolled = "SELECT json_extract(CAST(body AS TEXT), '$.extra.key') FROM record WHERE kind = 'approver'"
        db.execute(f"DELETE FROM approver_key WHERE id NOT IN ({enrolled})")
        open_again = "decided_by = '', decided_at = '', proof = '', note = '', ballots = '[]'"
        db.execute(f"UPDATE approval SET {open_again} WHERE state = 'waiting'")
        db.execute("UPDATE approval SET state = 'used' WHERE id IN (SELECT approval FROM record WHERE kind = 'intent')")
        db.execute("UPDATE head SET size = ?, frontier = ?, root = ?", (tree.size, tree.frontier, tree.root()))
        db.execute("COMMIT")
    return True, ""


DOORS = {
    "socket": approve_by_socket,
    "terminal": approve_in_a_terminal,
    "console": approve_in_the_console,
}
ROWS = {
    "decide_without_the_right": decide_without_the_right,
    "sign_as_an_approver": sign_as_an_approver,
    "put_a_key_in_an_approvers_place": put_a_key_in_an_approvers_place,
}
OTHERS = {
    each.__name__: each
    for each in (
        *(read_files, read_environment, read_memory, edit_policies, act_without_the_gateway, stop_the_gateway),
        *(change_a_record, cut_the_record, call_as_a_client),
    )
}


def attempt(plan, name):
    """What came of one attempt, and why nothing did; `DOOR:KIND` answers the row of that kind for that door."""
    door, _, kind = name.partition(":")
    try:
        if kind:
            return DOORS[door](plan, plan["rows"][kind][door])
        if door in ROWS:
            return ROWS[door](plan, plan["rows"]["signed"][door])
        return OTHERS[door](plan)
    except (OSError, sqlite3.Error) as problem:
        return False, type(problem).__name__


def start():
    words, plan = sys.argv[1:], json.loads(sys.stdin.read())
    plan["mine"] = True
    if words[0] == "--as":
        os.setgroups([])
        os.setgid(int(words[1]))
        os.setuid(int(words[1]))
        words, plan["mine"] = words[2:], False
    print(json.dumps({name: attempt(plan, name) for name in words}))


if __name__ == "__main__":
    start()
