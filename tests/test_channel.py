"""Messages between consumer and runner: whole, in order, without waiting for each other."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from pqfs.channel import Channel


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """Two connected ends that do not block."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    yield Channel(left), Channel(right)
    left.close()
    right.close()


Ends = tuple[Channel, Channel]


def test_messages_arrive_whole_and_in_order(ends: Ends) -> None:
    left, right = ends
    sent = [{"n": n, "text": "new\nline é \udcff"} for n in range(100)]

    for message in sent:
        left.send(message)

    assert list(right.receive()) == sent
    assert list(right.receive()) == []
    assert not right.is_closed


def test_half_a_message_is_kept_until_it_is_whole(ends: Ends) -> None:
    left, right = ends

    left._socket.send(b'{"a":')
    assert list(right.receive()) == []
    left._socket.send(b'1}\n{"b"')
    assert list(right.receive()) == [{"a": 1}]
    left._socket.send(b":2}\n")
    assert list(right.receive()) == [{"b": 2}]


def test_what_the_kernel_does_not_take_is_sent_later(ends: Ends) -> None:
    left, right = ends
    large = {"data": "x" * 3_000_000}

    left.send(large)
    assert left.has_unsent
    got: list[dict[str, object]] = []
    while not got:
        left.flush()
        got += right.receive()

    assert got == [large]
    assert not left.has_unsent


def test_a_peer_that_went_away_closes_the_channel_after_its_last_words(ends: Ends) -> None:
    left, right = ends
    chunk = 1 << 18
    words = {"last": "w" * (chunk - len('{"last":""}\n'))}  # exactly what one read takes: no half line is left
    left._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * chunk)
    left.send(words)
    left.send({"very last": "words"})
    assert not left.has_unsent
    left.close()

    assert list(right.drain()) == [words, {"very last": "words"}]
    assert right.is_closed


def test_sending_to_nobody_is_dropped(ends: Ends) -> None:
    left, right = ends
    right.close()

    left.send({"a": 1})

    assert not left.has_unsent


def test_a_blocking_end_reads_until_its_peer_closes() -> None:
    left, right = socket.socketpair()
    sender, receiver = Channel(left), Channel(right)
    for number in range(3):
        sender.send({"n": number})
    sender.close()

    assert [message["n"] for message in receiver.messages()] == [0, 1, 2]
    receiver.close()


def test_a_drain_of_a_peer_that_lives_ends_when_there_is_nothing_more(ends: Ends) -> None:
    left, right = ends
    left.send({"a": 1})

    assert list(right.drain()) == [{"a": 1}]
    assert not right.is_closed
