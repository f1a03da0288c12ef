"""``hangard tag``: list, create, show, delete."""

from __future__ import annotations

from typing import Any

import click
import hangard_client

from hangard.cli.commit import author_of
from hangard.cli.completing import complete_revisions, complete_tags
from hangard.cli.describe import commit_lines, commit_record, first_line
from hangard.cli.output import date_text, print_json
from hangard.cli.place import open_repository


@click.group("tag", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, create, show and delete tags; alone it lists.

    A tag names a commit for good, with who gave the name, when and why.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_tags)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the tags as JSON.")
def list_tags(as_json: bool) -> None:
    """List the tags with their commits and the first lines of their messages."""
    with open_repository() as repo:
        tags = [repo.tag(name) for name in repo.tags()]
    if as_json:
        print_json([record(tag) for tag in tags])
        return
    for tag in tags:
        click.echo(f"{tag.name} {tag.commit.hex()[:16]} {first_line(tag.message)}".rstrip())


@command.command("create")
@click.argument("name")
@click.argument("revision", required=False, shell_complete=complete_revisions)
@click.option("-m", "--message", default="", help="What the tag is for.")
@click.option("--author", help='The tagger, "Name <email>"; without it the configured one.')
@click.option("--json", "as_json", is_flag=True, help="Print the tag as JSON.")
def create(
    name: str, revision: str | None, message: str, author: str | None, as_json: bool
) -> None:
    """Name REVISION (HEAD's commit if left out) NAME, for good.

    A tag that exists is not moved: delete it first.
    """
    with open_repository(*author_of(author)) as repo:
        tag = repo.create_tag(name, revision, message=message)
    if as_json:
        print_json(record(tag))
        return
    click.echo(f"Tagged {tag.commit.hex()[:16]} as {name}.")


@command.command("show")
@click.argument("name", shell_complete=complete_tags)
@click.option("--json", "as_json", is_flag=True, help="Print the tag and its commit as JSON.")
def show(name: str, as_json: bool) -> None:
    """Show tag NAME and the commit that it names."""
    with open_repository() as repo:
        tag = repo.tag(name)
        (entry,) = repo.log(tag.commit, limit=1)
    if as_json:
        print_json({**record(tag), "commit": commit_record(entry)})
        return
    click.echo(f"tag {tag.name}")
    if tag.tagger is not None:
        click.echo(f"tagger {tag.tagger}")
        click.echo(f"date   {date_text(tag.time_ns)}")
    for line in tag.message.splitlines():
        click.echo(f"    {line}".rstrip())
    click.echo()
    for line in commit_lines(entry):
        click.echo(line)


@command.command("delete")
@click.argument("name", shell_complete=complete_tags)
def delete(name: str) -> None:
    """Delete tag NAME; the commit that it names stays as long as something else leads to it."""
    with open_repository() as repo:
        commit = repo.delete_tag(name)
    click.echo(f"Deleted tag {name}; it named {commit.hex()[:16]}.")


def record(tag: hangard_client.Tag) -> dict[str, Any]:
    """A tag as plain values."""
    tagger = tag.tagger
    return {
        "name": tag.name,
        "commit": tag.commit,
        "tagger": None if tagger is None else {"name": tagger.name, "email": tagger.email},
        "time_ns": tag.time_ns,
        "message": tag.message,
    }
