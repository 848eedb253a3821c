"""mmr beside nginx and Synapse, in turn, in one run. `benches/run --help` explains."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from harness import synapse as synapse_module  # noqa: E402
from harness.http import answers  # noqa: E402
from harness.ports import free_port  # noqa: E402
from harness.process import Process  # noqa: E402
from harness.synapse import Synapse  # noqa: E402
from harness.users import Accounts  # noqa: E402

WORK = ROOT / "target" / "bench"
SIZES = {"10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000, "5 MB": 5_000_000, "100 MB": 100_000_000}
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

# Each request uploads bytes that nobody uploaded before: de-duplication must not help.
UPLOAD_LUA = """
local file = io.open("{file}", "rb")
local body = file:read("*a"):sub(33)
file:close()
local count = 0
local run = "{run}"
request = function()
  count = count + 1
  return wrk.format("POST", nil, {{ ["Authorization"] = "Bearer {token}", ["Content-Type"] = "image/x-any" }},
    string.format("%16s%016d", run, count) .. body)
end
"""


@dataclass
class Server:
    """A server under measurement: where it is, whose token it takes, and its process."""

    name: str
    base: str
    token: str
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time of the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def memory_mb(self, key: str) -> float:
        """`VmRSS`, or `VmHWM` for the peak, in MB."""
        found = re.search(rf"{key}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(found.group(1)) * 1024 / 1e6 if found else 0.0


def busy_seconds() -> float:
    """Processor time of the whole machine so far."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / CLOCK_TICKS


def wrk(server: Server, path: str, connections: int, seconds: float, script: Path | None = None) -> tuple[float, float]:
    """Requests per second, and processor microseconds of the server per request."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "60s"]
    command += ["-H", f"Authorization: Bearer {server.token}"] if server.token else []
    command += ["-s", str(script)] if script else []
    before = server.cpu_seconds()
    output = subprocess.run([*command, server.base + path], capture_output=True, text=True, check=True).stdout
    spent = server.cpu_seconds() - before
    assert "Non-2xx" not in output, output
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))  # type: ignore[union-attr]
    count = int(re.search(r"(\d+) requests in", output).group(1))  # type: ignore[union-attr]
    return rate, 1e6 * spent / max(count, 1)


class Report:
    """Rows of a Markdown table."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def add(self, *cells: str) -> None:
        """Adds a row and shows it at once."""
        self.rows.append("| " + " | ".join(cells) + " |")
        print(self.rows[-1], flush=True)


def compare(report: Report, what: str, ours, theirs, rounds: int, unit: str) -> None:
    """Measures both in turn; the ratio is taken round by round, so a drifting machine does not matter."""
    pairs, costs, noise = [], ([], []), []
    for _ in range(rounds):
        began, busy = time.monotonic(), busy_seconds()
        (a, cost_a), (b, cost_b) = ours(), theirs()
        pairs.append((a, b))
        costs[0].append(cost_a)
        costs[1].append(cost_b)
        noise.append((busy_seconds() - busy) / (time.monotonic() - began))
    ratios = sorted(a / b for a, b in pairs)
    median = statistics.median
    report.add(
        what,
        f"{median(a for a, _ in pairs):.5g} {unit}",
        f"{median(b for _, b in pairs):.5g} {unit}",
        f"**{median(ratios):.2f}** ({ratios[0]:.2f}-{ratios[-1]:.2f})",
        f"{median(costs[0]):.0f} / {median(costs[1]):.0f}",
    )


def upload(server: Server, file: Path) -> str:
    """Uploads a file with curl; answers `server/id`."""
    command = ["curl", "-sS", "-H", f"Authorization: Bearer {server.token}", "-H", "Content-Type: application/octet-stream"]
    command += ["-H", "Expect:", "-X", "POST", "-T", str(file), f"{server.base}/_matrix/media/v3/upload"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r'mxc://([^"]+)"', answer)
    assert found, answer
    return found.group(1)


def fixture(name: str) -> Path:
    """A file of random bytes, the same in each run."""
    path = WORK / "www" / name.replace(" ", "")
    if not path.exists() or path.stat().st_size != SIZES[name]:
        path.write_bytes(hashlib.shake_128(name.encode()).digest(SIZES[name]))
    return path


def downloads(report: Report, mmr: Server, nginx: Server, synapse: Server, rounds: int, seconds: float) -> None:
    for name, connections in (("10 KB", 32), ("100 KB", 32), ("1 MB", 16), ("100 MB", 4)):
        ours = f"/_matrix/client/v1/media/download/{upload(mmr, fixture(name))}"
        theirs = "/" + fixture(name).name
        compare(
            report,
            f"download {name}, {connections} clients, against nginx",
            lambda: wrk(mmr, ours, connections, seconds),
            lambda: wrk(nginx, theirs, connections, seconds),
            rounds,
            "/s",
        )
    for name in ("10 KB", "5 MB"):
        ours = f"/_matrix/client/v1/media/download/{upload(mmr, fixture(name))}"
        theirs = f"/_matrix/client/v1/media/download/{upload(synapse, fixture(name))}"
        for connections in (1, 16):
            compare(
                report,
                f"download {name}, {connections} clients, against Synapse",
                lambda: wrk(mmr, ours, connections, seconds),
                lambda: wrk(synapse, theirs, connections, seconds),
                rounds,
                "/s",
            )


def uploads(report: Report, mmr: Server, synapse: Server, rounds: int, seconds: float) -> None:
    def small(server: Server, connections: int) -> tuple[float, float]:
        script = WORK / f"upload-{server.name}.lua"
        run = f"{time.monotonic_ns():x}"
        script.write_text(UPLOAD_LUA.format(file=fixture("100 KB"), run=run, token=server.token))
        return wrk(server, "/_matrix/media/v3/upload", connections, seconds, script)

    def large(server: Server) -> tuple[float, float]:
        path = WORK / "large"
        path.write_bytes(os.urandom(32) + fixture("100 MB").read_bytes()[32:])
        before, began = server.cpu_seconds(), time.monotonic()
        upload(server, path)
        return 100 / (time.monotonic() - began), 1e6 * (server.cpu_seconds() - before)

    for connections in (1, 16):
        what = f"upload 100 KB, {connections} clients, synced, against Synapse, which does not sync"
        compare(report, what, lambda: small(mmr, connections), lambda: small(synapse, connections), rounds, "/s")
    compare(report, "upload 100 MB, synced, against Synapse", lambda: large(mmr), lambda: large(synapse), rounds, "MB/s")


def send(server: Server, size: int, seed: int) -> None:
    """Uploads `size` bytes that nobody uploaded before, without holding them."""
    host, port = server.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /_matrix/media/v3/upload HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {server.token}\r\n"
        connection.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
        chunk, sent = os.urandom(1 << 20), 0
        while sent < size:
            piece = seed.to_bytes(8, "big") + sent.to_bytes(8, "big") + chunk[16:]
            connection.sendall(piece[: size - sent])
            sent += min(len(piece), size - sent)
        assert connection.recv(64).startswith(b"HTTP/1.1 200")


def receive(server: Server, path: str) -> None:
    """Downloads and throws away."""
    host, port = server.base.removeprefix("http://").split(":")
    buffer, got = bytearray(1 << 18), 0
    with socket.create_connection((host, int(port))) as connection:
        head = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {server.token}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        while count := connection.recv_into(buffer):
            got += count
    assert got > SIZES["100 MB"], got


def parallel(jobs: list[threading.Thread]) -> None:
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()


def memory(report: Report, start_mmr) -> None:
    process, mmr = start_mmr()
    time.sleep(2)
    report.add("memory, idle", f"{mmr.memory_mb('VmRSS'):.0f} MB", "-", "25 MB allowed", "-")
    parallel([threading.Thread(target=send, args=(mmr, 1 << 30, time.monotonic_ns() + n)) for n in range(8)])
    report.add("memory, peak of 8 uploads of 1 GiB at once", f"{mmr.memory_mb('VmHWM'):.0f} MB", "-", "64 MB allowed", "-")
    process.stop()
    process, mmr = start_mmr()
    path = f"/_matrix/client/v1/media/download/{upload(mmr, fixture('100 MB'))}"
    parallel([threading.Thread(target=receive, args=(mmr, path)) for _ in range(64)])
    peak = mmr.memory_mb("VmHWM")
    report.add("memory, peak of 64 downloads of 100 MB at once", f"{peak:.0f} MB", "-", "96 MB allowed", "-")
    process.stop()


def start_time(report: Report, command: list[str], port: int) -> None:
    """From starting the process to its first answer."""
    times = []
    request = b"GET /healthz HTTP/1.1\r\nHost: bench\r\n\r\n"
    for _ in range(11):
        began = time.monotonic()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port)) as connection:
                    connection.sendall(request)
                    if connection.recv(64).startswith(b"HTTP/1.1 200"):
                        break
            except OSError:
                time.sleep(0.001)
        times.append(1000 * (time.monotonic() - began))
        child.terminate()
        child.wait()
    report.add("start to first answer", f"{statistics.median(times):.0f} ms", "-", "150 ms allowed", "-")


def nginx_process(port: int) -> tuple[Process, Path]:
    directory = WORK / "nginx"
    directory.mkdir(parents=True, exist_ok=True)
    pid = directory / "pid"
    temporary = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = directory / "nginx.conf"
    config.write_text(
        f"worker_processes 1; daemon off; pid {pid}; error_log {directory}/error.log; user root;"
        "events { worker_connections 1024; }"
        f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; open_file_cache max=100; {temporary}"
        f"default_type application/octet-stream; server {{ listen 127.0.0.1:{port}; root {WORK}/www; }} }}"
    )
    command = ["nginx", "-c", str(config), "-e", f"{directory}/error.log"]
    return Process("bench-nginx", command, cwd=directory, ready=lambda: answers(f"http://127.0.0.1:{port}/10KB")), pid


def main() -> None:
    parser = argparse.ArgumentParser(prog="benches/run", description=__doc__)
    parser.add_argument("--only", default="downloads,uploads,memory,start", help="some of downloads,uploads,memory,start")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per row (default 5)")
    parser.add_argument("--seconds", type=float, default=3, help="seconds per measurement (default 3)")
    parser.add_argument("--mmr", required=True, help="the mmr-server to measure")
    options = parser.parse_args()
    wanted = set(options.only.split(","))
    (WORK / "www").mkdir(parents=True, exist_ok=True)
    for name in SIZES:
        fixture(name)

    synapse_module.MAX_UPLOAD_BYTES = 2_000_000_000
    ports = {"synapse": free_port(), "nginx": free_port(), "mmr": free_port()}
    for old in (WORK / "synapse", WORK / "mmr"):
        shutil.rmtree(old, ignore_errors=True)
    (WORK / "mmr").mkdir()
    homeserver = Synapse("bench.test", ports["synapse"], WORK / "synapse", own_media=True)
    config = WORK / "mmr.yaml"
    config.write_text(yaml.safe_dump(mmr_config(homeserver.base, ports["mmr"])))
    command = [options.mmr, "--config", str(config)]
    base = f"http://127.0.0.1:{ports['mmr']}"
    nginx, nginx_pid = nginx_process(ports["nginx"])
    with homeserver.process, nginx:
        token = Accounts(homeserver).new().token

        def start_mmr() -> tuple[Process, Server]:
            process = Process("bench-mmr", command, cwd=WORK, ready=lambda: answers(f"{base}/healthz"))
            process.start()
            return process, Server("mmr", base, token, process.pid)

        report = Report()
        report.add("what", "mmr", "peer", "ratio (min-max)", "server CPU, us per request: mmr / peer")
        report.add("---", "---:", "---:", "---:", "---:")
        process, mmr = start_mmr()
        synapse = Server("synapse", homeserver.base, token, homeserver.process.pid)
        worker = subprocess.run(["pgrep", "-P", nginx_pid.read_text().strip()], capture_output=True, text=True, check=True)
        peer = Server("nginx", f"http://127.0.0.1:{ports['nginx']}", "", int(worker.stdout.split()[0]))
        if "downloads" in wanted:
            downloads(report, mmr, peer, synapse, options.rounds, options.seconds)
        if "uploads" in wanted:
            uploads(report, mmr, synapse, options.rounds, options.seconds)
        process.stop()
        if "memory" in wanted:
            memory(report, start_mmr)
        if "start" in wanted:
            start_time(report, command, ports["mmr"])


def mmr_config(homeserver: str, port: int) -> dict[str, object]:
    return {
        "repo": {"bindAddress": "127.0.0.1", "port": port, "logDirectory": "-", "logLevel": "warn"},
        "database": {"sqlite": str(WORK / "mmr" / "mmr.db")},
        "homeservers": [{"name": "bench.test", "csApi": homeserver}],
        "datastores": [{"id": "main", "type": "file", "forKinds": ["all"], "opts": {"path": str(WORK / "mmr" / "media")}}],
        "accessTokens": {"maxCacheTimeSeconds": 43200},
        "uploads": {"maxBytes": 0, "minBytes": 0},
    }


if __name__ == "__main__":
    main()
