"""Who may do what: the homeserver's word on each account reaches the client unchanged."""

from __future__ import annotations

import pytest

from harness.http import MatrixHttp, Mxc, assert_error
from harness.media import noise
from harness.stack import Stack
from harness.synapse import AppService
from harness.users import User

UNKNOWN_TOKEN = "syt_nobody_has_this_token"


@pytest.fixture
def stored(stack: Stack) -> tuple[Mxc, bytes]:
    """Media of somebody else."""
    data = noise(5000, seed=41)
    return stack.client(stack.accounts.new("owner").token).uploaded(data), data


def homeserver_says(stack: Stack, token: str) -> tuple[int, dict[str, object]]:
    """What Synapse itself answers to this token."""
    answer = MatrixHttp(stack.synapse.base, token).get("/_matrix/client/v3/account/whoami")
    return answer.status_code, answer.json()


@pytest.mark.parametrize("path", ["v3/logout", "v3/logout/all", "r0/logout"])
def test_a_token_is_refused_at_once_after_logout(
    stack: Stack, stored: tuple[Mxc, bytes], path: str
) -> None:
    user = stack.accounts.new()
    client = stack.client(user.token)
    mxc, data = stored
    # The token is now known to the media server, for as long as it caches tokens.
    assert client.download(mxc).content == data

    logout = client.post(f"/_matrix/client/{path}", json={})

    assert (logout.status_code, logout.json()) == (200, {})
    assert_error(client.download(mxc), 401, "M_UNKNOWN_TOKEN")
    assert_error(client.upload(data), 401, "M_UNKNOWN_TOKEN")
    assert_error(client.get("/_matrix/client/v1/media/config"), 401, "M_UNKNOWN_TOKEN")


def test_logout_of_one_device_leaves_the_other_one_working(
    stack: Stack, stored: tuple[Mxc, bytes]
) -> None:
    user = stack.accounts.new()
    mxc, data = stored
    first = stack.client(user.token)
    login = first.post(
        "/_matrix/client/v3/login",
        json={
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user.localpart},
            "password": user.password,
        },
    )
    second = stack.client(login.json()["access_token"])
    assert second.download(mxc).content == data
    assert first.download(mxc).content == data

    assert first.post("/_matrix/client/v3/logout", json={}).status_code == 200

    assert second.download(mxc).content == data
    assert_error(first.download(mxc), 401, "M_UNKNOWN_TOKEN")


def test_logout_with_an_unknown_token_is_answered_as_the_homeserver_answers(stack: Stack) -> None:
    answer = stack.client(UNKNOWN_TOKEN).post("/_matrix/client/v3/logout", json={})
    assert_error(answer, 401, "M_UNKNOWN_TOKEN")


def test_a_guest_downloads(stack: Stack, stored: tuple[Mxc, bytes]) -> None:
    mxc, data = stored
    answer = stack.client(stack.accounts.guest()).download(mxc)
    assert (answer.status_code, answer.content) == (200, data)


def test_a_guest_does_not_upload(stack: Stack) -> None:
    answer = stack.client(stack.accounts.guest()).upload(noise(500, seed=42))
    assert_error(answer, 403, "M_GUEST_ACCESS_FORBIDDEN")


def test_a_guest_does_not_reserve_an_address(stack: Stack) -> None:
    answer = stack.client(stack.accounts.guest()).post("/_matrix/media/v1/create", json={})
    assert_error(answer, 403, "M_GUEST_ACCESS_FORBIDDEN")


def test_an_unknown_token_gets_the_homeservers_answer(
    stack: Stack, stored: tuple[Mxc, bytes]
) -> None:
    answer = stack.client(UNKNOWN_TOKEN).download(stored[0])
    assert (answer.status_code, answer.json()) == homeserver_says(stack, UNKNOWN_TOKEN)


def test_a_deactivated_account_gets_the_homeservers_answer(
    stack: Stack, user: User, stored: tuple[Mxc, bytes]
) -> None:
    stack.accounts.deactivate(user)
    answer = stack.client(user.token).download(stored[0])
    assert_error(answer, 401, "M_UNKNOWN_TOKEN")
    assert (answer.status_code, answer.json()) == homeserver_says(stack, user.token)


def test_a_locked_account_gets_the_homeservers_answer(
    stack: Stack, user: User, stored: tuple[Mxc, bytes]
) -> None:
    stack.accounts.lock(user)
    client = stack.client(user.token)
    expected = homeserver_says(stack, user.token)
    assert (expected[0], expected[1]["errcode"]) == (401, "M_USER_LOCKED")
    for answer in (client.download(stored[0]), client.upload(noise(500, seed=43))):
        assert (answer.status_code, answer.json()) == expected


def test_a_locked_account_can_still_log_out(stack: Stack, user: User) -> None:
    stack.accounts.lock(user)
    answer = stack.client(user.token).post("/_matrix/client/v3/logout", json={})
    assert (answer.status_code, answer.json()) == (200, {})


def test_a_suspended_account_still_downloads(
    stack: Stack, user: User, stored: tuple[Mxc, bytes]
) -> None:
    stack.accounts.suspend(user)
    mxc, data = stored
    answer = stack.client(user.token).download(mxc)
    assert (answer.status_code, answer.content) == (200, data)


class TestApplicationService:
    """A bridge acts for its users with one token and `?user_id=`."""

    def test_uploads_for_a_user_of_its_namespace(self, stack: Stack) -> None:
        ghost = stack.accounts.bridged("upload")
        bridge = stack.client(AppService.token)
        data = noise(3000, seed=44)
        mxc = bridge.uploaded(data, params={"user_id": ghost})
        assert bridge.download(mxc, params={"user_id": ghost}).content == data

    def test_uploads_as_itself(self, stack: Stack) -> None:
        bridge = stack.client(AppService.token)
        data = noise(3000, seed=45)
        assert bridge.download(bridge.uploaded(data)).content == data

    def test_reserves_an_address_and_fills_it_for_the_same_user(self, stack: Stack) -> None:
        ghost = {"user_id": stack.accounts.bridged("create")}
        bridge = stack.client(AppService.token)
        created = bridge.post("/_matrix/media/v1/create", json={}, params=ghost)
        mxc = Mxc.parse(created.json()["content_uri"])
        data = noise(3000, seed=46)
        filled = bridge.put(f"/_matrix/media/v3/upload/{mxc.path}", data=data, params=ghost)
        assert filled.status_code == 200
        assert bridge.download(mxc).content == data

    def test_is_refused_for_a_user_outside_its_namespace(self, stack: Stack, user: User) -> None:
        bridge = stack.client(AppService.token)
        # Its token alone is good, and known by now: that must not carry over to other users.
        bridge.uploaded(noise(3000, seed=47))
        answer = bridge.upload(noise(3000, seed=48), params={"user_id": user.mxid})
        assert_error(answer, 403, "M_FORBIDDEN")

    def test_an_ordinary_user_cannot_act_for_another(self, stack: Stack, user: User) -> None:
        victim = stack.accounts.new("victim")
        created = stack.client(victim.token).post("/_matrix/media/v1/create", json={})
        mxc = Mxc.parse(created.json()["content_uri"])
        answer = stack.client(user.token).put(
            f"/_matrix/media/v3/upload/{mxc.path}",
            data=noise(500, seed=49),
            params={"user_id": victim.mxid},
        )
        assert_error(answer, 403, "M_FORBIDDEN")
