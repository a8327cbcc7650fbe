"""Who can reach an address, and who can listen on the way there."""

from cluster.machines.reach import is_loopback, is_overheard


def test_loopback_is_told_from_what_others_reach() -> None:
    hosts = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "example.org")
    assert [is_loopback(host) for host in hosts] == [True] * 3 + [False] * 3


def test_only_what_leaves_this_machine_in_clear_text_can_be_overheard() -> None:
    urls = ("http://example.org", "http://10.0.0.7:8600", "http://[fd00::1]:8600/")
    assert [is_overheard(url) for url in urls] == [True] * 3
    urls = ("https://example.org", "http://127.0.0.1:8600", "http://[::1]", "http://[", "nonsense")
    assert [is_overheard(url) for url in urls] == [False] * 5
