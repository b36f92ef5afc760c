"""Everything an OctoPrint client sees: the answers under /api, made of what the bridge says of the printer."""
