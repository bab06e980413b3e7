"""Certificates of an authority of our own, for servers on 127.0.0.1 and for who connects to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files: the authority's certificate, one with its key for servers, and the same for clients."""

    authority: str
    server: str
    server_key: str
    client: str
    client_key: str

    def options(self, *, clients: bool) -> dict[str, str]:
        """For a server that speaks TLS, and asks clients for a certificate or does not."""
        return {
            "tls-ca-cert-file": self.authority,
            "tls-cert-file": self.server,
            "tls-key-file": self.server_key,
            "tls-auth-clients": "yes" if clients else "no",
            "tls-replication": "yes",
        }


def make_certificates(folder: Path) -> Certificates:
    """Makes an authority and what it signed."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name in ("server", "client"):
        certificate = authority.issue_cert("127.0.0.1", "localhost")
        certificate.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        for number, pem in enumerate(certificate.cert_chain_pems):
            pem.write_to_path(str(folder / f"{name}.pem"), append=bool(number))
    return Certificates(
        *(str(folder / name) for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key"))
    )
