"""INTACT and COMPLETE as conventions/PROOFS_CONVENTION.md has them, and nothing of zf."""
# ruff: noqa: PT018, DTZ007 - it is to be short enough to be read beside the page

import json
import re
from datetime import datetime
from decimal import Decimal
from functools import cache, partial
from hashlib import sha256
from itertools import product
from math import prod
from pathlib import Path
from posixpath import join, normpath
from subprocess import run
from tempfile import TemporaryDirectory

ID, NAME = (
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(?:@[A-Za-z0-9_=,.+-]{1,100})?",
    re.compile(r"(?!\.\.?\Z|-\Z| )[ -\[\]-~]+"),
)
TREE = r"(00-meta|10-commands|20-logs|30-artifacts|40-checksums|99-summary)"
KINDS = (
    r"(run|phase|attempt)_(started|ended)|(run|phase)_timed_out|run_resumed|task_not_run|interrupted"
    r"|cancel_requested|condition_evaluated|retry_(scheduled|dropped)|throttle_(entered|left)"
    r"|lease_(awaited|taken)|budget_warned|cached|cache_missed|plan_extended|probe|approval_(asked|given|refused)|run_suspended|service_(started|ended)"
    r"|handler_(claimed|ended)|attempt_placed|result_quarantined|executor_drained"
)
SAID = "status|exit_code|signal|attempt|cause|detail|step|started_at|completed_at|duration_s|needs"
ATTEST = r"attest/(statement\.(json(\.sig|\.tsr)?|dsse\.json)|test-result\.(dsse\.)?json)"
FORMS = Path(__file__).resolve().parents[2] / "docs/reference/schemas"
PLACE = rf"{ID}/(?:attempts/\d+/)?"
FORM = {
    r"(run|plan|blocked)\.json": "",
    rf"{PLACE}00-meta/task\.json": "recorded-task",
    rf"{PLACE}10-commands/(commands)\.json": "",
    rf"{PLACE}10-commands/(step|cleanup)-\d+\.json": "step",
    rf"{PLACE}30-(cache)\.json": "",
    rf"{PLACE}40-checksums/(artifacts)\.json": "",
    rf"{PLACE}99-summary/(status)\.json": "",
    rf"{PLACE}99-summary/approval(?:-\d+)?\.json": "approval",
    rf"{PLACE}30-(outputs)\.json": "",
}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
HANDED, HERE = "30-outputs.json", ("include", "exclude")
TOP = {"run.json", "plan.json", "events.jsonl", "blocked.json", "MANIFEST.sha256"}


def verify(top):
    """Whether the run is INTACT, and whether it is COMPLETE; the latter means little alone."""
    try:
        there = {str(path.relative_to(top)): path for path in Path(top).rglob("*")}
        return True, check(there, {p for p, path in there.items() if path.is_dir()})
    except (AssertionError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False, False


def once(pairs):
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


parse = partial(json.loads, object_pairs_hook=once, parse_constant=float.fromhex)


@cache
def schema(name, version):
    """Version 1 of a form has a folder of its own."""
    old = FORMS / "v1" / f"{name}.schema.json"
    return json.loads((old if version == 1 and old.exists() else FORMS / old.name).read_text())


def fits(value, form, name="", version=0):
    """Whether a value has a form: JSON Schema, as far as these forms use it."""
    if "$ref" in form:
        name = form["$ref"].split(".")[0] if form["$ref"][0] != "#" else name
        top = schema(name, version)
        key = form["$ref"].removeprefix("#/$defs/")
        return fits(value, top if key == form["$ref"] else top["$defs"][key], name, version)
    kinds = form.get("type", [])
    number = type(value) in {int, float} and abs(value) < (2**63 if type(value) is int else 1e309)
    whole = number and type(value) is int
    real = {"number": number, "integer": whole} | {k: type(value) is t for k, t in TYPES.items()}
    assert not kinds or any(real[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))
    assert "const" not in form or (type(value), value) == (type(form["const"]), form["const"])
    assert (type(value), value) in [(type(v), v) for v in form.get("enum", [value])]
    assert not number or value >= form.get("minimum", value)
    assert type(value) is not str or re.search(form.get("pattern", ""), value, re.ASCII)
    assert type(value) is not str or "pattern" not in form or "\n" not in value
    if type(value) is dict:
        assert not set(form.get("required", ())) - set(value)
        for key, item in value.items():
            part = form.get("properties", {}).get(key, form.get("additionalProperties"))
            assert type(part) is not dict or fits(item, part, name, version)
    for item in value if type(value) is list and "items" in form else ():
        assert fits(item, form["items"], name, version)
    return True


def hashed(value, newline=b"\n", *, ordered=True):
    text = json.dumps(value, sort_keys=ordered, separators=(",", ":"))
    return sha256(text.encode() + newline).hexdigest()


def formed(path, data):
    for pattern, called in FORM.items():
        if found := re.fullmatch(pattern, path):
            value, name = parse(data), called or found[1]
            version = 1 if name == "commands" and type(value) is dict else 0
            version = 1 if type(value) is dict and "/v1" in str(value.get("schema")) else version
            assert type(value) is (list if name == "commands" and not version else dict)
            assert fits(value, schema(name, version), name, version)
    return True


def listed(data, prefix=""):
    rows = re.findall(r"([0-9a-f]{64})  (.+)\n", data.decode("ascii"))
    paths = [path for _, path in rows]
    assert (sum(67 + len(path) for path in paths), paths) == (len(data), sorted(set(paths)))
    assert all(NAME.fullmatch(name) for path in paths for name in path.split("/"))
    return {prefix + path: digest for digest, path in rows}


def beside(t, e):
    assert (t["open"], t["began"]) == (True, e["attempt"])
    if e["type"] == "attempt_placed":
        t.setdefault("placed", {})[e["attempt"]] = e
        return
    one = t.setdefault("services", {}).setdefault((e["attempt"], e["name"]), [])  # 17
    one.append(e)
    assert len({*map(str, ((s["ports"], s["phase"]) for s in one))}) == 1
    assert [s["type"] for s in one] == ["service_started", "service_ended"][: len(one)]


def journal(lines):
    prev, first, tasks, over, joined, claimed = "0" * 64, None, {}, False, {}, {}
    for number, e in enumerate(map(parse, lines)):
        assert (e["seq"], e["prev"], type(e["seq"]), over) == (number, prev, int, False)  # 4
        assert datetime.strptime(e["wall"], "%Y-%m-%dT%H:%M:%S.%fZ") and len(e["wall"]) == 27
        assert type(e["mono"]) in {int, float} and abs(e["mono"]) < 1e12
        assert re.fullmatch(KINDS, e["type"]) and (e["type"] == "run_started") == (number == 0)  # 5
        first, over = first or e, e["type"] == "run_ended"
        prev = sha256(lines[number]).hexdigest()
        assert e["run"] == first["run"]
        assert fits(e, schema("event", 0 if "schema" in first else 1)["$defs"][e["type"]])
        if e["type"] in {"attempt_started", "attempt_ended", "task_not_run"}:
            t = tasks.setdefault(e["task"] + "", {"began": 0, "open": 0, "end": None, "all": {}})
            assert t["open"] == (e["type"] == "attempt_ended")
            t["open"] = e["type"] == "attempt_started"
            t["found"] = None if t["open"] else t.get("found")
            well = e["type"] == "attempt_ended" and e["status"] == "success"
            assert not (well and t.get("probes")) or t["probes"][-1]["result"] == "good"
            t["probes"] = [] if t["open"] else t.get("probes")
            t["began"] += t["open"]
            assert e["attempt"] == t["began"] if "attempt" in e["type"] else t["end"] is None
            t["end"] = None if t["open"] else e
            t["all"] |= {t["began"]: e} if e["type"] == "attempt_ended" else {}
            t["claimed"] = e["task"] in claimed
            ends = "success|failure|timeout|blocked|skipped|cancelled|lost"
            assert t["open"] or re.fullmatch(ends, e["status"])
        elif e["type"] in {"cached", "cache_missed"}:
            t = tasks[e["task"]]
            assert (t["open"], t["began"], t["found"]) == (True, e["attempt"], None)
            t["found"] = e
        elif e["type"] == "handler_claimed":
            assert e["task"] not in claimed and e["task"] not in tasks
            claimed[e["task"]] = False
        elif e["type"] == "handler_ended":
            assert claimed[e["task"]] is False and tasks[e["task"]]["end"]["status"] == e["status"]
            claimed[e["task"]] = True
        elif e["type"] == "probe":
            t = tasks[e["task"]]
            t["probes"].append(e)
            assert (t["open"], t["began"], len(t["probes"])) == (True, e["attempt"], e["number"])
        elif e["type"] == "attempt_placed" or (e["type"].startswith("service_") and e["task"]):
            beside(tasks[e["task"]], e)
        elif e["type"] == "retry_scheduled":
            t = tasks[e["task"]]
            assert (t["open"], t["began"] + 1) == (False, e["attempt"])
        elif e["type"] == "plan_extended":
            assert e["base"] not in joined and not {o["id"] for o in e["instances"]} & set(tasks)
            joined[e["base"]] = e
    return first, tasks, e if over else None, joined


def alike(*values):
    return any("***" in repr(value) for value in values) or values[0] == values[1]


def limits(lines, plan, rows):  # 14
    phases = {row["name"]: row for row in plan["phases"]}
    events = [*map(parse, lines)]
    resumed = [n for n, e in enumerate(events) if e["type"] == "run_resumed"]
    known = {"phase_started", "phase_ended", "phase_timed_out"}
    assert all(e["phase"] in phases for e in events if e["type"] in known)
    for e in events[: min([*resumed, len(events)])]:
        assert e["type"] != "run_started" or e["phases"] == [*phases]
        assert e["type"] != "phase_started" or e["timeout_s"] == phases[e["phase"]]["timeout_s"]
        assert "concurrency" not in e or e["concurrency"] == rows[e["task"]].get("concurrency")
    known = [r for r in rows.values() if r.get("base") in plan.get("instances", {})]
    whole = [r["base"] for r in known if phases[r["phase"]].get("whole")]
    assert all(whole.count(base) == plan["instances"][base] for base in whole)
    return bool(resumed)


def counted(last, tasks, many):  # 14
    ends = [t["end"]["status"] for t in tasks.values() if t["end"]]
    counts = {**last["counts"]}
    assert counts.pop("waiting", 0) + counts.pop("running", 0) == many - len(ends)
    assert all(counts.get(word, 0) == ends.count(word) for word in {*counts, *ends})


ROW = "title phase file line needs parallel_safe base matrix outputs origins max_parallel"
PAIRS = [(key, key, None) for key in ROW.split()] + [
    ("timeout_s", "timeout_sec", None),
    ("log_tail", "log_tail", None),
    ("resources", "resources", {}),
    ("concurrency", "concurrency", ""),
    ("start_after_s", "start_after", 0),
]


def acted(root, t, e, files):
    task = parse(files.get(f"{root}00-meta/task.json") or b"{}")
    ours = task and e["type"] == "attempt_ended"
    assert not ours or ("on_end" in task) == t["claimed"]
    well = ours and e is t["end"] and e["status"] == "success"
    assert not well or "repeat" not in task or t["probes"]


STEP = r"10-commands/step-\d+\.json$"
PLACES = ("schema", "run_id", "started_at", "hostname", "user", "pwd")


def told(root, row, paper, e, files, own, handed, resumed, plan, t):  # 15
    at = lambda path: files.get(f"{root}{path}")  # noqa: E731
    ours = e["type"] == "attempt_ended"
    status = parse(at("99-summary/status.json") or b"{}")
    keys = [("title", "title"), ("phase", "phase"), ("timeout_sec", "timeout_s")]
    joined = row["id"] not in [one["id"] for one in plan["tasks"]]
    assert joined or all(alike(status[a], row[b]) for a, b in keys if "title" in status)
    kept = len([p for p in files if p.startswith(f"{root}30-artifacts/")])
    unlike_v2 = not ours or status.get("schema") != "zf/status/v2"
    assert unlike_v2 or (status.get("artifacts"), status["needs"]) == (kept, {})
    idle = [0, *[e.get("at")] * 2, 0, *[None] * 3] if status and not ours else []
    when = "attempt started_at completed_at duration_s exit_code signal step"
    assert not idle or [status[key] for key in when.split()] == idle
    for key in ("tests", "metrics", "measures") if status and ours else ():
        here, there = status.get(key) or {}, e.get(key) or {}
        names = ({*here} | {*there}) - {"steps", "cleanup"}
        both = names if key == "measures" else {*here} & {*there}
        same = {n: here.get(n) for n in both} == {n: there.get(n) for n in both}
        assert key not in e or (
            same and bool(here) == bool(there) if key != "metrics" else here == there
        )
    task = parse(at("00-meta/task.json") or b"{}")
    if task.get("schema") != "zf/task/v2":
        return
    for in_row, in_task, silent in PAIRS:
        due = not joined or in_row in {"base", "matrix", "outputs", "origins"}
        assert not due or alike(task.get(in_task, silent), row.get(in_row, silent))
    assert joined or alike(
        [{k: s[k] for k in ("name", "line")} for s in task["commands"]], row["steps"]
    )
    assert joined or (task["id"], "arguments" in task) == (row["id"], "arguments" in row)
    if not joined and "***" not in repr(task):
        said = [(k, v) for k, v in task.items() if k not in PLACES]
        end = [k for k, _ in said].index("line") + 1
        first, later = dict(said[:end]), {k: v for k, v in said[end:] if k != "origins"}
        if task["file"] and not task["file"].endswith("/task.yaml"):
            first["line"] = 0
            for key in ("commands", "cleanup"):
                first[key] = [{**step, "line": 0} for step in first[key]]
        values = [*first.values(), *([later] if later else [])]
        assert row.get("sha256") in {None, hashed(values, newline=b"", ordered=False)}
        runs = [[s["run"] for s in task[key]] for key in ("commands", "cleanup")]
        assert row.get("script_sha256") in {None, hashed(runs, newline=b"")}
    assert alike(task["run_id"], paper["run_id"])
    placed = t.get("placed", {}).get(e.get("attempt"))
    at_home, there = (paper["host"], paper["user"]), (task["hostname"], task["user"])
    assert resumed or "executor" in status or there == at_home
    for here, key in zip(
        (*there, status.get("executor")), ("host", "user", "executor"), strict=True
    ):
        assert not placed or alike(here, placed[key])
    assert "arguments" not in row or alike(task["arguments"], paper.get("arguments"))
    assert task["started_at"] == e.get("started_at", e.get("at"))
    walled(root, task, status, e, files)
    commands(at, root, task, status, e, own)
    if at("00-meta/env.sh") is not None:
        surroundings(
            at("00-meta/env.sh").decode("utf-8", "surrogateescape"), task, paper, e, handed
        )


def walled(root, task, status, e, files):  # 16
    box = task.get("sandbox", {})
    walls = ["container"] if task.get("container") else ["sandbox"] if box else []
    walls += ["none"] if box.get("if_available") and "sandbox" in walls else []
    steps = [parse(x) for p, x in files.items() if re.match(rf"{re.escape(root)}{STEP}", p)]
    due = walls and e.get("status") == "success" and any(s["status"] == "success" for s in steps)
    if status and ("isolation" in status or due):
        assert status["isolation"].split(":")[0] in walls


def commands(at, root, task, status, e, own):  # 15
    lists = at("10-commands/commands.json")
    bare = [{k: v for k, v in s.items() if k != "line"} for s in task["commands"]]
    assert lists is None or alike(parse(lists), bare)
    for kind, key in (("step", "commands"), ("cleanup", "cleanup")):
        for n, s in enumerate(task[key]):
            r, args = parse(at(f"10-commands/{kind}-{n}.json") or b"{}"), task.get("arguments", [])
            if not r:
                continue
            assert r["step"] == n and alike(r["name"], s["name"]) and r["line"] == s["line"]
            assert alike(r["argv"][len(r["argv"]) - len(args) :], args)
            shell = s.get("shell", [])
            assert r["argv"][: len(shell)] == shell or "{0}" in "".join(shell)
            assert r["script_sha256"] == own.get(f"{root}10-commands/{kind}-{n}.sh")
            log = f"20-logs/{kind}-{n}.log"
            assert r["log"] is None or (r["log"], r["log_sha256"]) == (log, own.get(root + log))
            assert r["log"] is None or r["log_bytes"] == len(at(log))
            assert r["status"] != "success" or (r["exit_code"], r["signal"]) == (0, None)
            if kind == "step":
                keys = {"exit": ("status", "signal", "exit_code"), "signal": ("status", "signal")}
                mine = keys.get(e["cause"], ()) if e.get("step") == n else ()
                assert all(r[key] == e[key] for key in mine)
                well = {"success", "skipped", "not_run"}
                tolerated = e["status"] != "success" or s.get("continue_on_error")
                assert tolerated or r["status"] in well
        listed = status.get("measures", {}).get("steps" if kind == "step" else kind, [])
        for m in listed:
            r = parse(at(f"10-commands/{kind}-{m[kind]}.json") or b"{}")
            assert m.get("output_bytes") == r.get("output_bytes")


def text(value):
    if type(value) is float:
        return format(Decimal(repr(value)), "f")
    listed = "\n".join(map(str, value)) if type(value) is list else str(value)
    return str(value).lower() if type(value) is bool else listed


def surroundings(env, task, paper, e, handed):  # 15
    pattern = r"export (\w+)='([^']*(?:'\\''[^']*)*)'\n"
    env = {name: value.replace("'\\''", "'") for name, value in re.findall(pattern, env)}
    name = lambda kind, key: f"{kind}_{key.upper().replace('-', '_')}"  # noqa: E731
    due = {"RUN_ID": task["run_id"], "TASK_ID": task["id"], "PHASE": task["phase"]}
    due |= {"ATTEMPT": str(e["attempt"])} if "attempt" in e else {}
    due |= {n: v for n, v in task["env"].items() if "$" not in v}
    due |= {name("MATRIX", axis): v for axis, v in task.get("matrix", {}).items()}
    taken = {n: source.rsplit(".", 1) for n, source in task.get("env_from", {}).items()}
    due |= {n: handed[a][b] for n, (a, b) in taken.items() if b in handed.get(a, {})}
    given = {name("INPUT", n): one for n, one in paper.get("inputs", {}).items()}
    due |= {n: text(one["value"]) for n, one in given.items() if "value" in one}
    assert all(alike(env[n], v) for n, v in due.items() if n in env)
    known = {*given, *task["env"], *due}
    assert all(n in known for n in env if n.startswith("INPUT_"))
    root = env.get("ZENFLOW_ROOT")
    assert root is None or alike(normpath(join(root, task["workdir"])), task["pwd"])


def served_beside(lines, own, sealed):
    """The logs of services of phases."""
    events = [e for e in map(parse, lines) if e["type"].startswith("service_")]
    mine = [e for e in events if e["task"] is None]
    ends = {e["log"]: e["log_sha256"] for e in mine if e["type"] == "service_ended"}
    going, resumed = {}, any(parse(line)["type"] == "run_resumed" for line in lines)
    for e in mine:
        key, ends_ = (e["phase"], e["name"]), e["type"] == "service_ended"
        assert e["attempt"] == 0 and (resumed or (key in going) == ends_)
        assert not ends_ or e["ports"] == going[key]["ports"]
        going[key] = e
        log = rf"service@{re.escape(e['phase'])}@{re.escape(e['name'])}(@\d+)?\.log"
        assert e["type"] == "service_started" or re.fullmatch(log, e["log"])
    assert all(own.get(p, d) == d and (not sealed or p in own) for p, d in ends.items())
    return {f"service@{e['phase']}@{e['name']}.log" for e in mine} | {*ends}


def served(root, task, e, files, own):  # 17
    mine = {n: x for (k, n), x in task.get("services", {}).items() if k == e.get("attempt")}
    said = parse(files.get(f"{root}99-summary/status.json", b"{}")).get("services", {})
    logs = {p for p in own if p.startswith(f"{root}20-logs/service-")}
    assert logs == {f"{root}20-logs/service-{n}.log" for n in mine}
    for n, (start, end) in mine.items():
        assert end["log"] == f"20-logs/service-{n}.log"
        assert own[root + end["log"]] == end["log_sha256"]
        assert all({**start, **end}[k] == v for k, v in said[n].items())
        assert all(said[n].get(k, "") == start.get(k, "") for k in ("image", "digest"))


def subject(first, e, rows, paper, plan, tasks, own):  # 18
    met, needs = plan["upstream"], {}
    for name in (need["task"] for need in rows[e["task"]]["needs"]):
        of = [name] if name in rows else [n for n, row in rows.items() if row.get("base") == name]
        for n in () if name in met else (n for n in of if tasks.get(n, {}).get("end")):
            end, tree = tasks[n]["end"], f"{n}/40-checksums/artifacts.sha256"
            needs[n] = [first["run"], end["status"], end["task_sha256"]]
            needs[n] += [own.get(f"{n}/{HANDED}", ""), own.get(tree, "")]
        needs |= (
            {name: [met[name]["run"], "success", met[name]["task_sha256"], "", ""]}
            if name in met
            else {}
        )
    keys = ("run", "status", "task_sha256", "outputs_sha256", "artifacts_sha256")
    return {
        "schema": "zf/approval-subject/v1",
        **{key: first[key] for key in ("run", "nonce", "plan_sha256", "run_sha256")},
        "task": e["task"],
        "attempt": e["attempt"],
        "definition_sha256": rows[e["task"]]["sha256"],
        "inputs": paper.get("inputs", {}),
        "needs": {n: dict(zip(keys, values, strict=True)) for n, values in needs.items()},
    }


def vouched(e, said):  # 18
    if e["how"] == "token":
        return e["approver"] in said["tokens"]
    with TemporaryDirectory() as folder:
        Path(folder, "signers").write_text(said["allowed_signers"])
        Path(folder, "sig").write_text(e["signature"])
        words = ["-Y", "verify", "-n", "zf-approval-v1", "-I", e["approver"]]
        words += ["-f", f"{folder}/signers", "-s", f"{folder}/sig"]
        done = run(["ssh-keygen", *words], input=e["statement"].encode(), capture_output=True)
    return done.returncode == 0 and e["key"] in done.stdout.decode().split()


def answered(e, one, first, said):  # 18
    s, asked, word = parse(e["statement"]), one["asked"], {"approval_given": "approve"}
    assert json.dumps(s, sort_keys=True, separators=(",", ":")) + "\n" == e["statement"]
    assert fits(s, schema("approval", 0), "approval")
    wanted = [first["run"], asked["task"], asked["attempt"], asked["sha256"], e["approver"]]
    assert [s[k] for k in ("run", "task", "attempt", "subject_sha256", "approver")] == wanted
    assert s["decision"] == word.get(e["type"], "reject") and s["approver"] in asked["by"]
    assert all(s[key] == e[key] for key in ("how", "source", "at"))
    true = sha256(e["statement"].encode()).hexdigest()
    assert e["type"] == "approval_given" or e["statement_sha256"] == true
    begin, late = datetime.fromisoformat(asked["wall"]), datetime.fromisoformat(s["at"])
    limit_s = asked.get("timeout_s")
    assert limit_s is None or (late - begin).total_seconds() <= limit_s
    who = {e["approver"], e["key"]}
    assert not (asked["four_eyes"] and who & {*said["triggered_by"], *said["trigger_keys"]})
    assert vouched(e, said) and one["no"] is None and len(one["given"]) < asked["min"]
    assert s["decision"] == "reject" or not who & {
        w for g in one["given"] for w in (g["approver"], g["key"])
    }


def approved(events, first, rows, paper, plan, tasks, own, files):  # 18
    open_ones, said, ended = {}, paper.get("approvals", {}), set()
    for number, e in enumerate(events):
        if e["type"] == "run_suspended":
            assert events[number + 1 :] == [] or events[number + 1]["type"] == "run_resumed"
            lacks = {k: one["asked"]["min"] - len(one["given"]) for k, one in open_ones.items()}
            waits = {k[0] for k, one in open_ones.items() if lacks[k] and not one["no"]}
            assert {*e["waiting"]} == waits - ended
        name, kind = e.get("task"), e["type"]
        assert not kind.startswith("approval_") or "approval" in rows[name]
        if name not in rows or "approval" not in rows[name]:
            continue
        key, terms = (name, e.get("attempt", 0)), rows[name]["approval"]
        if kind == "approval_asked":
            told = [terms["by"], terms["min"], terms.get("timeout_sec"), terms["four_eyes"]]
            assert [
                e.get(k) for k in ("by", "min", "timeout_s", "four_eyes")
            ] == told and key not in open_ones
            assert alike(e["prompt"], terms.get("prompt", ""))
            true = subject(first, e, rows, paper, plan, tasks, own)
            assert (e["subject"], e["sha256"]) == (true, hashed(true))
            open_ones[key] = {"asked": e, "given": [], "no": None}
        elif kind == "approval_given" or (kind == "approval_refused" and e["why"] == "rejected"):
            one = open_ones[key]
            answered(e, one, first, said)
            one |= {"given": [*one["given"], e]} if kind == "approval_given" else {"no": e}
        elif kind == "attempt_started":
            one = open_ones[key]
            assert one["no"] is None and len(one["given"]) == one["asked"]["min"]
            end = tasks[name]["all"].get(e["attempt"])
            if end and not {end["status"], end["cause"]} & {"lost", "storage"}:
                last = end is tasks[name]["end"]
                kept(f"{name}/" if last else f"{name}/attempts/{e['attempt']}/", one, files)
        elif kind == "task_not_run":
            ended.add(name)
            last = [one for (of, _), one in open_ones.items() if of == name][-1:]
            assert e["cause"] != "approval_rejected" or last[0]["no"]
            assert e["cause"] != "approval_timeout" or last[0]["asked"].get("timeout_s")
            assert [kept(f"{name}/", one, files) for one in last] in [[], [None]]


def kept(root, one, files):
    for number, e in enumerate([*one["given"], *([one["no"]] if one["no"] else [])], 1):
        at = f"{root}99-summary/approval{f'-{number}' if number > 1 else ''}.json"
        assert files[at] == e["statement"].encode()
        assert files[f"{at}.sig"] == e["signature"].encode()


def cached(name, status, end, found, files):
    source, at = end.get("cached_from", {}), f"{name}/30-cache.json"
    told = found and found["type"] == "cached" and end["status"] == "success" and found
    assert source == ({"run": told["origin"], "task": name, "head": told["head"]} if told else {})
    if source:
        assert (end["status"], end.get("measures", {}), at in files) == ("success", {}, True)
        assert source["run"] != status["run_id"]
        steps = [p for p in files if re.fullmatch(rf"{name}/10-commands/\w+-\d+\.json", p)]
        assert all(parse(files[p])["status"] == "not_run" for p in steps)
    for record in [parse(files[at])] if at in files else ():
        parts, left = record["parts"], record["generates"]
        assert (record["task"], record["cached_from"]) == (name, source)
        assert not source or not (record["stored"] or left)
        assert not record["why_not"] or not (source or record["stored"])
        assert record["why_not"] or source or record["stored"]
        assert not told or told["key"] == record["key"]
        bare = [p for p in parts.values() if "value" not in p]
        assert len(bare) == len(parts) or all("count" in p for p in bare)
        assert all(p["sha256"] == hashed(p["value"]) for p in parts.values() if "value" in p)
        key = {"parts": {n: p["sha256"] for n, p in parts.items()}}
        assert record["key"] == hashed({**key, "hidden": sorted(record["hidden"])})
        shown = [f for f in left.get("folders", {}).values() if "entries" in f]
        assert all(f["sha256"] == hashed(f["entries"]) for f in shown)


def planned(plan):
    rows = {row["id"]: row for row in plan["tasks"] if instance(row)}
    bases = [row["base"] for row in rows.values() if "base" in row]
    sizes = plan.get("instances", {})
    assert set(bases) == set(sizes) and all(bases.count(b) <= size for b, size in sizes.items())
    return rows


def instance(row):
    base, at, tail = row["id"].partition("@")
    values = row.get("matrix", {})
    assert (row.get("base"), "matrix" in row, bool(values)) == (
        base if at else None,
        *[bool(at)] * 2,
    )
    whole = sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode())
    axes = [pair.split("=") for pair in tail.split(",") if at]
    for axis, told in axes if len(dict(axes)) == len(axes) else [("", "")]:
        text = values.get(axis, "")
        kept = re.sub(r"[^A-Za-z0-9._+]+", "-", text)[:20].strip("-.") or "x"
        mark = f"{kept}-{sha256(text.encode()).hexdigest()[:8]}"
        rest = {whole.hexdigest()[:12]} if axis == "etc" else set()
        assert told in ({text, mark} if axis in values else rest)
    return True


def claims(status, name, paper, end):  # 10
    assert all(status.get(key) == end[key] for key in SAID.split("|") if key in end)
    came_to = "warned" if end["warned"] is True else end["status"]
    due = (name, paper["run_id"], came_to, came_to == "success" and end["attempt"] > 1)
    assert tuple(map(status.get, ("task_id", "run_id", "conclusion", "flaky"))) == due
    assert status.get("outputs_sha256", "") == end.get("outputs_sha256", "")
    assert status.get("cached_from", {}) == end.get("cached_from", {})


def written(value):
    assert type(value) in {str, bool}
    return str(value).lower() if type(value) is bool else value


def combined(said):
    """The values of each instance of a matrix; numbers are texts by now."""
    lists = [[{a: written(v) for a, v in e.items()} for e in said.pop(k, [])] for k in HERE]
    ranges = {a: range(1, v["count"] + 1) for a, v in said.items() if type(v) is dict}
    axes = {a: [*map(str, ranges[a])] if a in ranges else [*map(written, said[a])] for a in said}
    assert prod(map(len, axes.values())) <= 256
    found = [dict(zip(axes, row, strict=True)) for row in product(*axes.values())] if axes else []
    found = [own for own in found if not any(out.items() <= own.items() for out in lists[1])]
    named, more = [dict(own) for own in found], []
    for entry in lists[0]:
        fits = [i for i, own in enumerate(named) if {**own, **entry}.items() >= own.items()]
        [found[i].update(entry) for i in fits]
        more += [] if fits else [entry]
    return found + more


def from_outputs(row, rows, tasks, files, seq):
    """What the outputs of needs list; None where an earlier run has them."""
    said = dict(row["matrix_from"])
    taken = {a: v["from"] for a, v in said.items() if type(v) is dict and "from" in v}
    taken |= {"": said["from"]} if type(said.get("from")) is str else {}
    for axis, (need, _, output) in {a: ref.rpartition(".") for a, ref in taken.items()}.items():
        if need not in rows:
            return None
        assert tasks[need]["end"]["seq"] < seq
        handed = parse(files[f"{need}/{HANDED}"])[output]
        value = json.loads(handed, parse_int=str, parse_float=str)
        whole = type(value) is list and value and all(type(one) is dict for one in value)
        value = value if axis or type(value) is dict else {"include" if whole else "item": value}
        said = {**said, axis: value} if axis else value
    return combined(said)


def grown(plan, rows, tasks, joined, files):
    """The rows of the plan with the instances that joined it."""
    found = {}
    for name, row in rows.items():
        event, end = joined.get(name), tasks.get(name, {}).get("end")
        none = bool(end) and (end["status"], end["cause"]) == ("skipped", "instances")
        if event or none:
            seq = event["seq"] if event else end["seq"]
            listed = from_outputs(row, rows, tasks, files, seq)
            axes = {axis for values in listed or () for axis in values}
            chosen = {a: v for a, v in plan.get("matrix", {}).items() if a in axes}
            kept = [v for v in listed or () if all(v.get(a) in chosen[a] for a in chosen)]
            wanted = [one["matrix"] for one in event["instances"]] if event else []
            assert listed is None or (kept, len(listed)) == (
                wanted,
                event["of"] if event else len(listed),
            )
        assert not event or (event["instances"] and name not in tasks)
        needs = {need["task"] for need in row["needs"]}
        for one in event["instances"] if event else ():
            assert one["id"] not in {*found, *rows} and one["id"].partition("@")[0] == name
            own = one.get("needs", needs)
            assert all(n in needs or n.partition("@")[0] in needs for n in own)
            found[one["id"]] = {**row, "id": one["id"], "base": name, "matrix": one["matrix"]}
            assert instance(found[one["id"]])
        found |= {} if event else {name: row}
    assert set(joined) <= set(rows) and all("matrix_from" in rows[base] for base in joined)
    assert len({name.casefold() for name in found}) == len(found)
    return found


def check(there, folders):
    odd = {p for p, at in there.items() if at.is_symlink() or not (at.is_file() or p in folders)}
    files = {p: path.read_bytes() for p, path in there.items() if p not in folders | odd}
    odd |= {p for p, at in there.items() if not NAME.fullmatch(at.name) or p.count("/") > 64}
    digest = {p: sha256(data).hexdigest() for p, data in files.items()}
    own = {p: d for p, d in digest.items() if p[:7] != "attest/" and p != "MANIFEST.sha256"}
    sealed = "MANIFEST.sha256" in files
    assert not sealed or listed(files["MANIFEST.sha256"]) == own  # 2
    paper, plan = parse(files["run.json"]), parse(files["plan.json"])  # 3
    lines = files["events.jsonl"].split(b"\n")
    ids = [re.fullmatch(ID, task["id"])[0] for task in plan["tasks"]]
    assert len(set(ids)) == len(ids) and not (sealed and lines[-1])
    first, tasks, last, joined = journal(lines[:-1])
    said = [paper["run_id"], paper["source"]["commit"], own["plan.json"], own["run.json"], len(ids)]
    for number, key in enumerate(("run", "commit", "plan_sha256", "run_sha256", "tasks")):  # 6
        assert first is None or first[key] == said[number]
    assert last is None or last["blocked_sha256"] == own.get("blocked.json")
    ids = [*(rows := grown(plan, planned(plan), tasks, joined, files))]  # 13
    assert {p.split("/")[0] for p in folders} <= {*ids, "attest"} and set(tasks) <= set(ids)  # 7
    assert (tops := TOP | served_beside(lines[:-1], own, sealed)) and all(
        "/" in p or p in tops or (p.endswith(".tmp") and not sealed) for p in files
    )
    assert all(formed(p, files[p]) for p in ("run.json", "plan.json", "blocked.json") if p in files)
    for one in paper.get("inputs", {}).values():
        assert ("salt" in one) is ("salted_sha256" in one) is ("value" not in one)
    resumed = limits(lines[:-1], plan, rows)
    assert (last is None or counted(last, tasks, len(ids)) is None) and (
        approved([*map(parse, lines[:-1])], first, rows, paper, plan, tasks, own, files) is None
    )
    ended = {name for name, t in tasks.items() if t["end"]}
    loose = set() if sealed else set(ids) - ended
    assert all(p.split("/")[0] in loose for p in odd)  # 1
    for folder in (f for f in folders if not any(p.startswith(f + "/") for p in files)):  # 8
        place = folder in ids or re.fullmatch(rf"{ID}(/attempts/[^/]+)?/{TREE}", folder)
        assert place or folder.split("/")[0] in loose
    outputs = {n: parse(files.get(f"{n}/{HANDED}", b"{}")) for n in ids}
    for name in ended:  # 9
        end, tree = tasks[name]["end"], f"{name}/40-checksums/"
        lines = listed(files[f"{tree}task.sha256"], f"{name}/")
        lines |= listed(files.get(f"{tree}attempts.sha256", b""), f"{name}/")
        mine = {p: d for p, d in own.items() if p.startswith(f"{name}/")}
        assert {**lines, f"{tree}task.sha256": end["task_sha256"]} == mine
        kept = {p: d for p, d in lines.items() if p.startswith(f"{name}/30-artifacts/")}
        assert listed(files[f"{tree}artifacts.sha256"], f"{name}/30-artifacts/") == kept
        ends = tasks[name]["all"].items()
        whole = {f"{name}/attempts/{number}/": e for number, e in ends if e is not end}
        for root, e in {**whole, f"{name}/": end}.items():
            cut = {e["status"], e["cause"]} & {"lost", "storage"}
            mine_too = [p for p in mine if p.startswith(root) and p[len(root) :].count("/") < 2]
            assert cut or all(formed(p, files[p]) for p in mine_too)
            handed, wanted = (
                {*parse(files.get(root + HANDED, b"{}"))},
                {*rows[name].get("outputs", [])},
            )
            assert own.get(root + HANDED, "") == e.get("outputs_sha256", "") and (
                cut or handed == wanted or (handed < wanted and e["status"] != "success")
            )
            assert (
                cut
                or (
                    told(
                        root, rows[name], paper, e, files, own, outputs, resumed, plan, tasks[name]
                    ),
                    served(root, tasks[name], e, files, own),
                    acted(root, tasks[name], e, files),
                )
                == (None,) * 3
            )
            if root == f"{name}/" or (not cut and f"{root}99-summary/status.json" in files):
                claims(parse(files[f"{root}99-summary/status.json"]), name, paper, e)
        for number, e in tasks[name]["all"].items():
            path = f"{name}/attempts/{number}/40-checksums/task.sha256"
            assert e is end or digest[path] == e["task_sha256"]
        status = parse(files[f"{name}/99-summary/status.json"])
        cached(name, status, end, tasks[name].get("found"), files)  # 12
    assert all(re.fullmatch(ATTEST, p) for p in files.keys() - own - {"MANIFEST.sha256"})  # 14
    return bool(last and sealed and ended == set(ids))
