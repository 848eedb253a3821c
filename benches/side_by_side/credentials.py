"""Certificates, keys and signatures of the origin.

Run as a program by the interpreter that has Synapse, signedjson and trustme: `files DIRECTORY
ORIGIN` writes what the origin serves TLS and its key with, `header DIRECTORY ORIGIN DESTINATION
TARGET` prints the header of a signed GET.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import trustme
from signedjson.key import (
    encode_verify_key_base64,
    generate_signing_key,
    get_verify_key,
    read_signing_keys,
    write_signing_keys,
)
from signedjson.sign import sign_json

_DAY_MS = 24 * 60 * 60 * 1000


def _files(directory: Path, origin: str) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "roots.pem")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(directory / "certificate.pem")

    key = generate_signing_key("bench")
    with (directory / "signing.key").open("w") as file:
        write_signing_keys(file, [key])
    public = encode_verify_key_base64(get_verify_key(key))
    published = {
        "server_name": origin,
        "verify_keys": {f"{key.alg}:{key.version}": {"key": public}},
        "old_verify_keys": {},
        "valid_until_ts": int(time.time() * 1000) + _DAY_MS,
    }
    (directory / "keys.json").write_text(json.dumps(sign_json(published, origin, key)))


def _header(directory: Path, origin: str, destination: str, target: str) -> None:
    with (directory / "signing.key").open() as file:
        (key,) = read_signing_keys(file)
    request = {"method": "GET", "uri": target, "origin": origin, "destination": destination}
    name = f"{key.alg}:{key.version}"
    signature = sign_json(request, origin, key)["signatures"][origin][name]
    print(f'X-Matrix origin="{origin}",destination="{destination}",key="{name}",sig="{signature}"')


if __name__ == "__main__":
    what, here, *arguments = sys.argv[1:]
    if what == "files":
        _files(Path(here), *arguments)
    else:
        _header(Path(here), *arguments)
