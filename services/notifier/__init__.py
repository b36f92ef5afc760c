"""The notifiers: job events and macros' calls become pushes, each sent once as far as that can be known."""
