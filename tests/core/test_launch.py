"""What a command runs, by its arguments."""

import pytest

from gateway.core.launch import package_of


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("npx -y @scope/server@1.2 /folder", "@scope/server@1.2"),
        ("/usr/bin/npx --package=server@1 run", "server@1"),
        ("npx -p server@1 run", "server@1"),
        ("npx -p", ""),
        ("npx -y", ""),
        ("C:\\\\node\\\\npx.cmd server", "server"),
        ("uvx --from server==2 server", "server==2"),
        ("uvx server", "server"),
        ("uv tool run server", "server"),
        ("uv sync", ""),
        ("npm exec --package server@3 run", "server@3"),
        ("pipx run server", "server"),
        ("docker run -i --rm -v a:b --name=x image:1 word", "image:1"),
        ("docker run -i", ""),
        ("podman start box", ""),
        ("python3.12 -m mcp_server_git -r x", "mcp_server_git"),
        ("python -W error server.py a", "server.py"),
        ("python -m", ""),
        ("python -c code", ""),
        ("node --require x server.mjs", "server.mjs"),
        ("node --enable-source-maps", ""),
        ("java -jar server.jar", "server.jar"),
        ("bun x server", "server"),
        ("bun server.ts", "server.ts"),
        ("/opt/server --stdio", ""),
    ],
)
def test_what_is_run_is_told_by_its_name(command: str, found: str) -> None:
    program, *args = command.split()
    assert package_of(program, args) == found
