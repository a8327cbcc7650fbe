"""Entry points of the long-lived processes. Each module imports what only its process needs."""
