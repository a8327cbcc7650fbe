"""What litellm's local tables know without a call: providers, keys, context sizes."""

import os
import pickle  # noqa: TID251 - what Ray does to errors and routes on their way
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actors.models.litellm import LitellmGateway
from actors.models.litellm_api import DEFAULT_CONTEXT_TOKENS
from actors.models.routing import Route, parse_routes
from orchestration.errors import ModelError

pytestmark = pytest.mark.slow


def gateway_to(**fields: Any) -> LitellmGateway:
    return LitellmGateway(parse_routes({"default": fields}))


@pytest.mark.parametrize(
    ("route", "says", "fix"),
    [
        ({"model": "nosuch/model"}, "no provider is known", "PROVIDER/NAME"),
        ({"model": "gtp-4o"}, "no provider is known", "gpt-4o"),
        ({"model": "anthropic/x"}, "ANTHROPIC_API_KEY is not set", "export ANTHROPIC_API_KEY"),
        ({"model": "openai/x", "key_env": "MY_KEY"}, "MY_KEY is not set", "export MY_KEY"),
        (
            {"model": "openai/x", "fallbacks": ["groq/x"]},
            "GROQ_API_KEY is not set",
            "export GROQ_API_KEY",
        ),
    ],
)
async def test_an_unusable_model_is_told_without_a_call(route: dict[str, Any], says: str, fix: str):
    with pytest.raises(ModelError, match=says) as caught:
        await gateway_to(**route).check("coder")

    assert fix in caught.value.fix


async def test_an_empty_key_is_a_missing_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "")

    with pytest.raises(ModelError, match="OPENAI_API_KEY is not set"):
        await gateway_to(model="openai/gpt-4o").check("coder")


@pytest.mark.parametrize(
    "route",
    [{"model": "ollama/qwen3"}, {"model": "openai/mine", "api_base": "http://127.0.0.1:1/v1"}],
)
async def test_local_servers_need_no_key(monkeypatch: pytest.MonkeyPatch, route: dict[str, Any]):
    monkeypatch.delenv("OPENAI_API_KEY")

    assert await gateway_to(**route).check("coder") == route["model"]


@pytest.mark.parametrize(
    ("route", "tokens"),
    [
        ({"model": "openai/gpt-4o"}, 128_000),
        ({"model": "anthropic/claude-sonnet-4-5"}, 200_000),
        ({"model": "openai/unheard-of"}, DEFAULT_CONTEXT_TOKENS),
        ({"model": "openai/unheard-of", "context_tokens": 9000}, 9000),
        ({"model": "anthropic/claude-sonnet-4-5", "fallbacks": ["openai/gpt-4o"]}, 128_000),
    ],
)
async def test_context_sizes_come_from_the_local_table_and_the_smallest_of_a_route_counts(
    route: dict[str, Any], tokens: int
):
    assert await gateway_to(**route).context_tokens("coder") == tokens


def test_routes_survive_the_way_to_another_process():
    routes = parse_routes({"default": {"model": "openai/x", "options": {"seed": 1}}})

    assert pickle.loads(pickle.dumps(routes)) == routes
    assert routes.default == Route(model="openai/x", options={"seed": 1})


ALONE = """
import socket, sys
def refuse(*address, **_):
    sys.exit(f"reached for {address}")
socket.socket.connect = lambda _, address: refuse(address)
socket.getaddrinfo = refuse
from actors.models import litellm
from actors.models.routing import parse_routes
litellm.LitellmGateway(parse_routes({"default": "openai/gpt-4o"}))
import os
print(os.environ.get("LEAKED", "nothing"))
"""


@pytest.mark.slow
def test_loading_litellm_fetches_nothing_and_reads_no_env_file(tmp_path: Path):
    (tmp_path / ".env").write_text("LEAKED=yes\n")
    root = Path(__file__).parents[3]

    done = subprocess.run(
        [sys.executable, "-c", ALONE],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "nothing"), done.stderr
