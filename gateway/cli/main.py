"""The `wardgate` command: finds the command's module and runs it. Imports nothing that only one command needs."""

import os
import sys
from importlib import import_module

# command -> (module, what it does). A row's module is imported only when the command is called.
COMMANDS = {
    "init": ("gateway.cli.init", "put the gateway before the MCP servers your clients start already"),
    "stdio": ("gateway.cli.stdio", "connect a client's pipes to the gateway (what clients register)"),
    "serve": ("gateway.cli.serve", "run the gateway: streamable HTTP, console and control socket"),
    "connect": ("gateway.cli.connect", "register the gateway with a client, disable what it starts itself"),
    "disconnect": ("gateway.cli.disconnect", "take the gateway out of a client, put back what was there"),
    "check": ("gateway.cli.check", "validate upstreams.toml and policies, offline"),
    "lock": ("gateway.cli.lock", "accept what the upstreams offer in policies/tools.lock, or compare"),
    "accept": ("gateway.cli.accept", "accept one held tool, prompt or policy by its digest"),
    "tools": ("gateway.cli.tools", "every permission: effect, tier, owners, use, and what is due"),
    "doctor": ("gateway.cli.doctor", "what is not as it should be, and the command that mends it"),
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
    "export": ("gateway.cli.export", "hand the record on (JSON, CEF, OpenTelemetry), or prove one call"),
    "verify": ("gateway.cli.verify", "prove that the record is unchanged"),
    "backup": ("gateway.cli.backup", "copy the record, of a running gateway or a stopped one"),
    "record": ("gateway.cli.record", "find a value by its digest; rotate a key"),
    "leaks": ("gateway.cli.leaks", "secrets that were seen, until rotated: list, show, resolve, accept"),
    "sessions": ("gateway.cli.sessions", "who is or was connected, and what they did"),
    "client": ("gateway.cli.client", "tokens of HTTP clients: add, list, revoke"),
    "honeytoken": ("gateway.cli.honeytoken", "print a made-up credential to plant; any sight of it is an alarm"),
    "hook": ("gateway.cli.hook", "hand one event of a client's hook to the gateway (for its settings)"),
    "login": ("gateway.cli.login", "sign in to an upstream that asks for OAuth"),
    "warm": ("gateway.cli.warm", "compile the scanner's rules into the cache"),
    "completion": ("gateway.cli.completion", "print the script by which a shell completes all this"),
    "demo": ("gateway.cli.demo", "play the main job on embedded upstreams"),
}

USAGE, UNSUPPORTED = 2, 3
INTERRUPTED, UNREAD = 128 + 2, 128 + 13
COMPLETING = "_ARGCOMPLETE"  # as in `options`, which is more than `stdio` needs


def usage() -> str:
    """The list of commands, as `wardgate --help` prints it."""
    rows = "\n".join(f"  {name:<10} {about}" for name, (_, about) in COMMANDS.items())
    return f"usage: wardgate COMMAND [options]\n\n{rows}\n\n`wardgate COMMAND --help` tells the options of one."


def main() -> None:
    """Run one command and exit with its code; interrupted, or read by nobody any more, as a shell tells of signals."""
    code: int | str | None
    if not sys.stdout:  # closed by who started it: nobody reads
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    try:
        try:
            code = _run()
        except SystemExit as ended:
            code = ended.code
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python flushes into it at its end
        code = UNREAD
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise SystemExit(code)


def _run() -> int:
    if COMPLETING in os.environ:
        from gateway.cli.completion import complete  # imported late: only shells ask

        complete(COMMANDS)
    name, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("--help", [])
    if name in ("--help", "-h", "help"):
        print(usage())
        return 0
    if name in ("--version", "-V"):
        from gateway import __version__

        print(f"wardgate {__version__}")
        return 0
    if name not in COMMANDS:
        from gateway.cli.options import hint, shown  # imported late: only a wrong name needs it

        near = hint(name, COMMANDS) or "; `wardgate --help` lists them"
        print(f"wardgate: unknown command `{shown(name)}`{near}", file=sys.stderr)
        return USAGE
    if sys.platform == "win32":
        print("wardgate: Windows is not supported; Linux and macOS are", file=sys.stderr)
        return UNSUPPORTED
    code: int = import_module(COMMANDS[name][0]).run(rest)
    return code


if __name__ == "__main__":
    main()
