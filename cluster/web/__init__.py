"""The review page and the hall's HTTP API: one application over the store of runs."""
