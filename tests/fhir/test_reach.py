"""Nothing outside of what is configured is called, whatever a name resolves to."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from flask import Flask, Response, redirect, request
from werkzeug.serving import make_server

from careplan.errors import UpstreamError
from careplan.fhir.reach import Reach, address_of, ask_json, guarded_session, is_public, reach_of
from careplan.fhir.server import FhirServer
from careplan.serving import address_of as url_of
from careplan.serving import listen, serving


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("64:ff9b::808:808", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("172.16.3.4", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
    ],
)
def test_only_addresses_of_the_internet_are_public(text, public):
    """Private, shared, local, multicast and unspecified ones are not, in IPv6 clothes neither."""
    address = address_of(text)
    assert address is not None
    assert is_public(address) is public


def test_a_name_at_a_private_address_is_refused_unless_listed():
    """By its name or by its network; another name or network does not help."""

    def resolve(host: str, port: int) -> list[str]:
        return ["10.2.3.4"]

    for reach in (Reach(), Reach(hosts=frozenset({"other"})), reach_of(["10.3.0.0/16"])):
        with pytest.raises(UpstreamError, match=r"ehr\.example is at a private .*CAREPLAN_PRIVATE_HOSTS"):
            Reach(reach.hosts, reach.networks, resolve).addresses("ehr.example", 443)
    for reach in (reach_of(["ehr.example"]), reach_of(["10.2.0.0/16"])):
        assert Reach(reach.hosts, reach.networks, resolve).addresses("EHR.example.", 443) == ["10.2.3.4"]


def test_one_private_address_among_several_is_enough_to_refuse():
    """Else the one that answers first would decide."""
    mixed = Reach(resolve=lambda host, port: ["8.8.8.8", "127.0.0.1"])
    with pytest.raises(UpstreamError, match="private address"):
        mixed.addresses("ehr.example", 443)


@pytest.mark.parametrize(
    ("url", "host", "allowed"),
    [
        ("http://127.0.0.1:8080/fhir", "127.0.0.1", True),
        ("http://localhost:8080/fhir", "localhost", True),
        ("http://[::1]:8080/fhir", "::1", True),
        ("http://10.0.0.7/fhir", "10.0.0.7", True),
        ("http://10.0.0.7/fhir", "10.0.0.8", False),
        ("https://ehr.example/fhir", "127.0.0.1", False),
    ],
)
def test_an_address_in_figures_says_where_it_is(url, host, allowed):
    """The base address may be private when it is written in figures; nothing else becomes so by that."""
    reach = Reach().including(url)
    if allowed:
        assert reach.addresses(host, 80)
    else:
        with pytest.raises(UpstreamError, match="private address"):
            reach.addresses(host, 80)


def test_a_name_does_not_make_itself_private():
    """A base by name is held to public addresses."""
    reach = Reach(resolve=lambda host, port: ["192.168.1.1"]).including("https://ehr.example/fhir")
    with pytest.raises(UpstreamError, match="private address"):
        reach.addresses("ehr.example", 443)


@pytest.mark.parametrize("wrong", ["http://ehr.example", "10.0.0.0/99", "a b"])
def test_what_is_no_host_and_no_network_is_said(wrong):
    """Rather than ignored."""
    with pytest.raises(ValueError):
        reach_of([wrong])


@pytest.fixture
def inside() -> Iterator[tuple[int, list[str]]]:
    """A server of the inner network (here: loopback), with the hosts it was called by."""
    seen: list[str] = []
    app = Flask("inside")

    @app.get("/<path:path>")
    def any_path(path: str) -> Response:
        seen.append(request.headers["Host"])
        return Response(b'{"resourceType": "CapabilityStatement"}', content_type="application/fhir+json")

    taken = listen("127.0.0.1", 0)
    with serving(app, taken):
        yield int(url_of(taken).rpartition(":")[2]), seen


def test_a_name_that_moves_inside_after_the_check_is_not_followed(inside):
    """The address that was checked is the one that is called: one resolution for each connection, and no second."""
    port, seen = inside
    answers = [["8.8.8.8"], ["127.0.0.1"]]
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), 2) - 1]

    reach = Reach(resolve=rebinding)
    assert reach.addresses("rebind.example", port) == ["8.8.8.8"]
    with (
        FhirServer(f"http://rebind.example:{port}/fhir", reach=reach, timeout=2) as server,
        pytest.raises(UpstreamError, match=r"rebind\.example is at a private address"),
    ):
        server.capabilities()
    assert asked == ["rebind.example"] * 2
    assert seen == [], "the inner server was reached"


def test_a_connection_goes_to_the_checked_address_under_its_own_name(inside):
    """The system's own resolver does not know the name at all; the Host header still has it."""
    port, seen = inside
    reach = Reach(networks=(ipaddress.ip_network("127.0.0.0/8"),), resolve=lambda host, port: ["127.0.0.1"])
    with FhirServer(f"http://pinned.invalid:{port}/fhir", reach=reach, timeout=2) as server:
        assert server.capabilities()["resourceType"] == "CapabilityStatement"
    assert seen == [f"pinned.invalid:{port}"]


def test_the_next_address_is_tried_when_one_does_not_answer(inside):
    """As with any name that has several."""
    port, seen = inside
    reach = Reach(
        networks=(ipaddress.ip_network("127.0.0.0/8"),), resolve=lambda host, port: ["127.9.9.9", "127.0.0.1"]
    )
    with FhirServer(f"http://pinned.invalid:{port}/fhir", reach=reach, timeout=2) as server:
        server.capabilities()
    assert len(seen) == 1


def test_a_name_that_nobody_knows_is_an_error_that_says_so():
    """Not a crash."""

    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(f"{host} is not known")

    with (
        FhirServer("https://unknown.example/fhir", reach=Reach(resolve=unknown), timeout=2) as server,
        pytest.raises(UpstreamError, match="does not answer"),
    ):
        server.capabilities()


def test_tls_is_verified():
    """By every session that is made here."""
    assert guarded_session(Reach()).verify is True


def test_no_password_is_taken_from_the_users_netrc(inside, tmp_path, monkeypatch):
    """requests would send it to any server it knows by name."""
    port, _ = inside
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password made-up\n")
    monkeypatch.setenv("NETRC", str(netrc))
    session = guarded_session(Reach().including("http://127.0.0.1/"))
    answer = session.get(f"http://127.0.0.1:{port}/x", timeout=2)
    assert "Authorization" not in answer.request.headers


@contextmanager
def tls(tmp_path: Path, name: str) -> Iterator[tuple[int, Path]]:
    """A server on loopback with a certificate of its own making for *name*: its port, and the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path, key_path = tmp_path / "certificate.pem", tmp_path / "key.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path, key_path)
    app = Flask("secure")
    app.add_url_rule(
        "/fhir/metadata",
        view_func=lambda: Response('{"resourceType": "CapabilityStatement"}', content_type="application/fhir+json"),
    )
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port, path
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_certificate_is_verified_for_the_name_and_not_for_the_address(tmp_path, monkeypatch):
    """Nobody vouches for it: refused. Somebody does: taken under its name, refused under another, address or not."""
    with tls(tmp_path, "ehr.example") as (port, certificate):
        loopback = (ipaddress.ip_network("127.0.0.0/8"),)
        reach = Reach(networks=loopback, resolve=lambda host, port: ["127.0.0.1"])

        def ask(name: str) -> str:
            with FhirServer(f"https://{name}:{port}/fhir", reach=reach, timeout=5) as server:
                return str(server.capabilities()["resourceType"])

        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        with pytest.raises(UpstreamError, match=r"certificate of ehr\.example:.* is not trusted"):
            ask("ehr.example")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert ask("ehr.example") == "CapabilityStatement"
        for other in ("other.example", "127.0.0.1"):
            with pytest.raises(UpstreamError, match="is not trusted"):
                ask(other)


def drip() -> Iterator[bytes]:
    for _ in range(100):
        time.sleep(0.05)
        yield b" "


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (lambda: (b" " * 100_000 for _ in range(100)), "sent too much, or took too long"),
        (drip, "sent too much, or took too long"),
    ],
)
def test_documents_of_a_sign_in_are_bounded_in_size_and_time(body, says):
    """An issuer that is taken over, or only broken, does not hold up a worker."""
    app = Flask("endless")
    app.add_url_rule("/document", view_func=lambda: Response(body()))
    taken = listen("127.0.0.1", 0)
    with serving(app, taken):
        url = url_of(taken)
        with pytest.raises(UpstreamError, match=says):
            ask_json(guarded_session(Reach().including(url)), f"{url}/document", timeout=0.5)


def test_documents_of_a_sign_in_come_from_where_they_are_asked_for(inside):
    """A redirect is an answer like any other, and no document."""
    port, seen = inside
    app = Flask("redirecting")
    app.add_url_rule("/document", view_func=lambda: redirect(f"http://127.0.0.1:{port}/elsewhere"))
    taken = listen("127.0.0.1", 0)
    with serving(app, taken):
        url = url_of(taken)
        assert ask_json(guarded_session(Reach().including(url)), f"{url}/document") == (302, {})
    assert seen == []


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"a": 1, "a": 2}', b"\xff"])
def test_what_is_no_json_object_is_none(body):
    """The status is still told."""
    app = Flask("odd")
    app.add_url_rule("/document", view_func=lambda: Response(body))
    taken = listen("127.0.0.1", 0)
    with serving(app, taken):
        url = url_of(taken)
        assert ask_json(guarded_session(Reach().including(url)), f"{url}/document") == (200, {})
