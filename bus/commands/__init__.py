"""The bus at the command line: one file per command of `python -m bus`. They hear and ask; they bind and lock nothing."""
