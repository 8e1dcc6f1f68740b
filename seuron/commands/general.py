"""Commands about the commands, and links."""

from __future__ import annotations

from typing import Annotated, Any

from seuron.commands.answers import Answer, Session
from seuron.commands.registry import Argument, Command, command, command_named, commands
from seuron.engine.states import MEANINGS

GROUP = "General"


@command("help", aliases=("commands",), permission="look", group=GROUP)
def help_(
    session: Session, command: Annotated[str, Argument("one of them, in quotes where it has two words")] = ""
) -> Answer:
    """List the commands that you may give, or explain one."""
    if command:
        made = command_named(command)
        return Answer(_explained(made), _as_data(made))
    allowed = [made for made in commands() if made.permission in session.permissions]
    lines, group = [], ""
    for made in allowed:
        if made.group != group:
            group = made.group
            lines.append(f"\n{group}")
        lines.append(f"  {made.name}: {made.summary}")
    return Answer("\n".join(lines).strip(), [_as_data(made) for made in allowed])


@command("states", aliases=("show states",), permission="look", group=GROUP)
def states(session: Session) -> Answer:
    """Say what the states of a run mean."""
    return Answer("\n".join(f"{state}: {text}" for state, text in MEANINGS.items()), {**MEANINGS})


@command("links", aliases=("show links", "airflow", "show airflow", "dashboards"), permission="look", group=GROUP)
def links(session: Session) -> Answer:
    """Give the pages of the deployment: Airflow, the viewer where its server runs, and dashboards.

    Dashboards are those that $SEURON_LINKS names, as `NAME=URL` with spaces between.
    """
    found = session.deployment.links()
    return Answer("\n".join(f"{name}  {url}" for name, url in found.items()), found)


def _explained(made: Command) -> str:
    lines = [made.usage, "", made.doc]
    lines += [""] if made.parameters else []
    for parameter in made.parameters:
        if parameter.argument.help and not parameter.argument.local_only:
            lines.append(f"  {parameter.name}: {parameter.argument.help}")
    if made.aliases:
        lines += ["", f"also: {', '.join(made.aliases)}"]
    return "\n".join(lines)


def _as_data(made: Command) -> dict[str, Any]:
    return {
        "name": made.name,
        "aliases": list(made.aliases),
        "permission": made.permission,
        "usage": made.usage,
        "help": made.doc,
    }
