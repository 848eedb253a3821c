"""`mmr-server dev`: what it prints works as it stands."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import paths
from harness.http import Mxc
from harness.media import picture_size
from harness.ports import free_port
from harness.process import Process

pytestmark = pytest.mark.mmr_only("a command of mmr-server")


@dataclass(frozen=True)
class Dev:
    """A running `mmr-server dev` and the commands that it told its user to copy."""

    process: Process
    home: Path
    commands: list[str]

    def paste(self, command: str, into: Path) -> str:
        """Runs a printed command in a shell whose working directory is `into`; its output."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=into,
            # Loopback is not for a proxy that the machine may be configured with.
            env={**os.environ, "NO_PROXY": "*", "no_proxy": "*"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "errcode" not in done.stdout, f"{command}\n{done.stdout}"
        return done.stdout


def printed(log: Path) -> list[str]:
    """The indented `curl` lines, as they would be copied."""
    return [
        line.strip() for line in log.read_text().splitlines() if line.lstrip().startswith("curl ")
    ]


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """The server, started in an empty home directory without any configuration."""
    home = tmp_path_factory.mktemp("home")
    log = paths.LOGS / "mmr-dev.log"
    process = Process(
        "mmr-dev",
        [paths.mmr_binary(), "dev", "--port", str(free_port())],
        cwd=home,
        env={"HOME": str(home), "XDG_DATA_HOME": str(home / "data")},
        ready=lambda: len(printed(log)) == 3,
    )
    with process:
        yield Dev(process, home, printed(log))


def target_of(command: str) -> str:
    """The file that a curl command writes."""
    match = re.search(r" (?:-o|--output) '?([^ ']+)'?", command)
    assert match, command
    return match[1]


def test_dev_prints_its_address_and_a_token(dev: Dev) -> None:
    text = dev.process.log.read_text()
    assert re.search(r"http://127\.0\.0\.1:\d+", text)
    assert "token" in text


def test_the_printed_upload_command_uploads(dev: Dev, tmp_path: Path) -> None:
    answer = json.loads(dev.paste(dev.commands[0], tmp_path))
    assert Mxc.parse(answer["content_uri"]).media_id


def test_the_printed_download_command_gets_the_file_that_the_upload_command_sends(
    dev: Dev, tmp_path: Path
) -> None:
    sent = re.search(r"@([^ ']+)", dev.commands[0])
    assert sent, dev.commands[0]
    dev.paste(dev.commands[1], tmp_path)
    assert (tmp_path / target_of(dev.commands[1])).read_bytes() == Path(sent[1]).read_bytes()


def test_the_printed_thumbnail_command_gets_a_picture_of_the_size_it_names(
    dev: Dev, tmp_path: Path
) -> None:
    dev.paste(dev.commands[2], tmp_path)
    width, height = re.findall(r"(?:width|height)=(\d+)", dev.commands[2])
    picture = (tmp_path / target_of(dev.commands[2])).read_bytes()
    assert picture_size(picture) == (int(width), int(height))


def test_dev_refuses_other_tokens(dev: Dev, tmp_path: Path) -> None:
    command = re.sub(r"Bearer [^']+", "Bearer wrong", dev.commands[1])
    done = subprocess.run(
        ["bash", "-c", f"{command} --noproxy '*' --write-out '%{{http_code}}'"],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout == "401"


def test_dev_keeps_its_data_in_the_users_data_directory(dev: Dev) -> None:
    assert any(path.is_file() for path in (dev.home / "data").rglob("*"))
    assert [entry.name for entry in dev.home.iterdir()] == ["data"]
