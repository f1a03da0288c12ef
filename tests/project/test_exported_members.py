"""What a module offers is what its ``__all__`` says."""

from __future__ import annotations

import importlib
import types

import pytest
from project.sources import all_modules

DECLARING = [
    name
    for name, path in all_modules()
    if path.suffix == ".py" and "__all__ = [" in path.read_text()
]


@pytest.mark.parametrize("name", DECLARING)
def test_exported_names_exist_once_and_in_order(name):
    module = importlib.import_module(name)
    exported = list(module.__all__)
    assert exported == sorted(set(exported))
    for member in exported:
        assert hasattr(module, member)


def test_the_client_exports_every_public_name_it_has():
    import hangard_client

    public = {
        name
        for name, value in vars(hangard_client).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    } - {"annotations"}
    assert public <= set(getattr(hangard_client, "__all__", []))
