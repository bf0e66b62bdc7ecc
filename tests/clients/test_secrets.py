"""Where a client's entry holds a secret, written out."""

from pathlib import Path

import pytest

from gateway.clients import Server, written_secrets
from gateway.clients.secrets import masked, seems_secret
from gateway.core.clients import Format

SECRET = "ghp_" + "aB3" * 12


@pytest.mark.parametrize(
    ("said", "places"),
    [
        ({"env": {"API_TOKEN": SECRET, "REGION": "eu"}}, [("env", "API_TOKEN")]),
        ({"env": {"API_TOKEN": "${API_TOKEN}", "OTHER_TOKEN": "${env:X}"}}, []),
        ({"headers": {"Authorization": f"Bearer {SECRET}"}}, [("headers", "Authorization")]),
        ({"args": ("-y", "server", SECRET)}, [("args", "3")]),
        ({"args": ("--api-token", "a-plain-word")}, [("args", "2")]),
        ({"args": ("--api-token=a-plain-word", "--port", "80")}, [("args", "1")]),
        ({"args": ("--token-file", "/home/me/token")}, []),
        ({"url": "https://me:word@example.com/"}, [("url", "")]),
        ({"url": f"https://example.com/?key={SECRET}&a=b"}, [("url", "")]),
        ({"url": "https://example.com/?region=eu"}, []),
        ({"url": "https://[broken"}, []),
        ({"args": ("--root", "/srv", "-y")}, []),
        (
            {"env": {"DATABASE_URL": "postgres://ada:hunter2@db/main", "PGPASSWORD": "hunter2"}},
            [("env", "DATABASE_URL"), ("env", "PGPASSWORD")],
        ),
        ({"env": {"API_TOKEN": "pa$sword", "DATABASE_URL": "postgres://ada:${PW}@db/main"}}, [("env", "API_TOKEN")]),
        ({"headers": {"Authorization": "Bearer ${env:X}", "X-Key": f"${{X}} {SECRET}"}}, [("headers", "X-Key")]),
        ({"args": (f"${{X}}{SECRET}", "$HOME")}, [("args", "1")]),
        ({"url": f"https://example.com/s/{SECRET}/mcp"}, [("url", "")]),
    ],
)
def test_secrets_are_found_where_they_stand(said: dict[str, object], places: list[tuple[str, str]]) -> None:
    server = Server("x", "user", Path("/f"), "s", **said)  # type: ignore[arg-type]  # any of its fields
    assert list(written_secrets(server)) == places


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MYSQL_PASS", "sword-fish"),
        ("SMTP_PASS", "12345678"),
        ("smtp.pass", "/sword/fish"),
        ("dbPass", "sword"),
        ("DBPass2", "sword"),
        ("DB_PASS_STAGING", "sword-fish"),
        ("DB_PASS_PHRASE", "sword-fish"),
        ("PASS_PHRASE", "sword-fish"),
        ("ROOT-PW", "sword"),
        ("AUTH", "ada:sword-fish"),
        ("X-Auth", "sword-fish"),
        ("npmAuth", "sword-fish"),
        ("BEARER", "sword-fish"),
        ("CONN", "Server=db;Password=sword-fish;"),
        ("CONN", "Server=db;Pwd='sword fish';Encrypt=true"),
        ("DSN", "host=db user=ada password=sword-fish dbname=main"),
        ("DSN", "host=db user=ada pass=sword-fish"),
        ("OPTIONS", "-Xmx1g -Dapi.token=sword-fish"),
        ("OPTIONS", "-Durl=jdbc:db://h/x?password=sword-fish"),
        ("CONN", "Server=db;Password=1.2sword"),
        ("STORE", "AccountName=main;AccountKey=sword-fish;EndpointSuffix=x"),
        ("CONFIG", '{"user": "ada", "password": "sword-fish"}'),
        ("HEADERS", "Accept: text/plain\nX-Api-Key: sword-fish"),
        ("ENDPOINT", "https://db.example/x?user=ada&token=sword-fish"),
        ("ANY", "X-Api-Key:sword-fish"),
        ("ANY", "Authorization: Basic sword"),
    ],
)
def test_a_value_is_a_secret_by_a_word_of_its_name_or_by_a_name_in_it(name: str, value: str) -> None:
    assert seems_secret(value, name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "sword-fish") for name in ("PASSTHROUGH", "BYPASS", "AUTHOR", "AUTHORITY_URL", "COMPASS")),
        *((name, "sword-fish") for name in ("AUTH_TYPE", "AUTH_URL", "AUTH_METHOD", "AUTH_PROVIDER", "AUTHENTICATION")),
        *((name, "sword-fish") for name in ("NO_AUTH", "no-auth", "PASS_THROUGH", "PASS_FILE", "BEARER_TYPE")),
        *(
            ("AUTH", value)
            for value in ("none", "basic", "oauth", "OAuth 2.0", "Bearer", "api-key", "basic,digest", "1")
        ),
        *(("AUTH", value) for value in ("https://login.example/x", "/etc/auth.json", "./auth", "true", "")),
        *(("FIRST_PASS", value) for value in ("true", "off", "2", "none", "")),
        ("CONN", "Server=db;Integrated Security=true;Trusted_Connection=yes"),
        ("CONN", "Server=db;Password=;User=ada"),
        ("CONN", "Server=db;Password=${DB_PASSWORD};User=ada"),
        ("AUTH", "${AUTH}"),
        ("ANY", "Authorization: Bearer ${TOKEN}"),
        ("ANY", "Authorization:${TOKEN}"),
        ("ANY", "Content-Type: application/json"),
        ("ANY", "auth=none;mode=basic"),
        ("ANY", "sort=key:asc,key=name"),
        ("ANY", "https://example.com/?page=1&sort=key"),
        ("ANY", "postgres://db/main?sslmode=require"),
        ("ANY", "level=debug;max_tokens=4096;token_file=/run/token"),
        ("ANY", "@acme/token-server@2"),
        ("ANY", "acme/token-server:latest"),
        ("ANY", "secret-manager:v1.2.3-slim"),
        ("NO_PW", "sword-fish"),
        ("ANY", "Token: the sign of a server"),
    ],
)
def test_what_only_looks_like_the_name_of_a_secret_is_none(name: str, value: str) -> None:
    assert not seems_secret(value, name)


@pytest.mark.parametrize(
    ("args", "places"),
    [
        (("--header", "X-Api-Key:sword-fish"), ["2"]),
        (("--header=X-Api-Key: sword-fish",), ["1"]),
        (("-H", "Authorization: sword-fish", "-v"), ["2"]),
        (("run", "-e", "DB_PASSWORD=sword-fish", "-e", "REGION=eu", "image"), ["3"]),
        (("--pass", "sword-fish", "--auth=sword-fish", "--db-pw", "sword-fish"), ["2", "3", "5"]),
        (("--auth", "none", "--no-auth", "server.js", "--passthrough", "x"), []),
        (("--header", "Authorization: Bearer ${TOKEN}", "-H", "Accept: text/plain"), []),
        (("-p" + SECRET,), ["1"]),
    ],
)
def test_a_secret_is_found_among_arguments(args: tuple[str, ...], places: list[str]) -> None:
    found = list(written_secrets(Server("x", "user", Path("/f"), "s", command="x", args=args)))
    assert found == [("args", place) for place in places]


WORD = "hunter2" * 2
IN_JSON = {
    "by its key": '{{"API_TOKEN": "{0}"}}',
    "its key on another line": '{{"PASSWORD" // "x"\n /* y */ :\n"{0}"}}',
    "after a flag": '{{"args": ["--password", "{0}"]}}',
    "after a flag on another line": '{{"args": [\n  "--api-key", // it\n  "{0}"\n]}}',
    "in a flag": '{{"args": ["--password={0}"]}}',
    "in an address": '{{"url": "https://me:{0}@example.com/"}}',
    "in a query": '{{"url": "https://example.com/?api_key={0}"}}',
    "in a variable's address": '{{"DB": "postgres://me:{0}@db/x"}}',
    "in a comment": '{{}} // "PASSWORD": "{0}"',
    "beside a lone quote in a comment": '{{ // "\n"PASSWORD": "{0}"}}',
    "without an end": '{{"PASSWORD": "{0}',
    "by a word of its key": '{{"MYSQL_PASS": "{0}"}}',
    "by a name in it": '{{"CONN": "Server=db;Password={0};"}}',
    "in a header among arguments": '{{"args": ["--header", "X-Api-Key:{0}"]}}',
}
IN_TOML = {
    "by its key": 'PASSWORD = "{0}"',
    "as it is": "PASSWORD = '{0}'",
    "by a key in quotes": "\"a.b\".'PASSWORD' = '{0}'",
    "over lines": 'PASSWORD = """\n{0}"""',
    "over lines as it is": "PASSWORD = '''\n{0}'''",
    "in a table": "a = {{command = 'x', env = {{PASSWORD = '{0}'}}}}",
    "after a flag": "args = [ # they\n '--password', # it\n '{0}',\n]",
    "in a comment": "# PASSWORD = '{0}'",
}


@pytest.mark.parametrize(
    ("text", "format"),
    [*((text, Format.JSONC) for text in IN_JSON.values()), *((text, Format.TOML) for text in IN_TOML.values())],
    ids=[*(f"JSON, {name}" for name in IN_JSON), *(f"TOML, {name}" for name in IN_TOML)],
)
def test_a_secret_is_hidden_however_it_is_written(text: str, format: Format) -> None:
    shown = masked(text.format(WORD), format)
    assert WORD not in shown
    assert "[hidden]" in shown


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ('{\n  "command": "npx", // "as" it is\n  "args": ["-y", "server-files", "--root", "/srv"]\n}', Format.JSONC),
        ('{"env": {"API_TOKEN": "${API_TOKEN}", "LEVEL": "debug"}, "timeout": 660000}', Format.JSON),
        ("[mcp_servers.'my keys']\nPASSWORD = '${X}'\n[mcp_servers.a]\nport = 80 # it's\n", Format.TOML),
    ],
)
def test_what_is_no_secret_is_shown_sign_by_sign(text: str, format: Format) -> None:
    assert masked(text, format) == text


def test_a_number_that_is_a_secret_is_hidden() -> None:
    assert masked('{"PIN": 1234, "PASSWORD": 12345678}', Format.JSON) == '{"PIN": 1234, "PASSWORD": "[hidden]"}'
    assert (
        masked('{"maxTokens": 4096, "DB_PASS": 12345678}', Format.JSON) == '{"maxTokens": 4096, "DB_PASS": "[hidden]"}'
    )


def test_a_secret_in_other_signs_is_hidden() -> None:
    hidden = SECRET.replace("g", "\\u0067", 1)
    for text, format in (
        (f'["{hidden}"]', Format.JSON),
        (f'a = "{hidden}"', Format.TOML),
        (f"# {SECRET}", Format.TOML),
    ):
        assert "aB3aB3" not in masked(text, format)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "sign",
    [
        '"\\',
        '"',
        "/",
        '"a" /* ',
        "'''",
        '"""',
        "#",
        "a=",
        '"a"//x',
        "// ",
        "a-",
        "a.",
        "auth=on",
        "pw=no;",
        "PASS_",
        '"a=',
        '"a: ',
    ],
    ids=repr,
)
def test_no_text_takes_long_to_be_read_through(sign: str) -> None:
    for format in (Format.JSONC, Format.TOML):
        assert masked(sign * 40_000, format)
        assert masked(f'"{sign.replace(chr(34), chr(39)) * 40_000}"', format)
