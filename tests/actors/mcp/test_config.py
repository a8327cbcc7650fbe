import json
from pathlib import Path

import pytest

from actors.mcp.config import (
    ServerConfig,
    digest,
    dump,
    expand,
    for_sandbox,
    parse,
    read,
    secrets,
    variables,
)
from orchestration.errors import UsageError


def servers(**entries: object) -> str:
    return json.dumps({"mcpServers": entries})


def test_the_form_that_everybody_writes_is_read():
    text = servers(
        files={"command": "npx", "args": ["-y", "server"], "env": {"ROOT": "/data"}},
        web={"type": "http", "url": "https://x.example/mcp", "headers": {"Authorization": "B"}},
        off={"command": "x", "disabled": True},
        other={"command": "y", "autoApprove": ["z"], "timeout": 3},
    )
    files, web, other = parse(text, "f")
    assert files == ServerConfig("files", ("npx", "-y", "server"), {"ROOT": "/data"})
    assert web.url == "https://x.example/mcp"
    assert web.headers == {"Authorization": "B"}
    assert other.command == ("y",)


def test_only_coders_may_call_unless_it_says_otherwise():
    a, b, c = parse(
        servers(
            a={"command": "x"},
            b={"command": "x", "manta": {"roles": ["coder", "reviewer"]}},
            c={"command": "x", "manta": {"roles": {"architect": ["get_*"]}}},
        ),
        "f",
    )
    assert a.allows("coder", "anything")
    assert not a.allows("reviewer", "anything")
    assert b.allows("reviewer", "anything")
    assert c.allows("architect", "get_issue")
    assert not c.allows("architect", "create_issue")
    assert not c.allows("coder", "get_issue")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "f is no JSON"),
        ("[]", "f names no servers"),
        ('{"mcpServers": []}', "f names no servers"),
        (servers(**{"bad name": {"command": "x"}}), "mcpServers.bad name is no usable name"),
        (servers(a=3), "mcpServers.a is no table"),
        (servers(a={}), "mcpServers.a needs a 'command'"),
        (servers(a={"type": "sse", "url": "https://x"}), "type 'sse' is not supported"),
        (servers(a={"type": "http"}), "mcpServers.a needs a 'url'"),
        (servers(a={"url": "ftp://x"}), "'ftp://x' is no URL"),
        (servers(a={"command": "x", "args": "y"}), "mcpServers.a.args must be a list"),
        (servers(a={"command": "x", "env": {"A": 1}}), "mcpServers.a.env must hold texts"),
        (servers(a={"command": "x", "manta": {"role": []}}), "manta: role means nothing here"),
        (servers(a={"command": "x", "manta": {"roles": ["king"]}}), "names no roles"),
        (servers(a={"command": "x", "manta": {"call_timeout_s": 0}}), "must be seconds"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_a_fix(text: str, said: str):
    with pytest.raises(UsageError, match="f") as caught:
        parse(text, "f")
    assert said in caught.value.what
    assert caught.value.fix


def test_a_file_that_is_not_there_or_too_large_is_told(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "none.json")
    (tmp_path / "big.json").write_text(" " * 300_000)
    with pytest.raises(UsageError, match="larger than 256 KB"):
        read(tmp_path / "big.json")


def test_variables_are_filled_in_and_missing_ones_are_named():
    text = servers(
        a={"command": "${BIN:-run}", "args": ["--${MODE:-safe}"], "env": {"T": "${TOKEN}"}}
    )
    (config,) = parse(text, "f")
    assert variables(config) == {"BIN": True, "MODE": True, "TOKEN": False}
    filled = expand(config, {"TOKEN": "abc123secret"}, "f")
    assert filled.command == ("run", "--safe")
    assert filled.env == {"T": "abc123secret"}
    with pytest.raises(UsageError, match="the server 'a' needs TOKEN, which is not set"):
        expand(config, {}, "f")


def test_what_runs_is_shown_without_what_it_is_told():
    (config,) = parse(servers(a={"command": "x", "args": ["y"], "env": {"TOKEN": "s3cr3t"}}), "f")
    assert config.shown == "x y  with TOKEN=…"


def test_secrets_are_all_values_that_could_be_one():
    config = ServerConfig(
        "a", env={"T": "topsecret", "D": "1"}, headers={"Authorization": "Bearer abcdefgh"}
    )
    assert secrets(config) == ("Bearer abcdefgh", "topsecret", "abcdefgh", "Bearer")


def test_what_is_written_down_is_read_back():
    text = servers(
        a={"command": "x", "args": ["y"], "env": {"A": "b"}, "manta": {"call_timeout_s": 5}},
        b={"url": "https://x", "headers": {"H": "v"}, "manta": {"roles": ["security"]}},
    )
    assert parse(dump(parse(text, "f")), "g") == parse(text, "f")


def test_a_changed_command_is_another_server_a_changed_secret_is_not():
    one, other, told = (
        ServerConfig("a", ("x",)),
        ServerConfig("a", ("y",)),
        ServerConfig("a", ("x",), {"K": "v"}),
    )
    assert one.identity != other.identity
    assert one.identity == told.identity


def test_a_repository_gets_no_variable_and_no_network():
    with pytest.raises(UsageError, match="a repository gets no variable of yours"):
        for_sandbox(servers(a={"command": "x", "env": {"K": "${AWS_SECRET}"}}), "r")
    with pytest.raises(UsageError, match="reached by URL"):
        for_sandbox(servers(a={"url": "https://evil"}), "r")
    (fine,) = for_sandbox(servers(a={"command": "${X:-x}"}), "r")
    assert fine.command == ("x",)


def test_a_digest_is_of_exactly_this_text():
    assert digest("a") != digest("a ")
    assert len(digest("a")) == 16
