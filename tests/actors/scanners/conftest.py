from tests.actors.runners.conftest import level, provider, sandbox

__all__ = ["level", "provider", "sandbox"]
