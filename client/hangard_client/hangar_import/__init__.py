"""Bringing a repository of Hangar 0.5 in, with its whole history.

``records``    what Hangar's records say, as values; no I/O
``lmdb_files`` its LMDB files, opened read-only after a look at their headers
``source``     a repository: branches, commits, the samples of each commit
``samples``    samples out of its HDF5, .npy and LMDB files
``planning``   what one commit changes against its first parent
``importing``  carries it over, commit by commit; branches move last

Written from the description of the format and from repositories that Hangar made. The source is
never written to.
"""
