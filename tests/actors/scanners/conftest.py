from tests.actors.runners.conftest import level, provider, sandbox, toolchains

__all__ = ["level", "provider", "sandbox", "toolchains"]
