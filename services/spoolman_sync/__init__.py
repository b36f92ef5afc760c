"""The active spool, the filament ledger, and the link to Spoolman."""
