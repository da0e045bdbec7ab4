"""Deep networks, one file a kind."""
