"""The bus: how separate processes on one host talk, and the three tables that say what they say.

Read `services.py`, `topics.py` and `api.py` first: they are the architecture. Everything else here carries them out.
"""

VERSION = "0.1.0"
"""Of moonbus. Here because asking the installation costs 2 MB and 40 ms."""
