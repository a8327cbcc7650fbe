import asyncio
import os
from pathlib import Path

import pytest

from actors.lsp import language_server
from actors.lsp.languages import Language
from actors.lsp.tools import LanguageTools
from actors.lsp.workspace import LARGEST
from tests.actors.lsp.conftest import toy

pytestmark = pytest.mark.slow  # each starts a process or two


async def ask(tools: LanguageTools, name: str, **arguments: object) -> str:
    answer = await tools.call(name, arguments)
    assert answer.ok, answer.text
    return answer.text


async def fail(tools: LanguageTools, name: str, **arguments: object) -> str:
    answer = await tools.call(name, arguments)
    assert not answer.ok, answer.text
    return answer.text


def contents(project: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in project.rglob("*") if path.is_file()}


# --- by name -------------------------------------------------------------------------------------


async def test_a_name_alone_finds_its_definition_with_its_text(tools: LanguageTools):
    text = await ask(tools, "get_definition", symbol="knock")
    assert text == "bank/door.toy:3  function knock\n     3\tdef knock"


@pytest.mark.parametrize(
    "name",
    ["Account.close", "account.Account.close", "bank.account.Account.close", "Account#close"],
)
async def test_a_qualified_name_says_which(tools: LanguageTools, name: str):
    assert "bank/account.toy:2" in await ask(tools, "get_definition", symbol=name)


async def test_an_ambiguous_name_lists_all_who_bear_it(tools: LanguageTools):
    text = await fail(tools, "get_definition", symbol="close")
    assert "2 symbols are called 'close'" in text
    assert "bank/account.toy:2  function Account.close" in text
    assert "bank/door.toy:2  function Door.close" in text


async def test_a_path_settles_which_of_them(tools: LanguageTools):
    text = await ask(tools, "get_definition", symbol="close", path="bank/door.toy")
    assert text.startswith("bank/door.toy:2  function Door.close")


async def test_an_unknown_name_brings_near_misses(tools: LanguageTools):
    assert "Like it are: Account" in await fail(tools, "get_definition", symbol="Acount")
    assert "Like it" not in await fail(tools, "get_definition", symbol="xyzzy_plugh")


async def test_a_use_in_a_file_leads_to_the_definition(tools: LanguageTools):
    text = await ask(tools, "get_definition", symbol="Account", path="main.toy")
    assert text.startswith("bank/account.toy:1  class Account")


# --- by place ------------------------------------------------------------------------------------


async def test_a_line_is_enough_where_it_says_one_thing(tools: LanguageTools):
    text = await ask(tools, "get_definition", path="main.toy", line=2, symbol="knock")
    assert text.startswith("bank/door.toy:3")
    assert "bank/door.toy:3" in await ask(
        tools, "get_definition", path="main.toy", line=2, column=5
    )


async def test_columns_are_counted_in_characters_whatever_stands_before(
    tools: LanguageTools, project: Path
):
    (project / "wide.toy").write_text("use 🎉🎉 knock\n")
    text = await ask(tools, "get_definition", path="wide.toy", line=1, column=8)
    assert text.startswith("bank/door.toy:3")
    assert (await tools.call("rename_symbol", {"symbol": "knock", "new_name": "tap"})).ok
    assert (project / "wide.toy").read_text() == "use 🎉🎉 tap\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "say which symbol"),
        ({"line": 3, "symbol": "x"}, "`line` needs `path`"),
        ({"path": "main.toy"}, "symbol of the file"),
        ({"path": "main.toy", "line": 99}, "there is no line 99"),
        ({"path": "main.toy", "line": 1, "symbol": "nowhere"}, "has no nowhere on it"),
        ({"path": "none.toy", "symbol": "x"}, "there is no file none.toy"),
        ({"path": "../out.toy", "symbol": "x"}, "lies outside"),
        ({"path": "/etc/passwd", "symbol": "x"}, "lies outside"),
        ({"path": 3}, "path: must be a string"),
        ({"symbol": "x", "line": True}, "line: must be a integer"),
        ({"colour": "red"}, "colour: there is no such argument"),
    ],
)
async def test_what_cannot_be_meant_is_said(
    tools: LanguageTools, arguments: dict[str, object], said: str
):
    assert said in await fail(tools, "hover", **arguments)


async def test_a_file_that_nobody_knows_about_is_said(tools: LanguageTools, project: Path):
    (project / "notes.md").write_text("knock\n")
    assert "configured for .md" in await fail(tools, "document_symbols", path="notes.md")


# --- questions -----------------------------------------------------------------------------------


async def test_references_are_listed_by_file_with_their_lines(tools: LanguageTools):
    assert await ask(tools, "find_references", symbol="knock") == (
        "2 places in 2 files (knock)\nbank/door.toy\n  3: def knock\nmain.toy\n  2: use knock"
    )


async def test_an_outline_and_a_search_name_symbols(tools: LanguageTools):
    outline = await ask(tools, "document_symbols", path="bank/account.toy")
    assert "2-2  function Account.close" in outline
    assert "bank/account.toy:1  class Account" in await ask(tools, "workspace_symbols", query="Acc")
    assert "contains 'Zzz'" in await fail(tools, "workspace_symbols", query="Zzz")


@pytest.mark.parametrize("flags", [(), ("push",)])
async def test_diagnostics_follow_the_disk(
    project: Path, flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(language_server, "_SETTLES_S", 0.05)
    tools = LanguageTools(project, [toy(*flags)])
    try:
        assert "No errors" in await ask(tools, "diagnostics", path="main.toy")
        (project / "main.toy").write_text("use knock\nBUG\n")
        text = await ask(tools, "diagnostics", path="main.toy")
        assert text == "main.toy:2:1 error: a bug [toy]"
        assert "main.toy:2:1" in await ask(tools, "diagnostics")
        (project / "main.toy").write_text("use knock\n")
        assert "No errors" in await ask(tools, "diagnostics", path="main.toy")
    finally:
        await tools.close()


async def test_a_file_that_no_search_would_find_is_still_read_as_it_is(
    tools: LanguageTools, project: Path
):
    hidden = project / ".hidden"
    hidden.mkdir()
    (hidden / "x.toy").write_text("def one\n")
    assert "one" in await ask(tools, "document_symbols", path=".hidden/x.toy")
    (hidden / "x.toy").write_text("def other\n")
    assert "other" in await ask(tools, "document_symbols", path=".hidden/x.toy")


async def test_a_server_is_told_of_files_that_come_change_and_go(
    tools: LanguageTools, project: Path
):
    await ask(tools, "hover", symbol="knock")
    (project / "new.toy").write_text("def fresh\n")
    (project / "main.toy").unlink()
    text = await ask(tools, "hover", symbol="fresh")
    assert "1 new.toy" in text
    assert "3 main.toy" in text


# --- renaming ------------------------------------------------------------------------------------


async def test_a_rename_changes_all_files_and_says_which(tools: LanguageTools, project: Path):
    (project / "main.toy").chmod(0o755)
    answer = await tools.call("rename_symbol", {"symbol": "knock", "new_name": "tap"})
    assert answer.text.startswith("Renamed knock to tap: 2 places in 2 files.")
    assert sorted(answer.written) == ["bank/door.toy", "main.toy"]
    assert (project / "main.toy").read_text() == "use Account\nuse tap\n"
    assert (project / "main.toy").stat().st_mode & 0o777 == 0o755
    assert "bank/door.toy:3" in await ask(tools, "get_definition", symbol="tap")


async def test_a_server_that_has_not_read_the_project_yet_misses_no_use(project: Path):
    (project / "large.toy").write_text("use knock\n" + "x" * LARGEST)
    tools = LanguageTools(project, [toy("new")])
    uses = await ask(tools, "find_references", symbol="knock")
    assert uses.startswith("2 places in 2 files (knock)")
    await tools.close()

    tools = LanguageTools(project, [toy("new")])
    answer = await tools.call("rename_symbol", {"symbol": "knock", "new_name": "tap"})
    assert sorted(answer.written) == ["bank/door.toy", "main.toy"]
    await tools.close()


async def test_a_server_that_still_counts_the_projects_files_renames_in_all_of_them(project: Path):
    tools = LanguageTools(project, [toy("counts")])
    answer = await tools.call("rename_symbol", {"symbol": "knock", "new_name": "tap"})
    assert sorted(answer.written) == ["bank/door.toy", "main.toy"]
    await tools.close()


async def test_uses_that_a_server_leaves_out_are_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("actors.lsp.tools._COUNTED_S", 0.0)
    tools = LanguageTools(project, [toy("blind")])
    answer = await tools.call("rename_symbol", {"symbol": "knock", "new_name": "tap"})
    assert answer.written == ("bank/door.toy",)
    assert "look at them:\n  main.toy:2" in answer.text
    await tools.close()


async def test_a_rename_keeps_line_ends_and_all_other_bytes(tools: LanguageTools, project: Path):
    (project / "main.toy").write_bytes(b"use Account\r\nuse knock\r\n\xef\xbb\xbfend")
    await ask(tools, "rename_symbol", symbol="knock", new_name="tap")
    assert (project / "main.toy").read_bytes() == b"use Account\r\nuse tap\r\n\xef\xbb\xbfend"


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("outside", "lies outside"),
        ("deleted", "wants to delete a file"),
        ("overlap", "overlap"),
        ("not a name", "no plain identifier"),
    ],
)
async def test_an_edit_that_goes_too_far_changes_nothing(
    tools: LanguageTools, project: Path, new: str, said: str
):
    before = contents(project)
    assert said in await fail(tools, "rename_symbol", symbol="knock", new_name=new)
    assert contents(project) == before


async def test_what_cannot_be_written_undoes_what_was(
    tools: LanguageTools, project: Path, monkeypatch: pytest.MonkeyPatch
):
    before = contents(project)
    real, calls = Path.replace, list[str]()

    def replace(draft: Path, target: Path) -> Path:
        calls.append(target.name)
        if len(calls) == 2:
            raise OSError(28, "No space left on device", str(target))
        return real(draft, target)

    monkeypatch.setattr(Path, "replace", replace)
    assert "nothing was changed" in await fail(
        tools, "rename_symbol", symbol="knock", new_name="tap"
    )
    assert contents(project) == before


async def test_a_rename_may_move_the_file_that_bears_the_name(tools: LanguageTools, project: Path):
    answer = await tools.call("rename_symbol", {"symbol": "Account", "new_name": "Moved"})
    assert "bank/account.toy is now bank/account-moved.toy" in answer.text
    assert "class Moved" in (project / "bank/account-moved.toy").read_text()


# --- servers that fail ---------------------------------------------------------------------------


async def test_a_server_that_dies_once_is_asked_again(tools: LanguageTools, project: Path):
    (project / "main.toy").write_text("def crash_once\n")
    assert "crash_once" in await ask(tools, "hover", symbol="crash_once")


async def test_a_server_that_keeps_dying_is_left_alone(tools: LanguageTools, project: Path):
    (project / "main.toy").write_text("def crash\n")
    said = await fail(tools, "hover", symbol="crash")
    assert "died; its last words: toy: I cannot bear it" in said
    await fail(tools, "hover", symbol="crash")
    assert "has crashed 3 times in a row" in await fail(tools, "hover", symbol="knock")


async def test_a_server_that_speaks_no_protocol_is_ended(tools: LanguageTools, project: Path):
    (project / "main.toy").write_text("def garbage\n")
    assert "died" in await fail(tools, "hover", symbol="garbage")


async def test_a_server_that_hangs_is_given_up_and_still_answers_others(
    tools: LanguageTools, project: Path, monkeypatch: pytest.MonkeyPatch
):
    (project / "main.toy").write_text("def hang\n")
    await ask(tools, "hover", symbol="knock")
    monkeypatch.setattr(language_server.LanguageServer.ask, "__kwdefaults__", {"timeout_s": 0.2})
    assert "did not answer within 0.2 s" in await fail(tools, "hover", symbol="hang")
    assert "knock" in await ask(tools, "hover", symbol="knock")


async def test_a_missing_server_says_how_to_get_it(project: Path):
    gone = Language("toy", ("no-such-toyls",), {".toy": "toy"}, "pip install toyls")
    text = await fail(LanguageTools(project, [gone]), "hover", symbol="knock")
    assert text == (
        "there is no language server for toy: `no-such-toyls` is not installed here. "
        "To have it: pip install toyls."
    )


async def test_a_server_that_does_not_start_says_its_last_words(project: Path):
    tools = LanguageTools(project, [toy("dies")])
    assert "does not start" in await fail(tools, "hover", symbol="knock")
    assert "toy: no licence" in await fail(tools, "hover", symbol="knock")
    await tools.close()


async def test_an_idle_server_is_ended_and_comes_back(tools: LanguageTools):
    await ask(tools, "hover", symbol="knock")
    assert tools.servers[0].is_running
    await tools.stop_idle(3600)
    assert tools.servers[0].is_running
    await tools.stop_idle(0)
    assert not tools.servers[0].is_running
    await ask(tools, "hover", symbol="knock")


async def test_nothing_runs_before_it_is_asked_nor_after_the_end(project: Path):
    tools = LanguageTools(project, [toy()])
    assert not tools.servers[0].is_running
    await ask(tools, "hover", symbol="knock")
    session = tools.servers[0]._session  # pyright: ignore[reportPrivateUsage] - to see it die
    assert session
    process = session._process  # pyright: ignore[reportPrivateUsage] - to see it die
    assert process
    await tools.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


async def test_questions_at_the_same_time_start_one_server(tools: LanguageTools):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(tools, "hover", symbol="knock")) for _ in range(5)]
    assert len({task.result() for task in tasks}) == 1
