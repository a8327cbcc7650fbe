"""Manta as a tool of other programs: an MCP server, and an agent that editors drive."""
