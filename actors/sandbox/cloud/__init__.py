"""Sandboxes at a vendor: the levels `e2b` and `daytona`, one protocol over both."""
