"""INTACT and COMPLETE as conventions/PROOFS_CONVENTION.md has them, and nothing of zf."""
# ruff: noqa: PT018, DTZ007 - it is to be short enough to be read beside the page

import json
import re
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from itertools import product
from pathlib import Path

ID, NAME = (
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(?:@[A-Za-z0-9_=,.+-]{1,100})?",
    re.compile(r"(?!\.\.?\Z|-\Z| )[ -\[\]-~]+"),
)
TREE = r"(00-meta|10-commands|20-logs|30-artifacts|40-checksums|99-summary)"
KINDS = (
    r"(run|phase|attempt)_(started|ended)|(run|phase)_timed_out|run_resumed|task_not_run|interrupted"
    r"|cancel_requested|condition_evaluated|retry_(scheduled|dropped)|throttle_(entered|left)"
    r"|lease_(awaited|taken)|budget_warned|cached|cache_missed|plan_extended"
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


def hashed(value):
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode() + b"\n").hexdigest()


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


def journal(lines):
    prev, first, tasks, over, joined = "0" * 64, None, {}, False, {}
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
            t["began"] += t["open"]
            assert e["attempt"] == t["began"] if "attempt" in e["type"] else t["end"] is None
            t["end"] = None if t["open"] else e
            t["all"] |= {t["began"]: e} if e["type"] == "attempt_ended" else {}
            ends = "success|failure|timeout|blocked|skipped|cancelled|lost"
            assert t["open"] or re.fullmatch(ends, e["status"])
        elif e["type"] in {"cached", "cache_missed"}:
            t = tasks[e["task"]]
            assert (t["open"], t["began"], t["found"]) == (True, e["attempt"], None)
            t["found"] = e
        elif e["type"] == "plan_extended":
            assert e["base"] not in joined and not {o["id"] for o in e["instances"]} & set(tasks)
            joined[e["base"]] = e
    return first, tasks, e if over else None, joined


def cached(name, status, end, found, files):
    assert status.get("outputs_sha256", "") == end.get("outputs_sha256", "")
    assert status.get("cached_from", {}) == end.get("cached_from", {})
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
        assert not told or told["key"] == record["key"]
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


def text(value):
    assert type(value) in {str, bool}
    return str(value).lower() if type(value) is bool else value


def combined(said):
    """The values of each instance of a matrix; numbers are texts by now."""
    lists = [[{a: text(v) for a, v in e.items()} for e in said.pop(k, [])] for k in HERE]
    ranges = {a: range(1, v["count"] + 1) for a, v in said.items() if type(v) is dict}
    axes = {a: [*map(str, ranges[a])] if a in ranges else [*map(text, said[a])] for a in said}
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
    assert all("/" in p or p in TOP or (p.endswith(".tmp") and not sealed) for p in files)
    assert all(formed(p, files[p]) for p in ("run.json", "plan.json", "blocked.json") if p in files)
    ended = {name for name, t in tasks.items() if t["end"]}
    loose = set() if sealed else set(ids) - ended
    assert all(p.split("/")[0] in loose for p in odd)  # 1
    for folder in (f for f in folders if not any(p.startswith(f + "/") for p in files)):  # 8
        place = folder in ids or re.fullmatch(rf"{ID}(/attempts/[^/]+)?/{TREE}", folder)
        assert place or folder.split("/")[0] in loose
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
            meta, row = files.get(f"{root}00-meta/task.json"), rows[name]
            said = row if cut or meta is None else parse(meta)
            assert all(
                said.get(key) == row.get(key) for key in ("base", "matrix", "outputs", "origins")
            )
        for number, e in tasks[name]["all"].items():
            path = f"{name}/attempts/{number}/40-checksums/task.sha256"
            assert e is end or digest[path] == e["task_sha256"]
        status = parse(files[f"{name}/99-summary/status.json"])  # 10
        assert all(status.get(key) == end[key] for key in SAID.split("|") if key in end)
        came_to = "warned" if end["warned"] is True else end["status"]
        told = (name, paper["run_id"], came_to, came_to == "success" and end["attempt"] > 1)
        assert tuple(map(status.get, ("task_id", "run_id", "conclusion", "flaky"))) == told
        cached(name, status, end, tasks[name].get("found"), files)  # 12
    assert all(re.fullmatch(ATTEST, p) for p in files.keys() - own - {"MANIFEST.sha256"})  # 14
    return bool(last and sealed and ended == set(ids))
