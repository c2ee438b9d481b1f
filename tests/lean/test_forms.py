"""Validators come without the mail parser, which everybody else still gets."""

import subprocess
import sys


def test_they_come_without_what_only_says_how_they_were_built():
    program = (
        "import sys, zf.lean.forms as forms\n"
        "assert not {'email.utils', 'decimal'} & sys.modules.keys()\n"
        "assert not forms.Draft4Validator({'type': 'string'}).is_valid(1)\n"
        "import email.utils, jsonschema_rs\n"
        "assert email.utils.parsedate_to_datetime('Sun, 8 Nov 2026 16:26:25 +0000').day == 8\n"
        "assert jsonschema_rs.Draft4Validator is forms.Draft4Validator\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_numbers_are_told_apart_as_ever():
    program = (
        "import zf.lean.forms as forms\n"
        "of = forms.Draft4Validator({'type': 'integer', 'maximum': 5})\n"
        "assert [of.is_valid(one) for one in (5, 6, 1.5, True, 2**70)] "
        "== [True, False, False, False, False]\n"
        "import decimal, jsonschema_rs\n"
        "assert decimal.Decimal('0.10') + 1 == decimal.Decimal('1.10')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
