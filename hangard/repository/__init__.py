"""The domain: sessions, batching, history and recovery of one repository; knows no HTTP.

Reading order: repository.py (the whole), session.py and staging.py (what a writer has changed),
batching.py and storage.py (where sample bytes go), committing.py and rebasing.py (how staged
changes become a commit), recovery.py (what happens at start).
"""
