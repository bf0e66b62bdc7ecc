"""The command line: one small module per command, each with `run(argv) -> exit code`. Only the servers import mcp."""
