"""Prolly trees over a get and put of nodes: build, edit, search, iterate, diff, merge.

A tree maps encoded keys to the digests of samples and is named by the digest of its root; equal
contents have equal roots, in whatever order they were written. Nodes: hangard_ext.treenode.
"""
