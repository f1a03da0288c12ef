"""The daemon: aiohttp on uvloop over a Unix socket, in front of one repository.

A handler never touches LMDB, HDF5 or Blosc2 itself: it reads and checks a request, hands work to
threads and awaits it. Change requests pass through one ordered pipeline a session (``pipeline``);
what they occupy is counted (``memory``); every queue is bounded, and full means Busy.
"""
