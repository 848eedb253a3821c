"""matrix-js-sdk on Node, the library under Element Web. One journey, looked at from each side."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.http import Mxc
from harness.media import photo, picture_size
from harness.node import run_script
from harness.stack import Stack
from harness.synapse import MAX_UPLOAD_BYTES


@dataclass(frozen=True)
class Journey:
    """What the script reported, and the picture that it uploaded."""

    picture: bytes
    seen: dict[str, Any]

    def error(self, step: str) -> tuple[int, str]:
        """Status and errcode of a step that was refused."""
        answer = self.seen[step]
        body = json.loads(base64.b64decode(answer["base64"]))
        return answer["status"], body["errcode"]


@pytest.fixture(scope="module")
def journey(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """Runs the script once."""
    user = stack.accounts.new()
    picture = photo(1600, 1200, seed=31)
    file: Path = tmp_path_factory.mktemp("js") / "photo.jpg"
    file.write_bytes(picture)
    seen = run_script("sdk.mjs", stack.base, user.localpart, user.password, str(file))
    return Journey(picture, seen)


def test_js_sdk_sees_a_server_with_authenticated_media(journey: Journey) -> None:
    assert journey.seen["supportsAuthenticatedMedia"] is True


def test_js_sdk_gets_an_address_on_our_server_name(journey: Journey, stack: Stack) -> None:
    assert Mxc.parse(journey.seen["mxc"]).server == stack.server_name


def test_js_sdk_downloads_the_bytes_that_it_uploaded(journey: Journey) -> None:
    download = journey.seen["download"]
    assert download["status"] == 200
    assert download["path"].startswith("/_matrix/client/v1/media/download/")
    assert download["sha256"] == hashlib.sha256(journey.picture).hexdigest()


def test_js_sdk_downloads_with_the_type_and_name_of_the_upload(journey: Journey) -> None:
    download = journey.seen["download"]
    assert download["type"] == "image/jpeg"
    assert download["disposition"].startswith("inline")
    assert "photo.jpg" in download["disposition"]


def test_js_sdk_gets_a_thumbnail(journey: Journey) -> None:
    thumbnail = journey.seen["thumbnail"]
    assert thumbnail["status"] == 200
    assert picture_size(base64.b64decode(thumbnail["base64"])) == (320, 240)


def test_js_sdk_reads_the_upload_limit(journey: Journey) -> None:
    assert journey.seen["config"] == {"m.upload.size": MAX_UPLOAD_BYTES}


def test_js_sdk_without_a_token_is_refused(journey: Journey) -> None:
    assert journey.error("withoutToken") == (401, "M_MISSING_TOKEN")


def test_js_sdk_finds_nothing_under_the_legacy_address(journey: Journey) -> None:
    assert journey.error("legacyWithoutToken") == (404, "M_NOT_FOUND")


def test_js_sdk_is_refused_after_its_logout(journey: Journey) -> None:
    assert journey.error("afterLogout") == (401, "M_UNKNOWN_TOKEN")
