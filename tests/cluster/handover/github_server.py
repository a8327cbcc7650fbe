"""A stand-in for GitHub's MCP server: a real server process that offers two tools of its names and
arguments, keeps pull requests in a file, and speaks to nobody. Its first argument is that file, its
second how it behaves."""

import json
import os
import sys
from pathlib import Path
from typing import Any

STATE, MANNER = Path(sys.argv[1]), sys.argv[2]
TEXT, BOOLEAN = {"type": "string"}, {"type": "boolean"}


def tool(name: str, required: list[str], **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"name": name, "description": name, "inputSchema": schema}


TOOLS = [
    tool(
        "create_pull_request",
        ["owner", "repo", "title", "head", "base"],
        **dict.fromkeys(("owner", "repo", "title", "head", "base", "body"), TEXT),
        **dict.fromkeys(("draft", "maintainer_can_modify", "show_ui"), BOOLEAN),
    ),
    tool(
        "list_pull_requests",
        ["owner", "repo"],
        **dict.fromkeys(("owner", "repo", "state", "head", "base"), TEXT),
    ),
]


class RefusedError(Exception):
    """An answer with `isError`."""


def create(arguments: dict[str, Any]) -> object:
    if MANNER == "refuses":
        raise RefusedError(
            "failed to create pull request: POST https://api.github.com/repos/o/r/pulls: 403 "
            f"Resource not accessible by personal access token {os.environ['TOKEN']}\x1b[2J []"
        )
    if MANNER == "dies":
        os._exit(3)
    if MANNER == "mumbles":
        return "done"
    kept = json.loads(STATE.read_text())
    number = len(kept) + 1
    url = f"https://github.com/{arguments['owner']}/{arguments['repo']}/pull/{number}"
    api = f"https://api.github.com/repos/o/r/pulls/{number}"
    kept.append({**arguments, "url": api, "html_url": url})
    STATE.write_text(json.dumps(kept))
    return {"id": str(number), "url": url}


def listed(arguments: dict[str, Any]) -> object:
    owner = arguments["owner"]
    return [
        {"number": number, "url": one["url"], "html_url": one["html_url"], "state": "open",
         "head": {"ref": one["head"], "sha": "0" * 40}}
        for number, one in enumerate(json.loads(STATE.read_text()), 1)
        if arguments["head"] in {f"{owner}:{one['head']}", one["head"]}
    ]  # fmt: skip


def answer(method: str, params: dict[str, Any]) -> object:
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "github-mcp-server", "version": "0"},
        }
    if method == "tools/list":
        return {"tools": TOOLS[1:] if MANNER == "reads only" else TOOLS}
    if method == "tools/call":
        verb = create if params["name"] == "create_pull_request" else listed
        try:
            said, is_error = verb(params["arguments"]), False
        except RefusedError as refusal:
            said, is_error = str(refusal), True
        text = said if isinstance(said, str) else json.dumps(said)
        return {"content": [{"type": "text", "text": text}], "isError": is_error}
    return {}


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        result = answer(message["method"], message.get("params") or {})
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}))
        sys.stdout.write("\n")
        sys.stdout.flush()
