"""Durable plugs of the journal socket, and the only door to SQLAlchemy."""
