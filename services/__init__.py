"""The services. Each folder is one process, one supervisord program and one owner in the bus's tables."""
