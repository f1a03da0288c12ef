"""``hangard config``: settings of the repository and of the user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from hangard_client.user_config import set_user_config

from hangard.cli.output import console, print_json
from hangard.cli.place import open_repository
from hangard.config import KEYS, Levels, check_name, load_user
from hangard.errors import NoRepository, NotFound

_as_json = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
_of_user = click.option("--user", "of_user", is_flag=True, help="The user's, not the repository's.")


@click.group("config", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Get, set, unset and list settings; alone it lists.

    The first that has a setting wins: the option of a command, HANGARD_... in the environment, the
    repository, the user's file, the daemon. Backends are resolved once, when a column is created.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_settings)


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in KEYS if name.startswith(incomplete)]


@command.command("get")
@click.argument("name", shell_complete=_complete)
@_of_user
@_as_json
def get(name: str, of_user: bool, as_json: bool) -> None:
    """Print the value of NAME that is in force."""
    found = settings(of_user).get(check_name(name))
    if found is None:
        raise NotFound(f"{name} is not set", code="setting-not-set")
    print_json({"name": name, **found}) if as_json else click.echo(found["value"])


@command.command("set")
@click.argument("name", shell_complete=_complete)
@click.argument("value")
@_of_user
@_as_json
def set_setting(name: str, value: str, of_user: bool, as_json: bool) -> None:
    """Set NAME to VALUE, for the repository or with --user for the user."""
    changed({name: value}, of_user, as_json)


@command.command("unset")
@click.argument("name", shell_complete=_complete)
@_of_user
@_as_json
def unset(name: str, of_user: bool, as_json: bool) -> None:
    """Take the setting NAME away."""
    changed({name: None}, of_user, as_json)


@command.command("list")
@_of_user
@_as_json
def list_settings(of_user: bool = False, as_json: bool = False) -> None:
    """List what is in force, and where it is from."""
    found = settings(of_user)
    if as_json:
        print_json([{"name": name, **setting} for name, setting in found.items()])
        return
    for name, setting in found.items():
        console().print(f"{name} = {setting['value']}  ({setting['level']})")


def settings(of_user: bool) -> dict[str, dict[str, Any]]:
    """Value and level of each setting: of the user's file only, or of all that is in force."""
    if of_user:
        return {name: {"value": text, "level": "user"} for name, text in load_user().items()}
    try:
        with open_repository() as repo:
            levels = repo.levels()
    except NoRepository:
        levels = Levels.read()
    found = levels.in_force().items()
    return {name: {"value": value, "level": level} for name, (value, level) in found}


def changed(values: Mapping[str, str | None], of_user: bool, as_json: bool) -> None:
    """Change settings; with --json tell all that the level has then."""
    if of_user:
        now = set_user_config(values)
    else:
        with open_repository() as repo:
            now = repo.set_config(values)
    if as_json:
        print_json(now)
