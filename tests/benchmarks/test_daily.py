"""What `python -m benchmarks.daily` counts, with a shell's own commands in place of a runner."""

from benchmarks.daily import TOOLS, Loop, Tool, go_through, table

CODE = 'return base64.urlsafe_b64encode(string).rstrip(b"=")\n'
SHELL = Tool(
    "sh",
    run="cat src/its*/encoding.py",
    enter=". /dev/null",
    attempt="echo 1 failed",
    again="wc -l src/its*/*",
)


def test_a_loop_is_typed_and_counted_and_leaves_the_code_as_it_was(tmp_path):
    code = tmp_path / "src/itsdangerous/encoding.py"
    code.parent.mkdir(parents=True)
    code.write_text(CODE)
    loop = go_through(SHELL, str(tmp_path), "/usr/bin:/bin", 0.0)
    assert code.read_text() == CODE
    typed = [SHELL.run, SHELL.run, SHELL.enter, SHELL.attempt, SHELL.again]
    assert loop.commands == len(typed)
    assert loop.keys == sum(len(line) + 1 for line in typed)
    # Of each what Enter shows, and what is printed: the code twice, a word, a count.
    assert loop.lines == 5 + 4
    steps = ["all pass", "a test fails", "the shell opens", "tried in it", "it passes again"]
    assert list(loop.waited) == steps


def test_the_table_has_medians_and_leaves_out_steps_that_a_tool_has_not():
    loops = [Loop(2, keys, 10, 1.0, {"all pass": 1.0, "and is left": 0.5}) for keys in (1, 3, 8)]
    told = table({"zf": loops, "just": [Loop(5, 40, 9, 8.0, {"all pass": 2.0})]})
    assert "keys                     3        40\n" in told
    assert "seconds in all        2.50     10.00\n" in told
    assert told.endswith("- and is left         0.50          ")


def test_each_tool_that_watches_says_when_it_is_over():
    assert {tool.name for tool in TOOLS if tool.told} == {"zf", "task"}
    assert all(tool.again or tool.told for tool in TOOLS)
