"""Which addresses may be connected to, and which not."""

from ipaddress import ip_address

import pytest

from boltq import Settings
from boltq.settings import BadSetting
from boltq.tasks.addresses import Reach, not_public

REFUSED = """
0.0.0.0 0.0.0.1 0.255.255.255
10.0.0.1 10.255.255.255
100.64.0.1 100.100.100.200 100.127.255.255
127.0.0.1 127.0.0.53 127.255.255.255
168.63.129.16
169.254.0.1 169.254.169.254 169.254.170.2
172.16.0.1 172.31.255.255
192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255
198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9
224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
:: ::1 ::2
::ffff:127.0.0.1 ::ffff:10.1.2.3 ::ffff:169.254.169.254 ::ffff:7f00:1
::ffff:0:127.0.0.1
::127.0.0.1 ::10.0.0.1
64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::10.0.0.1 64:ff9b::192.168.1.1
64:ff9b:1::1 64:ff9b:1::8.8.8.8 64:ff9b:1:7f00:0:100::
2002:7f00:1:: 2002:a00:1::1 2002:c0a8:101:: 2002:a9fe:a9fe::1
2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:0:7f00:1::
2001:2::1 2001:10::1 2001:20::1 2001:db8::1 3fff::1
100::1 5f00::1 4000::1 e000::1
fc00::1 fd00:ec2::254 fdff:ffff::1 fe80::1 fe80::1%lo fec0::1 ff02::1 ff0e::1
""".split()  # noqa: SIM905 - a table reads better

ALLOWED = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 93.184.216.34
100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1 168.63.129.15
169.253.255.255 169.255.0.1 172.15.255.255 172.32.0.1 192.0.1.1 192.167.255.255 192.169.0.1
198.17.255.255 198.20.0.1 223.255.255.255
::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1
2001:200::1 2001:4860:4860::8888 2606:4700:4700::1111 2a00:1450:4001::1 3ffe::1
""".split()  # noqa: SIM905 - as above


def test_the_table_is_as_long_as_it_should_be():
    assert len(REFUSED) >= 60
    assert len(ALLOWED) >= 20


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_public_is_refused_and_said_why(address):
    assert not_public(ip_address(address)), address
    assert Reach().refusal("example.com", address)


@pytest.mark.parametrize("address", ALLOWED)
def test_what_is_public_may_be_reached(address):
    assert not_public(ip_address(address)) is None
    assert Reach().refusal("example.com", address) is None


def test_a_person_may_open_networks_and_hosts():
    reach = Reach.of(Settings(fetch_allow="127.0.0.1, 10.1.0.0/16,fd00::/8, Intra.Example ", fetch_ports="80, 8080"))
    assert reach.ports == {80, 8080}
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::10.1.2.3", "10.1.255.255", "fd00::1"):
        assert reach.refusal("any.example", address) is None, address
    for address in ("127.0.0.2", "10.2.0.1", "fc00::1", "::1"):
        assert reach.refusal("any.example", address), address
    assert reach.refusal("INTRA.example", "192.168.0.7") is None
    assert reach.refusal("other.intra.example", "192.168.0.7")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOLTQ_FETCH_PORTS", "80,http"),
        ("BOLTQ_FETCH_PORTS", "0"),
        ("BOLTQ_FETCH_PORTS", "65536"),
        ("BOLTQ_FETCH_ALLOW", "10.0.0.0/33"),
        ("BOLTQ_FETCH_ALLOW", "a host"),
        ("BOLTQ_FETCH_ALLOW", "*"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_at_the_start(variable, value):
    with pytest.raises(BadSetting, match=variable):
        Settings.from_env({variable: value})
