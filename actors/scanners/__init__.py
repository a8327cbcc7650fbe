"""Security scanners: what a change adds, looked at by tools that no agent can talk to."""
