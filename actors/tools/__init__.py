"""What agents can do: tools, toolsets and the wrappers around them."""
