"""Language servers behind an MCP server. Standard library alone: it runs inside sandboxes."""
