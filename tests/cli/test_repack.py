"""`hangard repack`."""

import numpy as np


def test_samples_move_to_the_present_backend(repository):
    np.save(repository.folder / "rows.npy", np.arange(40, dtype="u1").reshape(10, 4))
    repository("import", "a", "rows.npy", "--commit", "ten rows")
    assert repository.json("repack") == {
        "columns": 1,
        "samples": 10,
        "rewritten": 10,
        "rewritten_bytes": 40,
        "unreadable": 0,
    }
    shown = repository.json("show", "--locations")
    assert {place["format"] for place in shown["locations"]} == {"10"}
    assert {tuple(place["shape"]) for place in shown["locations"]} == {(4,)}
    assert ", shape (4,)" in repository("show", "--locations")
    told = "Wrote 0 samples again (0 B), of 10 in 1 column.\n"
    assert repository("repack", "a", "--revision", "main") == told
    assert "no column 'b'" in repository.fails("repack", "b")
