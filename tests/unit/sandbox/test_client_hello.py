from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkhead_sandbox.egress.client_hello import MAX_HELLO_BYTES, ClientHello, NotTls, client_hello


def real_hello(server_name: str | None = "api.example.com") -> bytes:
    """What OpenSSL sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=server_name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


def hello(*extensions: tuple[int, bytes]) -> bytes:
    """A ClientHello with just these extensions."""
    inner = b"".join(kind.to_bytes(2, "big") + _vector(2, body) for kind, body in extensions)
    body = b"\x03\x03" + bytes(32) + b"\0" + _vector(2, b"\x13\x01") + _vector(1, b"\0") + _vector(2, inner)
    return record(b"\x01" + _vector(3, body))


def record(message: bytes) -> bytes:
    return b"\x16\x03\x01" + _vector(2, message)


def sni(*names: bytes, kind: int = 0) -> tuple[int, bytes]:
    return 0, _vector(2, b"".join(bytes([kind]) + _vector(2, name) for name in names))


def _vector(width: int, body: bytes) -> bytes:
    return len(body).to_bytes(width, "big") + body


HELLO = real_hello()


def test_name_in_a_real_hello_is_found() -> None:
    """No host could be reached at all."""
    assert client_hello(HELLO) == ClientHello("api.example.com", encrypted=False)


def test_hello_without_a_name_says_so() -> None:
    """A missing name must not read as any name."""
    assert client_hello(real_hello(None)) == ClientHello(None, encrypted=False)


def test_each_beginning_of_a_hello_asks_for_more() -> None:
    """TCP cuts where it likes."""
    assert {client_hello(HELLO[:size]) for size in range(len(HELLO))} == {None}


def test_hello_in_several_records_is_put_together() -> None:
    """A name split over two records is the oldest way past a filter."""
    message = HELLO[5:]
    split = b"".join(record(message[i : i + 7]) for i in range(0, len(message), 7))
    assert client_hello(split) == client_hello(HELLO)


def test_bytes_after_the_hello_do_not_matter() -> None:
    """Early data follows at once."""
    assert client_hello(HELLO + b"\x17\x03\x03more") == client_hello(HELLO)


def test_encrypted_hello_is_noticed() -> None:
    """The name that counts would be one that nobody sees."""
    found = client_hello(hello(sni(b"a.example"), (0xFE0D, b"x")))
    assert found == ClientHello("a.example", encrypted=True)


BAD: dict[str, bytes] = {
    "http": b"GET / HTTP/1.1\r\n",
    "ssh": b"SSH-2.0-x\r\n",
    "sslv2": b"\x80\x2e\x01\x00\x02",
    "alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "server hello": record(b"\x02" + _vector(3, b"x" * 40)),
    "empty record": b"\x16\x03\x01\x00\x00" + HELLO,
    "record too large": b"\x16\x03\x01\xff\xff",
    "two names": hello(sni(b"a.example", b"b.example")),
    "name twice": hello(sni(b"a.example"), sni(b"b.example")),
    "no name in the list": hello((0, _vector(2, b""))),
    "another kind of name": hello(sni(b"a.example", kind=1)),
    "name beyond ascii": hello(sni(b"\xc3\xa4.example")),
    "list longer than it says": hello((0, _vector(2, b"\0" + _vector(2, b"a.example")) + b"x")),
    "name cut short": hello((0, b"\x00\x0f\x00\x00\x0ca.ex")),
    "cut short inside": record(b"\x01" + _vector(3, b"\x03\x03" + bytes(10))),
    "message too long": record(b"\x01\x00\xff\xff"),
    "endless": record(b"\x01\x00\x3f\xff") + b"\x16\x03\x01\x40\x00" + b"x" * MAX_HELLO_BYTES,
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_what_is_no_proper_hello_is_refused(data: bytes) -> None:
    """Our parser would see one name and the server another, or wait for ever."""
    with pytest.raises(NotTls):
        client_hello(data)


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_changed_hello_is_read_waited_for_or_refused(at: int, byte: int) -> None:
    """Any other error would be a crash that a tenant can cause."""
    changed = HELLO[:at] + bytes([byte]) + HELLO[at + 1 :]
    try:
        found = client_hello(changed)
    except NotTls:
        return
    assert found is None or isinstance(found, ClientHello)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_waited_for_or_refused(data: bytes) -> None:
    """As above."""
    try:
        client_hello(b"\x16\x03\x01" + data)
    except NotTls:
        return
