"""The example for nginx, run by a real one: what Twilio signed verifies behind it, whatever a client sends besides."""

from __future__ import annotations

import http.client
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import callbacks
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN
from sandbox.summaries import room_sid
from tests.conftest import StartWeb
from tests.deploy.conftest import self_signed
from tests.support.processes import ROOT, Process, settings_for, wait_until
from tests.support.servers import free_port

EXAMPLE = ROOT / "deploy" / "nginx" / "room-reports.conf"
NAME = "reports.example.com"
LETSENCRYPT = f"/etc/letsencrypt/live/{NAME}"
URL = f"https://{NAME}/twilio/rooms"
FORGED = {"X-Forwarded-Host": "evil.example.com", "X-Forwarded-Proto": "http"}

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx here"),
]


@pytest.fixture(params=[("PUBLIC_BASE_URL", f"https://{NAME}"), ("TRUSTED_PROXIES", "1")], ids=lambda pair: pair[0])
def port(request: pytest.FixtureRequest, start_web: StartWeb, redis_url: str, tmp_path: Path) -> Iterator[int]:
    """Where nginx listens, in front of a web process with this setting."""
    web = start_web(settings_for(redis_url, **{request.param[0]: request.param[1]}))
    self_signed(tmp_path, NAME, certificate="fullchain.pem", key="privkey.pem")
    listen = free_port()
    site = EXAMPLE.read_text().replace("127.0.0.1:8000", f"127.0.0.1:{web.port}").replace(LETSENCRYPT, str(tmp_path))
    site = site.replace("listen 443", f"listen 127.0.0.1:{listen}")
    paths = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in "client_body proxy fastcgi uwsgi scgi".split())
    main = f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}"
    (tmp_path / "nginx.conf").write_text(f"{main} http {{ access_log off; {paths}\n{site}}}")
    argv = ["nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    subprocess.run([*argv, "-t"], check=True, capture_output=True)
    with Process(argv, env={}, log=tmp_path / "nginx.log"):
        wait_until(lambda: (tmp_path / "pid").read_text().strip(), what="nginx is up")
        yield listen


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    ("url", "headers", "status"),
    [
        (URL, {}, 204),
        (f"{URL}?u=https%3A%2F%2Fe.example.com", {}, 204),
        (URL, FORGED, 204),
        (URL.replace("https", "http"), {}, 403),
    ],
    ids=["plain", "escapes in the query", "forged headers", "signed for another scheme"],
)
def test_callbacks_verify_behind_it(port: int, method: str, url: str, headers: dict[str, str], status: int) -> None:
    form = callbacks.form(room_sid(9), account_sid=ACCOUNT_SID)
    request = callbacks.request(
        url, form, token=AUTH_TOKEN, method="GET" if method == "GET" else "POST", headers=headers
    )
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting, timeout=10)
    connection.request(method, request.target, request.body, dict(request.headers))
    assert connection.getresponse().status == status
    connection.close()
