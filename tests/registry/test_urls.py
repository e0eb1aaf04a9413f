"""Addresses that registries hand out, and which of them lading follows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import Unsupported
from lading.registry import urls


@pytest.mark.parametrize(
    "value, target",
    [
        ('</v2/a/tags/list?n=2&last=b>; rel="next"', "/v2/a/tags/list?n=2&last=b"),
        ("</v2/_catalog?last=b&n=2>;rel=next", "/v2/_catalog?last=b&n=2"),
        ('<https://quay.io/v2/a/tags/list?n=100>; rel="next"', "https://quay.io/v2/a/tags/list?n=100"),
        ('</first>; rel="first", </next>; rel="next"', "/next"),
        ('</a>; title="a, \\"b\\" <c>; rel=next"; rel="prev", </b>; rel="last next"', "/b"),
        ('</a>; REL="Next"; title=x', "/a"),
        ("</a> ; rel = next", "/a"),
        ('</a>; rel="prev"; rel="next"', None),
        ("</a>; rel=previous", None),
        ("</a>", "/a"),
        ("</a; rel=next", "/a"),
        ('/v2/a/tags/list?last=b; rel="next"', "/v2/a/tags/list?last=b"),
        ("</a>; rel='next'", "/a"),
        ("</a rel=prev", None),
        ("", None),
    ],
)
def test_the_next_page_is_found_in_link_headers(value: str, target: str | None) -> None:
    assert urls.next_link([value]) == target


def test_the_next_page_is_found_among_several_headers() -> None:
    assert urls.next_link(['</a>; rel="first"', '</b>; rel="next"']) == "/b"


@given(st.text() | st.text(alphabet='<>;,="\\ relnxt/'))
def test_no_link_header_is_too_strange(value: str) -> None:
    for target, relations in urls.parse_links(value):
        assert isinstance(target, str)
        assert isinstance(relations, frozenset)


@given(
    st.text(alphabet=st.characters(exclude_characters="<>", categories=["L", "N", "P"]), min_size=1),
    st.text(alphabet=st.characters(exclude_characters='"\\', categories=["L", "N", "P", "Zs"])),
)
def test_a_link_that_is_written_is_read(target: str, title: str) -> None:
    value = f'</first>; title="{title}"; rel="first", <{target}>; title="{title}"; rel="next"'
    assert urls.next_link([value]) == target


@pytest.mark.parametrize(
    "url, expected",
    [
        ("https://ghcr.io", ("https", "ghcr.io", 443)),
        ("https://GHCR.io:443/v2/?a=b", ("https", "ghcr.io", 443)),
        ("HTTP://localhost.:5000/x", ("http", "localhost", 5000)),
        ("http://[::1]:5000/x", ("http", "[::1]", 5000)),
        ("https://a.example?x=y#z", ("https", "a.example", 443)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, expected: tuple[str, str, int]) -> None:
    assert tuple(urls.origin(url)) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/v2/",
        "ftp://a.example/",
        "https://",
        "https://user:password@a.example/",
        "https://a.example\\@b.example/",
        "https://a.example\\.b.example/",
        "https://a.example /",
        "https://a.example/\tx",
        "https://a.example/\n",
        "https://a.example:0/",
        "https://a.example:99999/",
        "https://a.example:https/",
        "https://%61.example/",
        "https://ä.example/",
        "https://\u212a.example/",  # the sign for kelvin, which is a k in lower case
        "https://a.example/\u017f",  # a long s, which is one in upper case
        "https://127。0。0。1/",
        "https://./",
        "https://[fe80::1%25eth0]/",
    ],
)
def test_what_could_be_read_in_two_ways_is_no_address(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any reason will do
        urls.origin(url)


@given(st.text() | st.text(alphabet="htps:/@\\?#%.[]0x1 "))
def test_no_address_is_too_strange(text: str) -> None:
    for url in (text, f"https://{text}"):
        try:
            found = urls.origin(url)
        except ValueError:
            continue
        assert not set(found.host) & set("@\\/?#% ")


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("https://a.example/x", "https://A.example:443/y?z", True),
        ("http://a.example", "http://a.example:80/", True),
        ("https://a.example", "http://a.example", False),
        ("https://a.example", "https://a.example:444", False),
        ("https://a.example", "https://b.example", False),
        ("https://a.example", "https://a.example.b.example", False),
        ("https://a.example", "nonsense", False),
    ],
)
def test_the_same_origin_is_the_same_server(one: str, other: str, same: bool) -> None:
    assert urls.same_origin(one, other) is same


@pytest.mark.parametrize(
    "location, resolved",
    [
        ("/v2/a/blobs/uploads/1?_state=a%2Fb%3D", "https://a.example/v2/a/blobs/uploads/1?_state=a%2Fb%3D"),
        ("2", "https://a.example/v2/a/blobs/uploads/2"),
        ("https://a.example:443/x", "https://a.example:443/x"),
        ("//a.example/x", "https://a.example/x"),
        ("?n=2#end", "https://a.example/v2/a/blobs/uploads/?n=2"),
    ],
)
def test_a_location_on_the_same_server_is_resolved(location: str, resolved: str) -> None:
    assert urls.continuation("https://a.example/v2/a/blobs/uploads/", location) == resolved


@pytest.mark.parametrize("location", [None, ""])
def test_an_answer_may_name_no_location(location: str | None) -> None:
    assert urls.continuation("https://a.example/v2/", location) is None


@pytest.mark.parametrize(
    "location",
    [
        "https://b.example/x",
        "//b.example/x",
        "http://a.example/x",
        "https://a.example:8443/x",
        "https://a.example@b.example/x",
        "https://a.example\\@b.example/x",
        "\\\\b.example/x",
        "/\\b.example/x y",
        "file:///etc/passwd",
        "/ä",
    ],
)
def test_a_location_on_another_server_is_refused(location: str) -> None:
    with pytest.raises(Unsupported) as caught:
        urls.continuation("https://a.example/v2/", location)
    assert caught.value.cause


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "127.0.0.1",
        "127.9.9.9",
        "[::1]",
        "127.1",
        "0x7f.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
    ],
)
def test_this_machine_has_many_names(host: str) -> None:
    assert urls.is_loopback(host)
    assert urls.is_private(host)


@pytest.mark.parametrize(
    "host", ["10.0.0.5", "192.168.1.1", "172.16.0.1", "169.254.169.254", "[fe80::1]", "[fd00::1]", "0.0.0.0", "10.5"]
)
def test_private_addresses_are_known_as_such(host: str) -> None:
    assert urls.is_private(host)
    assert not urls.is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.0.1",
        "[fe80::1]",
        "[febf::a]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[::a9fe:a9fe]",
        "[64:ff9b::169.254.169.254]",
        "[2002:a9fe:a9fe::]",
        "0xa9.254.169.254",
        "2852039166",
        "169.16689662",
    ],
)
def test_link_local_addresses_are_known_however_they_are_written(host: str) -> None:
    assert urls.is_link_local(host)
    assert urls.is_private(host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "10.0.0.5", "[fd00::1]", "8.8.8.8", "a.example"])
def test_others_are_not(host: str) -> None:
    assert not urls.is_link_local(host)


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_what_localhost_names_is_one_place(host: str) -> None:
    assert urls.is_own_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.2", "127.9.9.9", "[::ffff:127.0.0.2]", "10.0.0.5", "a.example"])
def test_other_addresses_of_loopback_are_others(host: str) -> None:
    assert not urls.is_own_loopback(host)


@pytest.mark.parametrize("host", ["ghcr.io", "8.8.8.8", "[2606:4700::1]", "localhost.example", "1.example", "127"])
def test_public_hosts_are_public(host: str) -> None:
    assert not urls.is_loopback(host)
    if host != "127":  # 0.0.0.127
        assert not urls.is_private(host)


@pytest.mark.parametrize(
    "registry, parts",
    [
        ("ghcr.io", ("ghcr.io", None)),
        ("localhost:5000", ("localhost", 5000)),
        ("[::1]:5000", ("[::1]", 5000)),
        ("[::1]", ("[::1]", None)),
    ],
)
def test_a_registry_is_split_into_host_and_port(registry: str, parts: tuple[str, int | None]) -> None:
    assert urls.split_port(registry) == parts
