"""``completion``: a script by which a shell completes commands, options and files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

_BASH = """\
_montage_ai() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words="" command="" word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$word" in -*) ;; *) command="$command $word" ;; esac
  done
  case "$command " in
{cases}
    *) words="{commands} help" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ ${{#COMPREPLY[@]}} -gt 0 ] || compopt -o default 2>/dev/null
}}
complete -F _montage_ai montage-ai
"""

_ZSH = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n\n"


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="Your shell.")]) -> None:
    """Print a script by which your shell completes commands and options: source it when the shell starts."""
    if shell == "fish":
        typer.echo(_fish(), nl=False)
    else:
        typer.echo((_ZSH if shell == "zsh" else "") + _bash(), nl=False)


def _bash() -> str:
    from montage_ai.cli import COMMANDS

    cases = []
    for words, options, inner in _commands():
        cases.append(f'    " {" ".join(words)} "*) words="{" ".join([*inner, *options])}" ;;')
    # Of two that begin alike the longer one comes first.
    return _BASH.format(cases="\n".join(sorted(cases, reverse=True)), commands=" ".join(COMMANDS))


def _fish() -> str:
    from montage_ai.cli import COMMANDS

    lines = ["complete -c montage-ai -n __fish_use_subcommand -f"]
    lines += [
        f"complete -c montage-ai -n __fish_use_subcommand -a {name} -d '{summary.rstrip('.')}'"
        for name, (_, summary) in COMMANDS.items()
    ]
    for words, options, inner in _commands():
        seen = " ".join(f"and __fish_seen_subcommand_from {word}" for word in words).removeprefix("and ")
        lines += [f"complete -c montage-ai -n '{seen}' -a {name}" for name in inner]
        lines += [
            f"complete -c montage-ai -n '{seen}' -l {option[2:]}" for option in options if option.startswith("--")
        ]
    return "\n".join(lines) + "\n"


def _commands() -> list[tuple[list[str], list[str], list[str]]]:
    """Of every command, also inside groups: its words, its options, and the commands in it."""
    from montage_ai.cli import COMMANDS
    from montage_ai.cli.command import application

    found = []
    for name, (place, _) in COMMANDS.items():
        one = typer.main.get_command(application(name, place))
        inner: dict[str, Any] = getattr(one, "commands", {})
        found.append(([name], _options(one), list(inner)))
        found += [([name, word], _options(command), []) for word, command in inner.items()]
    return found


def _options(command: Any) -> list[str]:
    names = [name for parameter in command.params for name in parameter.opts if name.startswith("-")]
    return sorted({*names, "--help"})
