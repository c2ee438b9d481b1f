"""What looking up a result takes, loaded by a worker that has nothing else to do yet."""

import jsonschema_rs  # noqa: F401 - with which proofs are verified

import zf.work.caching.attempt  # noqa: F401
