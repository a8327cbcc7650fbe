import asyncio
import stat
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from cluster.web.access import SESSION_S, TOKEN_FILE, Access, token_of
from orchestration.errors import InfrastructureError
from tests.cluster.web.stage import RUN, TOKEN, Stage

READS = ["/", f"/runs/{RUN}", f"/runs/{RUN}/diff", "/api/v1/runs", f"/api/v1/runs/{RUN}/plan"]
WRITES = [
    (f"/runs/{RUN}/decide", {"label": "plan", "answer": "approve"}),
    (f"/runs/{RUN}/cancel", {}),
    (f"/runs/{RUN}/comments", {"path": "a", "on": "new-1", "text": "x", "file": "0"}),
    (f"/api/v1/runs/{RUN}/approve", {}),
    (f"/api/v1/runs/{RUN}/cancel", {}),
]


@pytest.mark.parametrize("path", [*READS, "/api/v1/openapi.json", "/nothing"])
async def test_a_stranger_sees_nothing(stage: Stage, path: str) -> None:
    await stage.start()
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
        async with stage.client(**headers) as stranger:
            answer = await stranger.get(path)
        assert answer.status_code == 401
        assert RUN not in answer.text.replace(f'name="meant" value="{path}"', "")


@pytest.mark.parametrize(("path", "form"), WRITES)
async def test_strangers_and_other_sites_change_nothing(
    stage: Stage, path: str, form: dict[str, str]
) -> None:
    await stage.start()
    browser = await stage.browser()
    good = form | {"csrf": stage.form_token(browser), "digest": (await stage.asked())["digest"]}
    before = await stage.happened()
    foreign: list[dict[str, str]] = [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example:8000"},
    ]
    for headers in foreign:
        answer = await browser.post(path, data=good, headers=headers)
        assert answer.status_code == 403, headers
    async with stage.client() as stranger:
        assert (await stranger.post(path, data=good)).status_code == 401
    for csrf in ("", "0" * 64, stage.access.form_token("another")):
        answer = await browser.post(path, data=good | {"csrf": csrf})
        assert answer.status_code == 403
    assert await stage.happened() == before
    assert not (stage.hall.settings.state_dir / "web-drafts").exists()


async def test_a_program_with_the_token_is_refused_from_another_site(stage: Stage) -> None:
    await stage.start()
    async with stage.program() as program:
        headers = {"origin": "http://evil.example"}
        answer = await program.post(f"/api/v1/runs/{RUN}/approve", json={}, headers=headers)
    assert answer.status_code == 403
    assert (await stage.asked())["label"] == "plan"


async def test_our_own_origin_is_let_through(stage: Stage) -> None:
    await stage.start()
    browser = await stage.browser()
    browser.headers.update({"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"})
    assert (await stage.decide(browser, "approve")).status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "[::1", "192.0.2.7"])
async def test_a_name_that_is_not_ours_gets_nothing(stage: Stage, host: str) -> None:
    async with stage.program() as program:
        assert (await program.get("/api/v1/runs", headers={"host": host})).status_code == 403


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8000"])
async def test_our_own_names_are_ours(stage: Stage, host: str) -> None:
    async with stage.program() as program:
        assert (await program.get("/api/v1/runs", headers={"host": host})).status_code == 200


def test_beyond_loopback_addresses_in_numbers_are_ours_and_other_names_are_not() -> None:
    access = Access(TOKEN, is_open=True)
    assert access.is_ours("192.0.2.7:80")
    assert not access.is_ours("evil.example")


async def test_the_address_that_was_printed_becomes_a_session_and_is_gone(stage: Stage) -> None:
    async with stage.client() as browser:
        answer = await browser.get("/enter", params={"token": TOKEN})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert TOKEN not in cookie
        assert (await browser.get("/")).status_code == 200


async def test_a_wrong_token_is_no_way_in(stage: Stage) -> None:
    async with stage.client() as browser:
        for answer in (
            await browser.get("/enter", params={"token": "wrong"}),
            await browser.post("/sign-in", data={"token": "wrong"}),
        ):
            assert answer.status_code == 401
            assert "set-cookie" not in answer.headers
        assert (await browser.post("/sign-in", data={"token": TOKEN})).status_code == 303


async def test_a_session_ends_after_a_week_and_when_one_leaves(stage: Stage) -> None:
    browser = await stage.browser()
    await stage.clock.advance(SESSION_S - 1)
    assert (await browser.get("/")).status_code == 200
    await stage.clock.advance(2)
    assert "Sign in" in (await browser.get("/")).text
    other = await stage.browser()
    await other.post("/sign-out", data={"csrf": stage.form_token(other)})
    assert (await other.get("/")).status_code == 401


@pytest.mark.parametrize("text", ["", ".", "..", "ffffffffff.00.00", "x" * 500, "é.é.é"])
def test_what_we_did_not_sign_is_no_session(text: str) -> None:
    assert not Access(TOKEN).is_session(text)


async def test_a_changed_session_is_none() -> None:
    access = Access(TOKEN)
    session = access.new_session()
    assert access.is_session(session)
    assert not access.is_session(f"f{session}")
    assert not Access("u" * 43).is_session(session)


@pytest.mark.parametrize("path", ["/", "/static/page.css", "/nothing", "/api/v1/runs", "/sign-in"])
async def test_every_answer_carries_the_headers_that_protect_it(stage: Stage, path: str) -> None:
    for client in (stage.client(), await stage.browser()):
        headers = (await client.get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] in {"no-store", "no-cache"}


async def test_a_body_without_end_is_refused(stage: Stage) -> None:
    async with stage.program() as program:
        big = await program.post(f"/api/v1/runs/{RUN}/approve", content=b"x" * 3_000_000)
        assert big.status_code == 413

        async def endless() -> AsyncGenerator[bytes]:
            yield b"{}"

        assert (await program.post("/api/v1/runs/x/approve", content=endless())).status_code == 411


# --- the token ---------------------------------------------------------------------------------


async def test_a_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    tokens = {await asyncio.to_thread(token_of, tmp_path / "state") for _ in range(2)}
    assert len(tokens) == 1
    assert len(tokens.pop()) >= 43
    assert stat.S_IMODE((tmp_path / "state" / TOKEN_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize(("text", "mode"), [("a" * 43, 0o644), ("", 0o600), ("short", 0o600)])
def test_a_token_that_others_could_know_is_refused(tmp_path: Path, text: str, mode: int) -> None:
    path = tmp_path / TOKEN_FILE
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(InfrastructureError, match="only you can read"):
        token_of(tmp_path)


def test_a_token_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("a" * 43)
    (tmp_path / TOKEN_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InfrastructureError):
        token_of(tmp_path)
