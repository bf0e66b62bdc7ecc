"""The `wardgate` command: finds the command's module and runs it. Imports nothing that only one command needs."""

import sys
from importlib import import_module

# command -> (module, what it does). A row's module is imported only when the command is called.
COMMANDS = {
    "stdio": ("gateway.cli.stdio", "connect a client's pipes to the gateway (what clients register)"),
    "serve": ("gateway.cli.serve", "run the gateway: streamable HTTP, the console and the control socket"),
    "check": ("gateway.cli.check", "validate upstreams.toml and policies, offline"),
    "lock": ("gateway.cli.lock", "accept what the upstreams offer in policies/tools.lock, or compare it"),
    "accept": ("gateway.cli.accept", "accept one held tool, prompt or policy by its digest"),
    "tools": ("gateway.cli.tools", "every tool, as what it counts and whether it is held; propose labels"),
    "doctor": ("gateway.cli.doctor", "tell how far you are from the gateway, and what is not as it should be"),
    "approvals": ("gateway.cli.approvals", "list, show or watch what waits for a person"),
    "approve": ("gateway.cli.approve", "approve one waiting call, or calls like it for a while"),
    "deny": ("gateway.cli.deny", "deny one waiting call, with a reason"),
    "grants": ("gateway.cli.grants", "what people allowed for a while: list, revoke"),
    "freeze": ("gateway.cli.freeze", "hold everything, an upstream or a session at once"),
    "thaw": ("gateway.cli.thaw", "let go what is held"),
    "policy": ("gateway.cli.policy", "test, explain, simulate, propose; review: how people decide"),
    "reach": ("gateway.cli.reach", "what would pass unasked if the agent were hijacked now"),
    "console": ("gateway.cli.console", "print a link that opens the console, good for a minute"),
    "approver": ("gateway.cli.approver", "keys with which approvers sign: add, list, revoke"),
    "log": ("gateway.cli.log", "read the record"),
    "explain": ("gateway.cli.explain", "say why one call ended as it did"),
    "export": ("gateway.cli.export", "hand the record on: JSON lines, CEF, OpenTelemetry; or what proves one call"),
    "verify": ("gateway.cli.verify", "prove that the record is unchanged"),
    "backup": ("gateway.cli.backup", "copy the record, of a running gateway or a stopped one"),
    "record": ("gateway.cli.record", "find a value by its digest; rotate a key"),
    "leaks": ("gateway.cli.leaks", "secrets that were seen, until they are rotated: list, show, resolve, accept"),
    "sessions": ("gateway.cli.sessions", "who is or was connected, and what they did"),
    "client": ("gateway.cli.client", "tokens of HTTP clients: add, list, revoke"),
    "honeytoken": ("gateway.cli.honeytoken", "print a made-up credential to plant; any sight of it is an alarm"),
    "hook": ("gateway.cli.hook", "hand one event of a client's hook to the gateway (what clients' hooks run)"),
    "login": ("gateway.cli.login", "sign in to an upstream that asks for OAuth"),
    "warm": ("gateway.cli.warm", "compile the scanner's rules into the cache"),
    "demo": ("gateway.cli.demo", "play the main job on embedded upstreams"),
}

USAGE = 2


def usage() -> str:
    """The list of commands, as `wardgate --help` prints it."""
    rows = "\n".join(f"  {name:<10} {about}" for name, (_, about) in COMMANDS.items())
    return f"usage: wardgate COMMAND [options]\n\n{rows}\n\n`wardgate COMMAND --help` tells the options of one."


def main() -> None:
    """Run one command and exit with its code."""
    name, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("--help", [])
    if name in ("--help", "-h", "help"):
        print(usage())
        raise SystemExit(0)
    if name in ("--version", "-V"):
        from gateway import __version__

        print(f"wardgate {__version__}")
        raise SystemExit(0)
    if name not in COMMANDS:
        from difflib import get_close_matches  # imported late: only a wrong name needs it

        near = get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else "; `wardgate --help` lists them"
        print(f"unknown command `{name}`{hint}", file=sys.stderr)
        raise SystemExit(USAGE)
    raise SystemExit(import_module(COMMANDS[name][0]).run(rest))


if __name__ == "__main__":
    main()
