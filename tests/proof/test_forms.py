"""Every JSON file of a proof is held against its schema, whatever a stranger has written into it."""

import json
import random
import shutil
from contextlib import ExitStack
from pathlib import Path

import jsonschema
import pytest

from tests.support import proof_bundles, proof_mutations, proof_schemas
from tests.support.forged_seal import seal
from tests.support.proof_bundles import BEGAN
from tests.support.proof_keys import make_keys
from zf.audit.exporting.export import export
from zf.audit.signing.attest import attest, signer_for
from zf.audit.verify import verify
from zf.errors import ZfError
from zf.proof import forms

# As text, since no Python value is written as most of them are.
HOSTILE = (
    *("null", "true", "0", "-1", "1.5", '""', '"../../x"', '"x/y"', "[]", "{}", "[null]", "[[]]"),
    *("1e999", "-1e999", "1" * 400, "1" * 5000, "1e400", "-0.0", "NaN", "Infinity"),
    *('"\\ud800"', '"\\u0000"', '"\\u202e"', '"' + "x" * 100_000 + '"', '{"a":1,"a":2}', '{"":0}'),
    *("[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900, "[" * 100_000 + "]" * 100_000),
)
MARK = "the place"


def places(value, path=()):
    """Every place in a JSON value, itself included."""
    yield path
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def with_at(value, path, text: str) -> str:
    """The value as JSON text with another text at a place."""
    if not path:
        return text
    copy = json.loads(json.dumps(value))
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = MARK
    return json.dumps(copy, separators=(",", ":")).replace(json.dumps(MARK), text)


def remake(run: Path) -> None:
    """Everything that names a digest, made anew around what was changed."""
    proof_mutations.repair_lists(run)
    proof_mutations.repair_journal(run)
    seal(str(run))


def harms(run: Path):
    """Each JSON file and journal line of a run, with each of its places."""
    for path in sorted(run.rglob("*.json")):
        name = str(path.relative_to(run))
        if "30-artifacts" not in name and ".dsse." not in name:
            value = json.loads(path.read_bytes())
            yield from ((name, None, value, place) for place in places(value))
    for number, line in enumerate((run / "events.jsonl").read_text().splitlines()):
        event = json.loads(line)
        for place in places(event):
            if place[:1] not in {("prev",), ("seq",)}:
                yield "events.jsonl", number, event, place


def replaced(run: Path, name: str, number: int | None, text: str) -> None:
    data = (run / name).read_text()
    if number is None:
        (run / name).write_text(text + "\n")
        return
    lines = data.splitlines(keepends=True)
    lines[number] = text + "\n"
    (run / name).write_text("".join(lines))


def is_allowed(name: str, text: str) -> bool | None:
    """What a JSON Schema validator of others says; None where the schema says nothing on it."""
    try:
        value = json.loads(text, parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError, RecursionError):
        return False
    form = "event" if name == "events.jsonl" else forms.form_of(name)
    if form is None:
        return None
    schema = proof_schemas._LOADED[f"{form}.schema.json"]
    if form == "event":
        kind = value.get("type") if isinstance(value, dict) else None
        schema = schema["$defs"].get(kind, {"not": {}}) if isinstance(kind, str) else {"not": {}}
    validator = jsonschema.Draft202012Validator(schema, registry=proof_schemas._REGISTRY)
    try:
        return all(
            error.validator == "additionalProperties" for error in validator.iter_errors(value)
        )
    except RecursionError:
        return False


@pytest.fixture(scope="module")
def signed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("signed")
    keys = make_keys(folder)
    made = proof_bundles.small(folder / "proofs")
    with ExitStack() as opened:
        attest(str(made.path), [signer_for(str(keys / "alice"), opened)])
    return made.path


def test_any_field_replaced_by_any_value_is_judged_and_never_a_traceback(signed, request):
    rng = random.Random(12)
    copy = signed.parent / "copy"
    every = [(harm, text) for harm in harms(signed) for text in HOSTILE]
    if not request.config.getoption("--campaign"):
        # Half of the places, and each value many times.
        every = [(h, rng.choice(HOSTILE)) for h in harms(signed) if rng.random() < 0.5]
    seen = set()
    for (name, number, value, place), text in every:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(signed, copy)
        harmed = with_at(value, place, text)
        replaced(copy, name, number, harmed)
        if not name.startswith("attest/"):
            shutil.rmtree(copy / "attest")  # it says what was true before
            remake(copy)
        found = verify(str(copy), now=BEGAN + 60)
        told = f"{name}:{number} {place} = {text[:60]}"
        assert found.exit_code in ({0, 1, 4} if name.startswith("attest/") else {0, 1}), told
        json.dumps(found.as_json(), allow_nan=False).encode("ascii")
        found.render().encode()
        seen.add(found.exit_code)
        if is_allowed(name, harmed) is False:  # as another validator says
            assert found.exit_code == 1, told
        with pytest.raises(ZfError) if found.exit_code else ExitStack():
            export(str(copy), str(copy) + ".tar", kind="ro-crate")
        Path(f"{copy}.tar").unlink(missing_ok=True)
    assert seen >= {0, 1}


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xff\xfe", b"\xed\xa0\x80", b"{", b"null\n", b"[]\n", b'"x"\n', b"\x00" * 10),
        *(b"[" * 900 + b"]" * 900 + b"\n", b'{"a":' * 900 + b"1" + b"}" * 900 + b"\n"),
        b'{"x":1e999}\n',
        b'{"x":' + b"9" * 5000 + b"}\n",
        b'{"x":"' + b"y" * 17_000_000 + b'"}\n',
        b'{"x":1,"x":1}\n',
    ],
    ids=lambda data: f"{len(data)}-{data[:4]!r}",
)
def test_any_file_replaced_by_any_bytes_is_judged_and_never_a_traceback(signed, data):
    copy = signed.parent / "copy"
    for name in proof_mutations.files(signed):
        if "30-artifacts" in name:
            continue
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(signed, copy)
        (copy / name).write_bytes(data)
        if name != "events.jsonl" and not name.startswith("attest/") and ".sha256" not in name:
            remake(copy)
        found = verify(str(copy), now=BEGAN + 60)
        assert found.exit_code in ({4} if name.endswith(".sig") else {0, 1}), name
        assert found.exit_code != 0 or forms.form_of(name) is None, name


def test_what_an_id_may_be_is_asked_everywhere(tmp_path):
    """A run id that leads out of a folder was INTACT, and `zf export` followed it."""
    made = proof_bundles.Run(tmp_path, "r1").plan(one=())
    made.attempt("one")
    made.end()
    assert verify(str(made.path)).exit_code == 0
    for path in (made.path / "run.json", made.path / "events.jsonl"):
        path.write_text(path.read_text().replace('"r1"', '"../../x"'))
    status = made.path / "one/99-summary/status.json"
    status.write_text(status.read_text().replace('"r1"', '"../../x"'))
    remake(made.path)
    found = verify(str(made.path))
    assert found.exit_code == 1
    assert {f.path for f in found.findings if f.kind == "form"} >= {
        "run.json",
        "events.jsonl",
        "one/99-summary/status.json",
    }
    target = tmp_path / "out/deep/x.tar"
    target.parent.mkdir(parents=True)
    for kind in ("tar", "bagit", "ro-crate"):
        with pytest.raises(ZfError, match="does not verify") as refused:
            export(str(made.path), str(target), kind=kind)
        assert refused.value.exit_code == 1
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == []


def test_a_file_nobody_knows_at_the_top_of_a_sealed_run_is_a_finding(tmp_path):
    made = proof_bundles.small(tmp_path)
    (made.path / "README.html").write_text("All is well.")
    seal(str(made.path))
    found = verify(str(made.path))
    assert found.exit_code == 1
    assert [(f.kind, f.path) for f in found.findings] == [("surplus", "README.html")]


def test_a_later_form_is_named_and_an_earlier_one_is_read():
    assert forms.problems("status", {"schema": "zf/status/v99"}) == [
        "is of the form 'zf/status/v99', which this zf does not know"
    ]
    assert any("lacks" in problem for problem in forms.problems("run", {"schema": "zf/run/v1"}))


@pytest.mark.parametrize("form", ["run", "plan", "status", "step", "recorded-task", "blocked"])
def test_each_form_has_a_schema_for_each_version(form):
    assert list(forms._versions(form).values())[-1] == f"{form}.schema.json"
