"""A model's provider on loopback that plays every role of one small change."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TEST = "def test_red():\n    from wordkit.red import red\n\n    assert red() == 'red'\n"
CODE = "def red():\n    return 'red'\n"
PLAN = {
    "summary": "One function.",
    "tasks": [
        {
            "id": "red",
            "title": "Add red",
            "description": "Add red().",
            "acceptance": ["red() gives its own name"],
            "files": ["wordkit/red.py", "tests/test_red.py"],
        }
    ],
}
VERDICT = {"approved": True, "summary": "Good.", "findings": []}


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """What the model says: it does what its role would."""
    messages = body["messages"]
    who = str(messages[0]["content"])
    turn = 1 + sum(m["role"] == "assistant" for m in messages)
    if "architect" in who[:40]:
        return call("finish", PLAN)
    if "You are a coder" in who[:40]:
        if turn > 1:
            return call("finish", {"title": "Add red", "notes": ""})
        is_test = "# Your part: the test" in str(messages[1]["content"])
        path, text = ("tests/test_red.py", TEST) if is_test else ("wordkit/red.py", CODE)
        return call("write", {"path": path, "content": text})
    # The judges are models that write their calls as text.
    said = json.dumps({"name": "finish", "arguments": VERDICT})
    return {"role": "assistant", "content": f"<think>hm</think>\n<tool_call>\n{said}\n</tool_call>"}


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"type": "function", "function": function}],
    }


@contextmanager
def provider() -> Generator[tuple[str, list[int]]]:
    """An OpenAI-compatible server on loopback, and the statuses it gave. The first is a 429."""
    statuses: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            statuses.append(200 if statuses else 429)
            if statuses[-1] == 429:
                self.reply(429, {"error": {"message": "slow down"}}, ("Retry-After", "1"))
                return
            choice = {"index": 0, "finish_reason": "stop", "message": answer(body)}
            usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
            self.reply(200, {"id": "x", "object": "chat.completion", "created": 1, "model": "m",
                             "choices": [choice], "usage": usage})  # fmt: skip

        def reply(self, status: int, body: dict[str, Any], *headers: tuple[str, str]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in (("Content-Type", "application/json"), *headers):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", statuses
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def route(url: str) -> str:
    """`MANTA_ROUTES` of a provider: every role asks it, at 0.02 US dollars a reply."""
    default = {"model": "openai/loopback", "api_base": url, "usd_per_million": [10.0, 100.0],
               "requests_per_minute": 1000}  # fmt: skip
    return json.dumps({"default": default})
