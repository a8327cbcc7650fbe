"""The front door: `manta`. Each command's module is loaded when the command is used."""

from difflib import get_close_matches
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from cluster.machines.outliving import outlive_clusters
from cluster.terminal.completing import stand_in, wants_run

COMMANDS = {
    "init": "cluster.commands.starting:init",
    "run": "cluster.commands.running:run",
    "demo": "cluster.commands.running:demo",
    "submit": "cluster.commands.submitting:submit",
    "queue": "cluster.commands.submitting:queue",
    "runs": "cluster.commands.looking:runs",
    "show": "cluster.commands.looking:show",
    "watch": "cluster.commands.following:watch",
    "approve": "cluster.commands.deciding:approve",
    "reject": "cluster.commands.deciding:reject",
    "resume": "cluster.commands.following:resume",
    "cancel": "cluster.commands.deciding:cancel",
    "fetch": "cluster.commands.looking:fetch_branch",
    "replay": "cluster.commands.replaying:replay",
    "fork": "cluster.commands.running:fork",
    "verify": "cluster.commands.verifying:verify",
    "memory": "cluster.commands.memory:memory",
    "up": "cluster.commands.machine:up",
    "down": "cluster.commands.machine:down",
    "web": "cluster.commands.web:web",
    "doctor": "cluster.commands.machine:doctor",
    "metrics": "cluster.commands.metrics:metrics",
    "completion": "cluster.commands.completing:completion",
    "tools": "cluster.commands.tools:tools",
    "mcp": "cluster.commands.programs:mcp",
    "acp": "cluster.commands.programs:acp",
    "lsp": "actors.lsp.command:lsp",
}
"""In the order of `manta --help`."""


class Doors(click.Group):
    """Commands by name; `manta lsp` must not wait for Ray, nor `manta --version` for anything."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if wants_run(cmd_name):
            return stand_in(cmd_name)
        return door_named(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = get_close_matches(args[0], COMMANDS, 1)
        if near and args[0] not in COMMANDS:
            ctx.fail(f"No such command '{args[0]}'. Did you mean {near[0]}?")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [CompletionItem(name) for name in COMMANDS if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


def door_named(name: str) -> click.Command:
    """The command that `manta NAME` runs."""
    module, _, attribute = COMMANDS[name].partition(":")
    outlive_clusters()
    return getattr(import_module(module), attribute)


@click.command(
    cls=Doors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="manta-team")
def main() -> None:
    """Manta: an autonomous coding team on Ray. Requests in, tested branches out.

    Exit codes: 0 delivered, 1 failed, 2 usage, 3 waiting for a person, 4 a limit was reached,
    5 infrastructure.
    """


if __name__ == "__main__":
    main()
