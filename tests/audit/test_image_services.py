"""What the journal and status.json say of the image of a service agrees."""

import pytest

from zf.audit.papers.services import ServiceAccount, of_tree
from zf.proof import layout

ENDED = {"ports": {"6379": 20000}, "exit_code": 0, "signal": None, "cause": "stopped"}
ENDED |= {"detail": "", "ready_s": 0.1, "log": layout.service_log("db")}
IMAGE = {"image": "redis:7", "digest": "sha256:" + "1" * 64}


@pytest.mark.parametrize(
    ("started", "said", "agrees"),
    [
        (IMAGE, IMAGE, True),
        ({"image": "", "digest": ""}, {}, True),
        ({}, {}, True),
        (IMAGE, {}, False),
        (IMAGE, {**IMAGE, "digest": "sha256:" + "2" * 64}, False),
        ({"image": "", "digest": ""}, IMAGE, False),
    ],
)
def test_status_tells_the_image_that_the_journal_does(started, said, agrees):
    account = ServiceAccount()
    begun = {"type": "service_started", "name": "db", "ports": ENDED["ports"], **started}
    assert account.feed(begun) == ""
    end = {"type": "service_ended", "name": "db", **ENDED, "log_sha256": "a"}
    assert account.feed(end) == ""
    status = {"services": {"db": {**ENDED, **said}}}
    found = [*of_tree(account, status, {ENDED["log"]: "a"})]
    expected = "says of service 'db' another image than the journal"
    assert found == ([] if agrees else [(layout.STATUS, expected)])
