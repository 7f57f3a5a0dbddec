"""Certificates for tests: an authority, what it signed, and what it did not."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

import rlmesh

LONG_AGO = dt.datetime(2001, 1, 1, tzinfo=dt.timezone.utc)
YESTERDAY = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
TOMORROW = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=1)


@dataclass(frozen=True)
class Certificates:
    """A folder of PEM files: `NAME.pem` and `NAME.key` for each certificate, `ca.pem` for all.

    Attributes:
        folder: Where they are.
        authority: What signs them.
    """

    folder: Path
    authority: trustme.CA

    def path(self, name: str) -> str:
        """Where a file is."""
        return str(self.folder / name)

    def issue(self, name: str, *identities: str, by: trustme.CA | None = None, **when: Any) -> None:
        """Makes a certificate with its key, and replaces what was there under that name."""
        issued = (by or self.authority).issue_cert(*identities, **when)
        # Both are there before either is replaced.
        for suffix, text in (
            ("pem", b"".join(blob.bytes() for blob in issued.cert_chain_pems)),
            ("key", issued.private_key_pem.bytes()),
        ):
            fresh = self.folder / f"{name}.{suffix}.new"
            fresh.write_bytes(text)
            fresh.replace(self.folder / f"{name}.{suffix}")

    def server(self, name: str = "server", *, mutual: bool = False) -> rlmesh.ServerTLS:
        """What a server is given."""
        return rlmesh.ServerTLS(
            certificate=self.path(f"{name}.pem"),
            key=self.path(f"{name}.key"),
            client_ca=self.path("ca.pem") if mutual else None,
        )

    def client(
        self, name: str | None = None, *, ca: str = "ca.pem", server_name: str | None = None
    ) -> rlmesh.ClientTLS:
        """What a client is given: whom it trusts, and its own certificate."""
        return rlmesh.ClientTLS(
            ca=self.path(ca),
            certificate=None if name is None else self.path(f"{name}.pem"),
            key=None if name is None else self.path(f"{name}.key"),
            server_name=server_name,
        )


def make_certificates(folder: Path) -> Certificates:
    """An authority, a server's and a client's certificate, and another authority's client."""
    authority, other = trustme.CA(), trustme.CA()
    made = Certificates(folder, authority)
    authority.cert_pem.write_to_path(made.path("ca.pem"))
    other.cert_pem.write_to_path(made.path("other-ca.pem"))
    made.issue("server", "127.0.0.1", "::1", "localhost")
    made.issue("client", "trainer@example.org")
    made.issue("stranger", "trainer@example.org", by=other)
    return made
