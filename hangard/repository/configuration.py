"""A repository's own settings, in its database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hangard.config import check_name
from hangard.db.tables import WriteTables
from hangard.model.configuration import check_setting


@dataclass(frozen=True, slots=True)
class SetConfig:
    """Make settings, or (None) take them away; gives all there are then."""

    values: Mapping[str, str | None]

    def check(self, tables: WriteTables) -> None:
        """Errors: InvalidRequest, InvalidType."""
        for name, value in self.values.items():
            if value is None:
                check_name(name)
            else:
                check_setting(name, value)

    def apply(self, tables: WriteTables) -> dict[str, str]:
        for name, value in self.values.items():
            if value is None:
                tables.delete_config(name)
            else:
                tables.put_config(*check_setting(name, value))
        return tables.config()
