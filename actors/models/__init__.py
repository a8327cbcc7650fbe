"""Talking to models: the gateway socket, its plugs and the wrappers around it."""
