"""What two sides say to each other arrives as it was said, or is noticed."""

import pytest

from zf.work.agent.frames import (
    ALIVE,
    HELLO,
    MAGIC,
    MAX_NOISE_BYTES,
    PIECE,
    Frame,
    FrameError,
    Listener,
    Speaker,
)


def said() -> list[bytes]:
    speaker = Speaker()
    return [
        speaker.frame(HELLO, {"zf": "1"}),
        speaker.frame(PIECE, {"blob": "x", "last": False}, b"\0\1" * 50),
        speaker.frame(ALIVE, {"number": 1}),
    ]


HEARD = [
    Frame(HELLO, {"zf": "1"}),
    Frame(PIECE, {"blob": "x", "last": False}, b"\0\1" * 50),
    Frame(ALIVE, {"number": 1}),
]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_frames_come_out_as_they_went_in_however_they_are_cut_up(size):
    listener, data = Listener(), b"".join(said())
    heard = []
    for at in range(0, len(data), size):
        heard += listener.feed(data[at : at + size])
    assert heard == HEARD


def test_what_a_login_shell_prints_before_an_agent_speaks_is_passed_over():
    listener = Listener(after_magic=True)
    assert [*listener.feed(b"Welcome!\nlast login: today")] == []
    assert listener.noise == "Welcome!\nlast login: today"
    assert [*listener.feed(MAGIC + said()[0])] == HEARD[:1]
    assert listener.noise == ""


def test_what_only_prints_is_no_agent():
    listener = Listener(after_magic=True)
    with pytest.raises(FrameError, match="no agent"):
        list(listener.feed(b"y\n" * MAX_NOISE_BYTES))


def test_a_byte_that_changed_anywhere_is_noticed_with_the_next_frame_at_the_latest():
    first, second, third = said()
    for at in range(len(first)):
        changed = bytearray(first + second + third)
        changed[at] ^= 1
        assert heard_whole(bytes(changed)) is False, at


def heard_whole(data: bytes) -> bool:
    try:
        return [*Listener().feed(data)] == HEARD  # one whose length grew waits for more
    except FrameError:
        return False


@pytest.mark.parametrize("order", [(0, 2), (0, 0), (1, 2), (0, 2, 1), (0, 1, 1)])
def test_a_frame_that_was_dropped_doubled_or_moved_is_noticed(order):
    frames, listener = said(), Listener()
    with pytest.raises(FrameError, match="does not follow"):
        list(listener.feed(b"".join(frames[number] for number in order)))


@pytest.mark.parametrize(
    "data",
    [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x07\x00\0\0\0\x02{}", b"\0\0\0\x06H\0\0\0\x01{"],
)
def test_what_has_no_form_of_a_frame_is_refused(data):
    with pytest.raises(FrameError):
        list(Listener().feed(data))
