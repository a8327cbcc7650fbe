"""The doors of a sandbox: the allow-listed way out, and a port opened to a token's holder."""
