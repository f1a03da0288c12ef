"""The slow, obvious twin of hangard_ext.table: a dict."""


class Table(dict):
    def add_many(self, digests, specs, replace=True) -> int:
        before = len(self)
        for digest, spec in zip(digests, specs, strict=True):
            if replace or digest not in self:
                self[digest] = spec
        return len(self) - before

    def discard_many(self, digests, specs=None) -> int:
        before = len(self)
        for i, digest in enumerate(digests):
            if digest in self and (specs is None or self[digest] == specs[i]):
                del self[digest]
        return before - len(self)


def first_occurrences(digests) -> tuple[list[int], list[int]]:
    places: dict[bytes, int] = {}
    firsts, inverse = [], []
    for row, digest in enumerate(digests):
        if digest not in places:
            places[digest] = len(firsts)
            firsts.append(row)
        inverse.append(places[digest])
    return firsts, inverse
