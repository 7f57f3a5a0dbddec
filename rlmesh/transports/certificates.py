"""Certificates and keys in PEM files: read, and checked as far as one side alone can."""

from __future__ import annotations

import datetime as dt
import os
import re
import ssl
from collections.abc import Iterator

from rlmesh.errors import InvalidCredentialsError

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----")
_ENCRYPTED = re.compile(rb"ENCRYPTED")
# The names under which OpenSSL looks for an authority in a folder.
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0


def read_certificates(path: str | os.PathLike[str], what: str) -> bytes:
    """The certificates in a PEM file, of which each is valid now.

    Args:
        path: The file.
        what: What it is, for messages.

    Raises:
        InvalidCredentialsError: If it cannot be read, or holds something else.
    """
    text = _read(path, what)
    found = _CERTIFICATE.findall(text)
    if not found:
        raise InvalidCredentialsError(
            f"{what} {os.fspath(path)} holds no certificate; give a PEM file, in which one begins "
            f"with -----BEGIN CERTIFICATE-----"
        )
    for pem in found:
        _check_dates(pem, path, what)
    return text


def read_authorities(path: str | os.PathLike[str], what: str) -> bytes:
    """The authorities in a PEM file. Some may have expired, as they do in what a system trusts.

    Raises:
        InvalidCredentialsError: If it cannot be read, holds something else, or all have expired.
    """
    text = _read(path, what)
    found = _CERTIFICATE.findall(text)
    failure: InvalidCredentialsError | None = None
    for pem in found:
        try:
            _check_dates(pem, path, what)
        except InvalidCredentialsError as error:
            failure = failure or error
        else:
            return text
    raise failure or InvalidCredentialsError(
        f"{what} {os.fspath(path)} holds no certificate; give a PEM file, in which one begins with "
        f"-----BEGIN CERTIFICATE-----"
    )


def read_key(path: str | os.PathLike[str], what: str) -> bytes:
    """The private key in a PEM file.

    Raises:
        InvalidCredentialsError: If it cannot be read, holds something else, or needs a passphrase.
    """
    text = _read(path, what)
    begin = _KEY.search(text)
    if begin is None:
        raise InvalidCredentialsError(
            f"{what} {os.fspath(path)} holds no private key; give a PEM file, in which one begins "
            f"with -----BEGIN PRIVATE KEY-----"
        )
    if _ENCRYPTED.search(text, begin.start()):
        raise InvalidCredentialsError(
            f"{what} {os.fspath(path)} needs a passphrase, and nobody could type one; store it "
            f"without, as openssl pkey -in KEY -out PLAIN does, readable by its user only"
        )
    return text


def system_authorities() -> bytes:
    """The authorities that this machine trusts, as OpenSSL finds them.

    Raises:
        InvalidCredentialsError: If there are none.
    """
    places = ssl.get_default_verify_paths()
    if places.cafile is not None:
        return read_authorities(places.cafile, "the authorities that this machine trusts,")
    if places.capath is not None:
        names = sorted(name for name in os.listdir(places.capath) if _HASHED.fullmatch(name))
        found = [
            _read(os.path.join(places.capath, name), "the authority that this machine trusts,")
            for name in names
        ]
        if found:
            return b"\n".join(found)
    raise InvalidCredentialsError(
        f"this machine names no authorities that it trusts, at {places.openssl_cafile} or "
        f"{places.openssl_capath}; name one with rlmesh.ClientTLS(ca=PATH)"
    )


def _read(path: str | os.PathLike[str], what: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidCredentialsError(
            f"{what} {os.fspath(path)} cannot be read: {reason}; give the path of a PEM file that "
            f"this user may read"
        ) from error


def _check_dates(pem: bytes, path: str | os.PathLike[str], what: str) -> None:
    try:
        begin, end = _validity(ssl.PEM_cert_to_DER_cert(pem.decode("ascii")))
    except (ValueError, IndexError) as error:
        raise InvalidCredentialsError(
            f"{what} {os.fspath(path)} holds a damaged certificate; make or fetch the file again"
        ) from error
    now = dt.datetime.now(dt.timezone.utc)
    if now > end:
        raise InvalidCredentialsError(
            f"{what} {os.fspath(path)} holds a certificate that expired at {end:%Y-%m-%d %H:%M} "
            f"UTC; renew it"
        )
    if now < begin:
        raise InvalidCredentialsError(
            f"{what} {os.fspath(path)} holds a certificate that is valid from "
            f"{begin:%Y-%m-%d %H:%M} UTC on; check this machine's clock, or wait"
        )


def _validity(der: bytes) -> tuple[dt.datetime, dt.datetime]:
    """From when to when a certificate is valid."""
    [(_, certificate)] = _parts(der)
    _, signed = next(_parts(certificate))
    # Serial number, algorithm and issuer stand before it, and mostly the version.
    fields = [part for part in _parts(signed) if part[0] != _VERSION]
    tag, validity = fields[3]
    if tag != _SEQUENCE:
        raise ValueError("no validity")
    begin, end = (_time(tag, text) for tag, text in _parts(validity))
    return begin, end


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The values that stand side by side in DER, each with its tag."""
    start = 0
    while start < len(der):
        tag, size = der[start], der[start + 1]
        start += 2
        if size & 0x80:
            long = size & 0x7F
            size = int.from_bytes(der[start : start + long], "big")
            start += long
        if start + size > len(der):
            raise ValueError("cut off")
        yield tag, der[start : start + size]
        start += size


def _time(tag: int, text: bytes) -> dt.datetime:
    if tag == _UTC_TIME:
        # Two digits for the year: 50 and above are of the twentieth century.
        text = (b"19" if text[:2] >= b"50" else b"20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("no time")
    if not text.endswith(b"Z"):
        raise ValueError("no time in UTC")
    return dt.datetime.strptime(f"{text[:-1].decode('ascii')}+0000", "%Y%m%d%H%M%S%z")
