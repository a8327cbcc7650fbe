"""Agents' further tools: MCP servers and language servers, from the person's file to the worker."""
