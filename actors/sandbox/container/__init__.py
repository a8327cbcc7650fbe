"""The level `container`: one container of podman or docker per sandbox."""
