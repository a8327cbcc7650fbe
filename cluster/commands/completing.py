"""The door of shells: completion."""

import click
from click.shell_completion import get_completion_class

from cluster.terminal.completing import ASKED

HOW = {
    "bash": "manta completion bash > ~/.local/share/bash-completion/completions/manta",
    "zsh": "manta completion zsh > ~/.zfunc/_manta    (with ~/.zfunc in $fpath)",
    "fish": "manta completion fish > ~/.config/fish/completions/manta.fish",
}


@click.command(epilog="\b\n" + "\n".join(HOW.values()))
@click.argument("shell", type=click.Choice(list(HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete manta's commands, options and runs."""
    found = get_completion_class(shell)
    assert found, "click knows these shells"
    click.echo(found(ctx.find_root().command, {}, "manta", ASKED).source())
