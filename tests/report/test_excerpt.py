"""The tail of a failed step holds the assertion, as the test runners of the day print it."""

import pytest

from zf.report.excerpt import excerpt

NOISE = [f"captured line {number}" for number in range(60)]

LOGS = {
    "pytest, with captured output": (
        [
            "=================================== FAILURES ===================================",
            "__________________________________ test_grade __________________________________",
            "",
            "    def test_grade():",
            "        response = get('/grades')",
            ">       assert response.status_code == 200",
            "E       assert 403 == 200",
            "E        +  where 403 = <Response [403]>.status_code",
            "",
            "tests/test_grades.py:141: AssertionError",
            "----------------------------- Captured stdout call -----------------------------",
            *NOISE,
            "=========================== short test summary info ============================",
            "FAILED tests/test_grades.py::test_grade - assert 403 == 200",
            "========================= 1 failed, 211 passed in 3.21s =========================",
        ],
        [">       assert response.status_code == 200", "E       assert 403 == 200"],
    ),
    "mocha under npm": (
        [
            "  211 passing (31ms)",
            "  1 failing",
            "",
            "  1) grades",
            "       are private:",
            "",
            "      AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:",
            "",
            "403 !== 200",
            "",
            "      + expected - actual",
            "",
            "      -403",
            "      +200",
            "      ",
            "      at Context.<anonymous> (test/grades.js:5:14)",
            *["      at process.processImmediate (node:internal/timers:476:21)"] * 8,
            "npm ERR! code ELIFECYCLE",
            "npm ERR! errno 1",
        ],
        [
            "       are private:",
            "      AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:",
            "403 !== 200",
        ],
    ),
    "ctest with an assertion of gtest": (
        [
            "    Start 2: grades",
            "2/2 Test #2: grades ...........................***Failed    0.01 sec",
            "[ RUN      ] Grades.Private",
            "/src/grades_test.cpp:14: Failure",
            "Expected equality of these values:",
            "  response.status",
            "    Which is: 403",
            "  200",
            "[  FAILED  ] Grades.Private (0 ms)",
            *NOISE,
            "50% tests passed, 1 tests failed out of 2",
            "Total Test time (real) =   0.02 sec",
            "The following tests FAILED:",
            "\t  2 - grades (Failed)",
            "Errors while running CTest",
        ],
        ["/src/grades_test.cpp:14: Failure", "    Which is: 403"],
    ),
    "ctest with assert()": (
        [
            "2/2 Test #2: grades ...........................Subprocess aborted***Exception:   0.01 sec",
            "grades: /src/grades.c:14: main: Assertion `status == 200' failed.",
            *NOISE,
            "Errors while running CTest",
        ],
        ["grades: /src/grades.c:14: main: Assertion `status == 200' failed."],
    ),
    "go test of many packages": (
        [
            "ok  \texample.com/a\t0.002s",
            "--- FAIL: TestGrades (0.00s)",
            "    grades_test.go:9: got 403, want 200",
            "FAIL",
            "FAIL\texample.com/grades\t0.002s",
            *[f"ok  \texample.com/p{number}\t0.002s" for number in range(40)],
            "FAIL",
            "make: *** [Makefile:2: test] Error 1",
        ],
        ["    grades_test.go:9: got 403, want 200"],
    ),
    "cargo test": (
        [
            "failures:",
            "",
            "---- tests::grades stdout ----",
            "",
            "thread 'tests::grades' panicked at src/lib.rs:10:9:",
            "assertion `left == right` failed",
            "  left: 403",
            " right: 200",
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
            *NOISE,
            "failures:",
            "    tests::grades",
            "",
            "test result: FAILED. 211 passed; 1 failed; 0 ignored; finished in 0.00s",
            "",
            "error: test failed, to rerun pass `--lib`",
        ],
        ["thread 'tests::grades' panicked at src/lib.rs:10:9:", "  left: 403", " right: 200"],
    ),
    "pytest in colour": (
        [
            "\x1b[1m\x1b[31mE       assert 403 == 200\x1b[0m",
            *NOISE,
            "\x1b[31m===== \x1b[31m\x1b[1m1 failed\x1b[0m\x1b[31m in 0.1s =====\x1b[0m",
        ],
        ["\x1b[1m\x1b[31mE       assert 403 == 200\x1b[0m"],
    ),
}


@pytest.mark.parametrize(("log", "wanted"), LOGS.values(), ids=LOGS)
def test_ten_lines_hold_the_assertion_and_the_end(log, wanted):
    shown = excerpt(log, 10)
    assert len(shown) == 10
    assert [line for line in wanted if line not in shown] == []
    assert shown[-1] == log[-1]
    [note] = [line for line in shown if line.endswith(" lines left out]")]
    left_out = int(note[1:].split()[0])
    start = log.index(shown[0])
    assert left_out == len(log) - start - (len(shown) - 1)


def test_what_is_no_report_of_tests_is_its_end():
    assert excerpt(NOISE, 10) == NOISE[-10:]
    assert excerpt([], 10) == []
    assert excerpt(["one"], 10) == ["one"]


def test_an_assertion_within_the_end_changes_nothing():
    log = [*NOISE, "E       assert 1 == 2", *NOISE[:7]]
    assert excerpt(log, 10) == log[-10:]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_too_few_lines_for_both_are_the_end(most):
    log = ["E       assert 1 == 2", *NOISE]
    assert excerpt(log, most) == log[-most:]
