"""The bus: how separate processes on one host talk, and the three tables that say what they say.

Read `services.py`, `topics.py` and `api.py` first: they are the architecture. Everything else here carries them out.
"""
