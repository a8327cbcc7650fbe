"""Requests as Ray jobs: packed, handed over, waiting in line, followed."""
