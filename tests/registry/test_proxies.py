"""Which proxy leads to a host, by the environment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import UsageError
from lading.registry.hosts.proxies import find_proxy, is_excluded, masked


@pytest.mark.parametrize(
    "environ, scheme, url",
    [
        ({}, "https", None),
        ({"HTTPS_PROXY": "http://p:3128"}, "https", "http://p:3128"),
        ({"HTTPS_PROXY": "http://p:3128"}, "http", None),
        ({"http_proxy": "p:3128/"}, "http", "http://p:3128"),
        ({"HTTPS_PROXY": "http://p", "https_proxy": "http://q"}, "https", "http://p"),
        ({"HTTPS_PROXY": "", "https_proxy": "http://q"}, "https", "http://q"),
        ({"ALL_PROXY": "socks5://u:x@p:1"}, "https", "socks5://u:x@p:1"),
        ({"all_proxy": "http://p", "HTTP_PROXY": "http://q"}, "http", "http://q"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "registry.example"}, "https", None),
        ({"HTTPS_PROXY": "http://p", "no_proxy": "*"}, "https", None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "registry.example:5000"}, "https", "http://p"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "registry.example:443"}, "https", None),
    ],
)
def test_the_environment_names_it(environ: dict[str, str], scheme: str, url: str | None) -> None:
    found = find_proxy(scheme, "registry.example", environ)
    assert (found.url if found else None) == url


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:5000", "[::1]:5000", "a.localhost"])
def test_none_leads_to_this_machine(host: str) -> None:
    assert find_proxy("https", host, {"HTTPS_PROXY": "http://p"}) is None


@pytest.mark.parametrize(
    "host, port, no_proxy, excluded",
    [
        ("a.example", 443, "", False),
        ("a.example", 443, "example", True),
        ("example", 443, ".example", False),
        ("a.example", 443, " .Example , x", True),
        ("a.example", 443, "*.example", True),
        ("ba.example", 443, "a.example", False),
        ("10.1.2.3", 443, "10.0.0.0/8", True),
        ("11.1.2.3", 443, "10.0.0.0/8", False),
        ("a.example", 443, "10.0.0.0/8", False),
        ("[fd00::1]", 443, "fd00::/8", True),
        ("[fd00::1]", 443, "fd00::1", True),
        ("[fd00::1]", 443, "[fd00::1]:443", True),
        ("[fd00::1]", 5000, "[fd00::1]:443", False),
        ("10.1.2.3", 5000, "10.1.2.3:5000", True),
        ("10.1.2.3", 5000, "10.1.2", False),
        ("10.1.2.3", 5000, "300.0.0.0/99,10.1.2.3", True),
    ],
)
def test_what_no_proxy_leaves_out(host: str, port: int, no_proxy: str, excluded: bool) -> None:
    assert is_excluded(host, port, no_proxy) is excluded


@pytest.mark.parametrize("url", ["ftp://hunter2", "http://hunter2 b", "http://", "http://u:hunter2@", "http://[::1"])
def test_what_is_no_proxy_is_an_error_that_does_not_repeat_it(url: str) -> None:
    with pytest.raises(UsageError, match="HTTPS_PROXY does not name a proxy") as caught:
        find_proxy("https", "a.example", {"HTTPS_PROXY": url})
    assert "hunter2" not in str(caught.value)


def test_a_password_is_masked() -> None:
    assert masked("http://user:hunter2@p:3128") == "http://***@p:3128"
    assert masked("http://p:3128") == "http://p:3128"
    assert "hunter2" not in repr(find_proxy("https", "a.example", {"HTTPS_PROXY": "http://u:hunter2@p"}))


@given(st.text(alphabet="abc.*:/[]0123456789, -", max_size=60), st.integers(1, 65535))
def test_whatever_is_in_no_proxy_is_read(no_proxy: str, port: int) -> None:
    is_excluded("a.example", port, no_proxy)
    is_excluded("10.0.0.1", port, no_proxy)
