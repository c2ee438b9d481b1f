"""Validators come without the mail parser, which everybody else still gets."""

import subprocess
import sys


def test_they_come_without_what_only_says_how_they_were_built():
    program = (
        "import sys, zf.lean.forms as forms\n"
        "assert 'email.utils' not in sys.modules\n"
        "assert not forms.Draft4Validator({'type': 'string'}).is_valid(1)\n"
        "import email.utils, jsonschema_rs\n"
        "assert email.utils.parsedate_to_datetime('Sun, 8 Nov 2026 16:26:25 +0000').day == 8\n"
        "assert jsonschema_rs.Draft4Validator is forms.Draft4Validator\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
