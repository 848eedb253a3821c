"""Fixtures for all end-to-end tests, and the logs of a failed one."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator

import pytest

from harness import paths
from harness.federation import Federation, running_federation
from harness.http import MatrixHttp
from harness.process import tail
from harness.stack import Stack, reference_run, running_stack
from harness.users import User


def pytest_sessionstart() -> None:
    """Each run starts with empty directories, so that logs and stores are of this run only."""
    for directory in (paths.LOGS, paths.RUN):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Registers our marker, and keeps temporary directories where everything else is."""
    if config.option.basetemp is None:
        config.option.basetemp = str(paths.WORK / "tmp")
    config.addinivalue_line(
        "markers", "mmr_only(reason): cannot be tried against Synapse's own media repository"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """In a reference run, leaves out what only mmr does."""
    marker = item.get_closest_marker("mmr_only")
    if marker is not None and reference_run():
        pytest.skip(f"reference run: {marker.args[0]}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,  # noqa: ARG001 - the hook's signature
    call: pytest.CallInfo[None],  # noqa: ARG001
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the end of every server's log to the report of a failed test."""
    report = yield
    if report.failed:
        for log in sorted(paths.LOGS.glob("*.log")):
            report.sections.append((f"end of {log.name}", tail(log)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Leaves the counts for the closing line of `tests/run`."""
    stats = terminalreporter.stats
    failed = len(stats.get("failed", [])) + len(stats.get("error", []))
    line = f"{len(stats.get('passed', []))} passed, {failed} failed"
    skipped = len(stats.get("skipped", []))
    if skipped:
        line += f", {skipped} skipped"
    (paths.WORK / "summary").write_text(line + "\n")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The deployment, started once for all tests."""
    with running_stack() as running:
        yield running


@pytest.fixture(scope="session")
def federation() -> Iterator[Federation]:
    """Three homeservers that federate, started once for the tests that need them."""
    with running_federation() as running:
        yield running


@pytest.fixture
def user(stack: Stack) -> User:
    """An account that no other test uses."""
    return stack.accounts.new()


@pytest.fixture
def client(stack: Stack, user: User) -> MatrixHttp:
    """Plain requests of `user` through nginx."""
    return stack.client(user.token)
