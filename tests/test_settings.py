"""Settings: flag > variables > project file > default, and what is refused."""

import pytest

from zf.errors import ZfError
from zf.model import Project
from zf.options import EVERY_RUN
from zf.settings import OPTIONS, RunOptions, Settings, resolve

MOST = "must be NAME=N with an N of 9007199254740991 at most"
JOBS = "a whole number from 1 to 10000"
SECONDS = "a number of seconds, such as 90 or 0.5"
POSITIVE = "a number of seconds above 0"


def settle(environ=None, project=None, **typed):
    options = RunOptions("run-phase", typed)
    return resolve(environ or {}, options, default_run_id="default-id", project=project)


def test_defaults_say_that_they_are_defaults():
    assert settle().as_json() == {
        "run_id": {"value": "default-id", "source": "default"},
        "max_jobs": {"value": 4, "source": "default"},
        "phase_timeout_s": {"value": 3600.0, "source": "default"},
        "poll_interval_s": {"value": 1.0, "source": "default"},
        "grace_s": {"value": 5.0, "source": "default"},
        "sign": {"value": False, "source": "default"},
        "shield": {"value": "auto", "source": "default"},
        "cached": {"value": False, "source": "default"},
        "container_engine": {"value": "auto", "source": "default"},
        "executor": {"value": None, "source": "default"},
    }


@pytest.mark.parametrize(
    ("environ", "given", "value", "source"),
    [
        ({"MAX_JOBS": "2"}, {}, 2, "MAX_JOBS"),
        ({"MAX_JOBS": "2", "ZENFLOW_MAX_JOBS": "3"}, {}, 3, "ZENFLOW_MAX_JOBS"),
        ({"MAX_JOBS": "2", "ZENFLOW_MAX_JOBS": "3", "ZF_MAX_JOBS": "5"}, {}, 5, "ZF_MAX_JOBS"),
        ({"ZF_MAX_JOBS": "5"}, {"max_jobs": "6"}, 6, "--max-jobs"),
        ({"ZF_MAX_JOBS": ""}, {"project": Project(max_jobs=7)}, 7, "zf.yaml"),
        ({"MAX_JOBS": "2"}, {"project": Project(max_jobs=7)}, 2, "MAX_JOBS"),
    ],
)
def test_max_jobs_precedence(environ, given, value, source):
    chosen = settle(environ, **given).max_jobs
    assert (chosen.value, chosen.source) == (value, source)


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("run_id", "ZF_RUN_ID"),
        ("run_id", "RUN_ID"),
        ("phase_timeout_s", "ZF_PHASE_TIMEOUT_SEC"),
        ("phase_timeout_s", "ZENFLOW_PHASE_TIMEOUT_SEC"),
        ("phase_timeout_s", "PHASE_TIMEOUT_SEC"),
        ("poll_interval_s", "ZF_POLL_INTERVAL_SEC"),
        ("poll_interval_s", "POLL_INTERVAL_SEC"),
    ],
)
def test_every_documented_variable_is_read(name, variable):
    chosen = getattr(settle({variable: "7"}), name)
    assert (str(chosen.value).removesuffix(".0"), chosen.source) == ("7", variable)
    assert chosen.given


def test_the_project_file_and_the_default_do_not_count_as_given():
    assert not settle().phase_timeout_s.given
    assert not settle(project=Project(grace_s=2)).grace_s.given


@pytest.mark.parametrize(
    ("environ", "given", "message"),
    [
        ({}, {"max_jobs": "0"}, f"--max-jobs is '0', but must be {JOBS}"),
        ({}, {"max_jobs": "-1"}, f"--max-jobs is '-1', but must be {JOBS}"),
        ({}, {"max_jobs": "x"}, f"--max-jobs is 'x', but must be {JOBS}"),
        ({}, {"max_jobs": "1.5"}, f"--max-jobs is '1.5', but must be {JOBS}"),
        ({}, {"max_jobs": "4_0"}, f"--max-jobs is '4_0', but must be {JOBS}"),
        ({}, {"max_jobs": "٣"}, f"--max-jobs is '٣', but must be {JOBS}"),
        ({}, {"max_jobs": "10001"}, f"--max-jobs is '10001', but must be {JOBS}"),
        ({}, {"max_jobs": "9" * 5000}, f"--max-jobs is '{'9' * 5000}', but must be {JOBS}"),
        ({"ZENFLOW_MAX_JOBS": "0"}, {}, f"ZENFLOW_MAX_JOBS is '0', but must be {JOBS}"),
        ({}, {"phase_timeout_s": "0"}, f"--phase-timeout is '0', but must be {POSITIVE}"),
        ({}, {"phase_timeout_s": "nan"}, f"--phase-timeout is 'nan', but must be {SECONDS}"),
        ({}, {"phase_timeout_s": "inf"}, f"--phase-timeout is 'inf', but must be {SECONDS}"),
        ({"PHASE_TIMEOUT_SEC": "1h"}, {}, f"PHASE_TIMEOUT_SEC is '1h', but must be {SECONDS}"),
        ({}, {"poll_interval_s": "0"}, f"--poll-interval is '0', but must be {POSITIVE}"),
        ({}, {"grace_s": "-1"}, f"--grace is '-1', but must be {SECONDS}"),
        ({}, {"resources": ["db=x"]}, "--resource is 'db=x', but must be NAME=N, such as db=1"),
        ({}, {"resources": ["db=1" + "0" * 16]}, f"--resource is 'db=1{'0' * 16}', but {MOST}"),
    ],
)
def test_a_bad_value_is_refused_by_name(environ, given, message):
    with pytest.raises(ZfError) as caught:
        settle(environ, **given)
    assert str(caught.value) == message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("given", "value", "source"),
    [
        ({"project": Project(sign=True)}, True, "zf.yaml"),
        ({"project": Project(sign=False)}, False, "zf.yaml"),
        ({"project": Project(sign=True), "sign": False}, False, "--no-sign"),
        ({"sign": True}, True, "--sign"),
    ],
)
def test_signing_is_asked_for_by_flag_or_project_file(given, value, source):
    chosen = settle(**given).sign
    assert (chosen.value, chosen.source) == (value, source)


def test_an_amount_is_taken_as_it_was_typed():
    """All its digits: as in zf.yaml, which may say as much."""
    options = RunOptions("run-phase", {"resources": ["db=1", "mem_mb=12345678901"]})
    assert options.resources == {"db": 1, "mem_mb": 12345678901}


def test_each_setting_is_an_option_and_a_key_of_zf_yaml_is_a_field_of_the_project():
    assert {o.name for o in OPTIONS.values() if o.is_setting} == set(Settings.__struct_fields__)
    keys = {o.name for o in OPTIONS.values() if o.key}
    assert keys <= set(Project.__struct_fields__)


@pytest.mark.parametrize("verb", EVERY_RUN)
def test_no_flag_means_two_things(verb):
    mine = [option for option in OPTIONS.values() if verb in option.verbs]
    flags = [flag for option in mine for flag in (*option.flags, option.off) if flag]
    assert len(flags) == len(set(flags)) > 5


def test_settings_come_back_from_a_run_json():
    given = settle({"ZF_MAX_JOBS": "5"}, sign=True)
    assert Settings.from_json(given.as_json()) == given


def test_no_grace_at_all_is_allowed():
    assert settle(grace_s="0").grace_s.value == 0
