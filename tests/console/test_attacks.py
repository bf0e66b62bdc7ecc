"""Who does not get in, and who does not get anything done: each attack leaves the gate untouched."""

import re
from typing import Any

import pytest

from gateway.console.acts import Acts
from gateway.console.signin import IDLE, LINK_TIME
from tests.console.room import DANGER, FIRST, HERE, HOST, LEAK, PORT, SECOND, FakeGate, Room, Tab, a_room, signed_in

DATA = (
    *("/data/head", "/data/", "/data/grants", "/data/decisions", "/data/figures", "/data/sessions", "/data/upstreams"),
    *(
        "/data/leaks",
        f"/data/leaks/{LEAK}",
        "/data/policy",
        "/data/you",
        f"/data/approvals/{FIRST}",
        f"/data/approvals/{FIRST}/covers?choice=pattern",
        "/data/decisions/d_0000000001",
    ),
    "/events",
)
ACTS = (
    *(f"/do/approvals/{FIRST}", f"/do/approvals/{FIRST}/label", f"/do/approvals/{FIRST}/challenge"),
    *("/do/grants/g_0000000001/revoke", "/do/freeze", "/do/thaw", "/do/sign-out", "/do/passkeys/options"),
    *("/do/passkeys", "/do/passkeys/endorse", f"/do/leaks/{LEAK}", "/do/held", "/do/policy"),
)
ELSEWHERE = (
    *("http://localhost:9999", "http://localhost", "http://127.0.0.1:8765", f"https://{HOST}", f"http://{HOST}/"),
    *("http://localhost:8765.example.com", "https://example.com", "null"),
)


async def test_every_act_is_among_those_that_are_attacked() -> None:
    paths = {re.sub(r"\{id\}", "x", path) for path in Acts(FakeGate, None, None).acts}  # type: ignore[arg-type]  # names only
    attacked = {re.sub(rf"(a|g)_0000000001|{LEAK}", "x", path) for path in ACTS}
    assert paths == attacked - {"/do/sign-out"}


@pytest.mark.parametrize("path", DATA)
async def test_data_needs_the_cookie_and_the_key_of_the_tab(path: str) -> None:
    async with signed_in() as (room, tab), room.browser() as stranger:
        without_key = await tab.http.get(path, headers={"origin": HERE})
        without_cookie = await stranger.get(path, headers=tab.headers())
        other = await tab.http.get(path, headers={"origin": HERE, "x-wardgate-key": "A" * 43})
        assert [answer.status_code for answer in (without_key, without_cookie, other)] == [401] * 3
        assert room.gate.queries == []


@pytest.mark.parametrize("path", ACTS)
async def test_an_act_needs_the_cookie_the_key_and_the_own_origin(path: str) -> None:
    async with signed_in() as (room, tab), room.browser() as stranger:
        room.gate.a_grant()
        room.gate.a_leak()
        await tab.get(f"/data/approvals/{FIRST}")
        await tab.get(f"/data/leaks/{LEAK}")
        room.read()
        body: dict[str, Any] = {"choice": "once", "digest": room.gate.rows[FIRST].arguments_digest, "effect": "read"}
        body |= {"choice": "rotating", "was": "open 0"} if LEAK in path else {}
        both = {"x-wardgate-key": tab.key}
        answers = [
            await tab.http.post(path, json=body, headers={"origin": HERE}),
            await stranger.post(path, json=body, headers=tab.headers()),
            await tab.http.post(path, json=body, headers=both),
            *[await tab.http.post(path, json=body, headers={**both, "origin": origin}) for origin in ELSEWHERE],
            await tab.post(path, body, **{"sec-fetch-site": "same-site"}),
            await tab.post(path, body, **{"sec-fetch-site": "cross-site"}),
            await tab.http.post(path, content=b"choice=once", headers=tab.headers(**{"content-type": "text/plain"})),
        ]
        assert {answer.status_code for answer in answers} <= {401, 403, 415}
        assert room.gate.done == []
        assert (await tab.get("/data/head")).status_code == 200, "still signed in"


@pytest.mark.parametrize("path", [*ACTS, "/do/sign-in", "/do/sign-in/options"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
async def test_nothing_is_done_but_by_a_post(path: str, method: str) -> None:
    async with signed_in() as (room, tab):
        await tab.get(f"/data/approvals/{FIRST}")
        room.read()
        answer = await tab.http.request(method, path, headers=tab.headers(), params={"choice": "once", "link": "x"})
        assert answer.status_code == 405
        assert room.gate.done == []


@pytest.mark.parametrize("path", [*DATA, *ACTS, "/", f"/approvals/{FIRST}"])
async def test_a_clients_token_opens_nothing(path: str) -> None:
    async with a_room() as room, room.browser() as http:
        headers = {"authorization": "Bearer good", "origin": HERE}
        answer = await http.request("POST" if path in ACTS else "GET", path, headers=headers, json={})
        if path in DATA or path in ACTS:
            assert answer.status_code == 401
        assert FIRST not in answer.text.replace(path, "")
        assert room.gate.done == []
        through = await http.post("/mcp", headers=headers, json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert through.text == "for programs", "the token is good where it belongs"


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", "localhost:9999"])
async def test_a_page_on_another_port_that_has_the_cookie_gets_nothing(host: str) -> None:
    async with signed_in() as (room, tab):
        (cookie,) = tab.http.cookies.jar
        async with room.browser(f"http://{host}") as page:
            page.cookies.set(cookie.name, str(cookie.value))
            for origin in (f"http://{host}", HERE):
                read = await page.get("/data/", headers={"origin": origin})
                done = await page.post(f"/do/approvals/{FIRST}", json={"choice": "once"}, headers={"origin": origin})
                assert {read.status_code, done.status_code} <= {401, 403}
        assert room.gate.done == []


async def test_the_cookie_says_its_port_and_no_script_or_other_site_has_it() -> None:
    async with a_room() as room, room.browser() as http:
        answer = await Tab(http).sign_in(room.link())
        (header,) = answer.headers.get_list("set-cookie")
        parts = {part.strip().lower() for part in header.split(";")[1:]}
        assert header.startswith(f"wardgate-{PORT}=")
        assert {"httponly", "samesite=strict", "path=/"} <= parts
        assert not any(part.startswith("domain") for part in parts)


@pytest.mark.parametrize(
    "host", ["example.com:8765", "localhost.example.com:8765", "10.0.0.5:8765", "localhost", "[::1]:8765"]
)
async def test_another_host_is_not_served(host: str) -> None:
    async with a_room() as room, room.browser(f"http://{host}") as http:
        assert (await http.get("/")).status_code in (403, 404)
        answer = await http.post("/do/sign-in", json={"link": room.link()}, headers={"origin": f"http://{host}"})
        assert answer.status_code in (403, 404)
        assert room.signins.count == 0


async def test_a_link_signs_in_once_and_only_within_its_minute() -> None:
    async with a_room() as room, room.browser() as one, room.browser() as two:
        link, late = room.link(), room.link()
        assert (await Tab(one).sign_in(link)).status_code == 200
        assert (await Tab(two).sign_in(link)).status_code == 403
        room.clock.advance(LINK_TIME)
        assert (await Tab(two).sign_in(late)).status_code == 403
        assert room.signins.count == 1


@pytest.mark.parametrize(
    "headers", [{}, {"origin": "http://localhost:9999"}, {"origin": HERE, "sec-fetch-site": "cross-site"}]
)
async def test_another_page_can_use_no_link_and_does_not_use_it_up(headers: dict[str, str]) -> None:
    async with a_room() as room, room.browser() as http:
        link = room.link()
        assert (await http.post("/do/sign-in", json={"link": link}, headers=headers)).status_code == 403
        assert (await Tab(http).sign_in(link)).status_code == 200


async def test_a_session_that_was_planted_before_signing_in_is_worth_nothing_after() -> None:
    async with a_room() as room, room.browser() as attacker, room.browser() as victim:
        theirs = Tab(attacker)
        await theirs.sign_in(room.link("os:mallory"))
        (planted,) = attacker.cookies.jar
        victim.cookies.set(planted.name, str(planted.value), domain="localhost.local")
        await Tab(victim).sign_in(room.link("os:ada"))
        (fresh,) = [cookie for cookie in victim.cookies.jar if cookie.value != planted.value]
        assert (await theirs.get("/data/head")).status_code == 401
        async with room.browser() as again:
            again.cookies.set(fresh.name, str(fresh.value))
            theirs.http = again
            assert (await theirs.get("/data/head")).status_code == 401, "and its key opens nobody else's"


async def test_a_signed_out_tab_and_an_idle_one_get_nothing() -> None:
    async with signed_in() as (room, tab):
        cookies = [(cookie.name, str(cookie.value)) for cookie in tab.http.cookies.jar]
        assert (await tab.post("/do/sign-out")).status_code == 200
        for name, value in cookies:
            tab.http.cookies.set(name, value)
        assert (await tab.get("/data/head")).status_code == 401
    async with signed_in() as (room, tab):
        room.clock.advance(IDLE)
        assert (await tab.get("/data/head")).status_code == 401


async def test_every_answer_forbids_frames_scripts_of_others_and_keeping_it() -> None:
    async with signed_in() as (_, tab):
        answers = [
            *[await tab.get(path) for path in ("/", "/data/", "/static/console.js", "/nowhere", f"/approvals/{FIRST}")],
            await tab.post("/do/freeze"),
            await tab.http.get("/data/", headers={"origin": "http://localhost:9999"}),
        ]
        for answer in answers:
            (policy,) = answer.headers.get_list("content-security-policy")
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
        own = [answer.headers["content-security-policy"] for answer in answers[:5]]
        assert all("script-src 'self'" in policy and "form-action 'none'" in policy for policy in own)


@pytest.mark.parametrize("path", ["/", "/grants", f"/approvals/{FIRST}", "/decisions/d_0000000001", "/policy"])
async def test_a_shell_holds_nothing_of_the_gateway(path: str) -> None:
    async with signed_in() as (room, tab):
        mine = await tab.http.get(path)
        async with room.browser() as stranger:
            theirs = await stranger.get(path)
        assert mine.status_code == theirs.status_code == 200
        assert mine.text == theirs.text
        assert FIRST not in mine.text
        assert "<script>" not in mine.text
        assert " style=" not in mine.text


@pytest.mark.parametrize("id", ["a_ZZZZZZZZZZ", "a_0000000001'--", "..%2f..%2fhead", "%00", "a" * 500])
async def test_a_forged_id_is_nobodys(id: str) -> None:
    async with signed_in() as (room, tab):
        assert (await tab.get(f"/data/approvals/{id}")).status_code in (400, 404)
        assert (await tab.post(f"/do/approvals/{id}", {"choice": "once", "digest": ""})).status_code in (400, 404)
        assert (await tab.post(f"/do/grants/{id}/revoke")).status_code in (400, 404)
        assert room.gate.done == []


async def armed(room: Room, tab: Tab, id: str) -> Any:
    """A row whose card has stood in the tab for long enough."""
    assert (await tab.get(f"/data/approvals/{id}")).status_code == 200
    room.read()
    return room.gate.rows[id]


async def test_a_card_that_was_not_shown_long_enough_is_not_approved() -> None:
    async with signed_in() as (room, tab):
        row = room.gate.rows[FIRST]
        assert (await tab.answer(row, choice="once")).status_code == 409
        await tab.get(f"/data/approvals/{FIRST}")
        room.clock.advance(0.69)
        early = await tab.answer(row, choice="once")
        assert (early.status_code, early.json()["objection"]) == (409, "unread")
        assert room.gate.done == []
        room.clock.advance(0.01)
        assert (await tab.answer(row, choice="once")).status_code == 200
        assert [done[:3] for done in room.gate.done] == [("once", FIRST, "os:ada")]


async def test_what_another_tab_was_shown_does_not_count_here() -> None:
    async with signed_in() as (room, tab), room.browser() as http:
        other = Tab(http)
        await other.sign_in(room.link("os:bob"))
        row = await armed(room, tab, FIRST)
        assert (await other.answer(row, choice="once")).status_code == 409
        assert room.gate.done == []


async def test_a_digest_of_another_call_is_refused() -> None:
    async with signed_in() as (room, tab):
        row, other = await armed(room, tab, FIRST), room.gate.rows[SECOND]
        for digest in (other.arguments_digest, "", None, 7):
            answer = await tab.post(f"/do/approvals/{row.id}", {"choice": "once", "digest": digest})
            assert answer.status_code == 409
        assert room.gate.done == []


@pytest.mark.parametrize("confirm", [None, "", "files__wip", "FILES__WIPE", "files__wipe ", True, ["files__wipe"]])
async def test_a_destructive_call_is_not_approved_without_its_name(confirm: object) -> None:
    async with signed_in() as (room, tab):
        row = await armed(room, tab, DANGER)
        for choice in ("once", "arguments", "pattern"):
            answer = await tab.answer(row, choice=choice, confirm=confirm)
            assert (answer.status_code, answer.json()["objection"]) == (409, "confirm")
        assert room.gate.done == []
        assert (await tab.answer(row, choice="once", confirm="files__wipe")).status_code == 200


async def test_rows_that_were_not_on_the_card_are_not_settled_with_it() -> None:
    async with signed_in() as (room, tab):
        room.gate.elsewhere.add(SECOND)
        row = await armed(room, tab, FIRST)
        answer = await tab.answer(row, choice="pattern", also=[SECOND])
        assert (answer.status_code, answer.json()["objection"]) == (409, "unread")
        assert (await tab.answer(row, choice="pattern", also=["a_ZZZZZZZZZZ"])).status_code == 404
        assert (await tab.answer(row, choice="pattern", also=[FIRST] * 101)).status_code == 409
        assert room.gate.done == []


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"[1]", 400),
        (b"{", 400),
        (b'"x"', 400),
        (b"[" * 5000, 400),
        (b"\xff", 400),
        (b'{"a":"' + b"x" * (1 << 20) + b'"}', 413),
    ],
    ids=["list", "cut", "text", "deep", "bytes", "large"],
)
async def test_a_body_that_is_no_object_or_too_large_is_refused(content: bytes, status: int) -> None:
    async with signed_in() as (room, tab):
        headers = tab.headers(**{"content-type": "application/json"})
        answer = await tab.http.post("/do/freeze", content=content, headers=headers)
        assert answer.status_code == status
        assert room.gate.done == []
