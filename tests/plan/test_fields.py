"""Values of the project's own that conditions ask for, against those that are there."""

from tests.support.plan_files import good, said
from zf.plan.conditions.condition import Field, parse
from zf.plan.conditions.fields import Unknown, unknown_fields


def test_those_that_are_not_there_are_found_with_what_was_meant():
    condition = parse("input.evn == 'x' && needs.a.v && matrix['py'] == 'x' && input.env == '1'")
    known = {"input.env", "matrix.py", "needs.b.v"}
    assert [*unknown_fields(condition, known)] == [
        Unknown(Field("input", ("evn",)), 0, 9, "did you mean 'input.env'?"),
        Unknown(Field("needs", ("a", "v")), 20, 9, "did you mean 'needs.b.v'?"),
    ]
    assert [*unknown_fields(condition, {*known, "input.evn", "needs.a.v"})] == []
    assert [one.hint for one in unknown_fields(condition, ())] == [None] * 4


def test_a_condition_that_asks_for_one_is_refused_when_the_files_are_read(tmp_path):
    text = good("x") + "condition: always() && input.env == 'prod'\n"
    assert said(tmp_path, {"x": text}) == (
        "tasks/x/task.yaml:5:24: error[ZF260]:"
        " the condition asks for 'input.env', which is not known here\n"
        "  5 | condition: always() && input.env == 'prod'\n"
        "    |                        ^^^^^^^^^"
    )
