"""Records do without what msgspec imports for types that no record has."""

import subprocess
import sys

# What a plain run must not import, as each takes a millisecond or more of its start.
SPARED = (
    *("asyncio", "concurrent", "dataclasses", "decimal", "inspect", "json", "logging", "msgspec"),
    *("pickle", "pydantic", "shutil", "signal", "socket", "subprocess", "tempfile", "threading"),
    *("traceback", "typing_extensions", "uuid", "yaml"),
)


def test_a_run_imports_nothing_that_it_can_do_without():
    program = (
        "import sys, zf.cli.quick, zf.run.launch\n"
        "from zf.cli.begin import _get_ready\n"
        "_get_ready()\n"
        f"assert not set({SPARED}) & sys.modules.keys(), set({SPARED}) & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-S", "-c", program], env={"PYTHONPATH": _PATH}, check=True)


def test_what_stood_in_meanwhile_is_gone_afterwards():
    program = (
        "from zf.lean.records import Struct, convert, json_decode, json_encode\n"
        "import decimal, uuid\n"
        "assert uuid.UUID(int=1).int == 1 and uuid.SafeUUID.unknown.value is None\n"
        "assert decimal.Decimal('0.10') + 1 == decimal.Decimal('1.10')\n"
        "class One(Struct): a: int; b: list[float]\n"
        "assert convert(json_decode(json_encode(One(1, [0.5]))), One) == One(1, [0.5])"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


_PATH = ":".join(filter(None, sys.path))
