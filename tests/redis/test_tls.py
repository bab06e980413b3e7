"""TLS: an authority of one's own, certificates of clients, and nobody taken for the server who is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from config.loading import SettingsError, load
from room_reports.connection import web_client
from room_reports.lanes import make_ledger
from room_reports.ledger import LedgerUnavailable
from tests.redis.conftest import Serve
from tests.support.certificates import Certificates, make_certificates
from tests.support.processes import settings_for
from tests.support.sentinels import Watched, secure
from tests.support.servers import RedisServer, binary_of


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[RedisServer]:
    """A server that asks its clients for a certificate."""
    if binary_of("redis-server") is None:
        pytest.skip("redis-server is not installed, and the embedded Valkey has no TLS")
    with secure("redis-server", certificates.options(clients=True), {}) as started:
        yield started


def all_of(certificates: Certificates) -> dict[str, str]:
    return {
        "REDIS_TLS_CA_FILE": certificates.authority,
        "REDIS_TLS_CERT_FILE": certificates.client,
        "REDIS_TLS_KEY_FILE": certificates.client_key,
    }


def ask(server: RedisServer, variables: Mapping[str, str], *, host: str = "127.0.0.1") -> str:
    """What comes of asking: `ok`, or the reason why not."""
    settings = load(settings_for(f"rediss://{host}:{server.port}/0", **variables))
    with web_client(settings) as client:
        try:
            make_ledger(settings, client).ping_writable()
        except LedgerUnavailable as error:
            return error.reason
    return "ok"


def test_own_authority_and_client_certificate(server: RedisServer, certificates: Certificates) -> None:
    assert ask(server, all_of(certificates)) == "ok"


def test_a_server_that_nobody_vouches_for_is_refused(server: RedisServer, certificates: Certificates) -> None:
    known = all_of(certificates)
    assert ask(server, {**known, "REDIS_TLS_CA_FILE": ""}) == "certificate"
    assert ask(server, {**known, "REDIS_TLS_CA_FILE": "", "REDIS_TLS_VERIFY": "0"}) == "ok"


def test_a_certificate_for_another_host_is_refused(server: RedisServer, certificates: Certificates) -> None:
    assert ask(server, all_of(certificates), host="127.0.0.2") in ("certificate", "unreachable")
    assert ask(server, {**all_of(certificates), "REDIS_TLS_VERIFY": "0"}, host="localhost") == "ok"


def test_without_the_client_certificate_the_server_refuses(server: RedisServer, certificates: Certificates) -> None:
    assert ask(server, {"REDIS_TLS_CA_FILE": certificates.authority}) == "unreachable"


def test_key_of_another_certificate_is_a_problem_of_the_settings(certificates: Certificates) -> None:
    with pytest.raises(SettingsError, match="REDIS_TLS_CERT_FILE, REDIS_TLS_KEY_FILE"):
        load(settings_for("redis://h", **{**all_of(certificates), "REDIS_TLS_KEY_FILE": certificates.server_key}))


@pytest.mark.deploy
def test_service_runs_on_it(serve: Serve, server: RedisServer, certificates: Certificates) -> None:
    serve({"REDIS_URL": f"rediss://127.0.0.1:{server.port}/0", **all_of(certificates)})


@pytest.mark.deploy
def test_service_runs_on_sentinels_that_speak_tls(serve: Serve, certificates: Certificates) -> None:
    with Watched(engine="redis-server", tls=certificates.options(clients=True)) as watched:
        serve({**watched.settings, **all_of(certificates)})
