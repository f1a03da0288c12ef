"""Tags and their objects: does each say what its ref does?"""

from __future__ import annotations

from collections.abc import Callable

from hangard.encoding.records import ANNOTATIONS, TAGS
from hangard.errors import Corrupt
from hangard.model.findings import Finding
from hangard.reading.tables import ReadTables


def check_tags(tables: ReadTables, report: Callable[[Finding], None]) -> None:
    """Report tags whose object is missing, damaged, or of another tag or commit, and objects that
    are named by no tag. That the commits exist is checked with those of branches."""
    tags = {name.removeprefix(TAGS.decode()): digest for name, digest in tables.refs(TAGS)}
    annotated = dict(tables.refs(ANNOTATIONS))
    for full, digest in annotated.items():
        name = full.removeprefix(ANNOTATIONS.decode())
        where = f"tag {name}"
        if name not in tags:
            report(Finding("damaged-tag", digest.hex(), where, "there is no such tag"))
            continue
        try:
            tag = tables.find_annotation(name)
        except Corrupt as error:
            report(Finding("damaged-tag", digest.hex(), where, str(error)))
            continue
        if tag is None:
            report(Finding("damaged-tag", digest.hex(), where, "its object is missing"))
        elif (tag.name, tag.target) != (name, tags[name]):
            detail = f"its object is of tag {tag.name}, commit {tag.target.hex()[:16]}"
            report(Finding("damaged-tag", digest.hex(), where, detail))
