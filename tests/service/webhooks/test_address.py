"""A webhook goes to public addresses only, and to the private networks that the service was told of."""

from ipaddress import ip_address, ip_network

import pytest

from service.webhooks.address import AddressRefused, AddressRules

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "100::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused, match="not a public address"):
        AddressRules().check_address(ip_address(address))
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(AddressRefused, match="not a public address"):
        AddressRules().check_url(f"https://{literal}:8443/hook")


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_taken(address: str) -> None:
    AddressRules().check_address(ip_address(address))


def test_a_private_network_that_is_named_is_taken_and_no_other() -> None:
    rules = AddressRules(private_networks=(ip_network("10.1.0.0/16"), ip_network("fd00::/8")))
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1", "8.8.8.8"):
        rules.check_address(ip_address(address))
    for address in ("10.2.0.1", "::ffff:10.2.0.1", "127.0.0.1"):
        with pytest.raises(AddressRefused):
            rules.check_address(ip_address(address))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/", "https"),
        ("ftp://example.com/", "https"),
        ("/hook", "https"),
        ("", "https"),
        ("https://", "no host"),
        ("https:///hook", "no host"),
        ("https://me:secret@example.com/", "user name"),
        ("https://me@example.com/", "user name"),
        ("https://example.com:99999/", "port"),
        ("https://example.com/\nHost: other", "no URL"),
        ("https://example.com/" + "a" * 2048, "at most 2048"),
        ("https://127.1/", "not a public"),
        ("https://2130706433/", "not a public"),
        ("https://0x7f000001/", "not a public"),
        ("https://[fe80::1%25eth0]/", "not a public|no URL"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(url: str, reason: str) -> None:
    with pytest.raises(AddressRefused, match=reason):
        AddressRules().check_url(url)


@pytest.mark.parametrize("url", ["https://example.com", "https://bücher.example:8443/a?b=c", "https://8.8.8.8/x"])
def test_an_address_of_https_is_taken_with_any_port(url: str) -> None:
    AddressRules().check_url(url)


def test_plain_http_is_taken_where_that_is_allowed() -> None:
    AddressRules(allow_http=True).check_url("http://example.com/")
