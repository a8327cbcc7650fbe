"""Tools of strangers' servers, by the Model Context Protocol. The only client of `mcp`."""
