#!/usr/bin/python3
"""Holds reports against what their formats demand.

JUnit: the elements, attributes and order of the schema that Jenkins publishes for its plugin (testsuites >
testsuite > properties?, testcase*, system-out?), and sums that fit. SARIF: section by section of the OASIS
standard 2.1.0, for every object that appears; what is not known here is an error.
"""
import json
import re
import sys
import xml.etree.ElementTree as ET


def need(condition, what):
    if not condition:
        raise SystemExit(what)


def junit(path):
    root = ET.parse(path).getroot()
    need(root.tag == "testsuites", "root")
    known = {
        "testsuites": ({"name", "tests", "failures", "errors", "time"}, ["testsuite"]),
        "testsuite": ({"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
                      ["properties", "testcase", "system-out"]),
        "properties": (set(), ["property"]),
        "property": ({"name", "value"}, []),
        "testcase": ({"classname", "name", "time"}, ["failure", "system-out"]),
        "failure": ({"message", "type"}, []),
        "system-out": (set(), []),
    }
    for e in root.iter():
        attributes, children = known[e.tag]
        need(set(e.attrib) == attributes, f"{e.tag}: {set(e.attrib) ^ attributes}")
        order = [children.index(c.tag) for c in e]
        need(order == sorted(order), f"{e.tag}: order of {[c.tag for c in e]}")
    for suite in root:
        cases = suite.findall("testcase")
        failures = [c for c in cases if c.find("failure") is not None]
        need(int(suite.get("tests")) == len(cases), "tests")
        need(int(suite.get("failures")) == len(failures), "failures")
        need(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp")), "timestamp")
    need(sum(int(s.get("tests")) for s in root) == int(root.get("tests")), "sum")


TEXT, NUMBER, COUNT, TRUTH = str, (int, float), int, bool
URI = re.compile(r"^([a-z]+:)?[A-Za-z0-9._~/%!$&'()*+,;=:@-]*$")
DATE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
MESSAGE = {"text": TEXT}
SHAPE = {
    "$schema": TEXT, "version": TEXT, "runs": [{
        "tool": {"driver": {"name": TEXT, "version": TEXT, "rules": [{"id": TEXT, "shortDescription": MESSAGE}]}},
        "automationDetails": {"id": TEXT},
        "invocations": [{"executionSuccessful": TRUTH, "exitCode?": COUNT, "startTimeUtc?": DATE,
                         "endTimeUtc?": DATE}],
        "originalUriBaseIds?": {"WORKSPACE": {"uri": URI}},
        "results": [{
            "ruleId": TEXT, "ruleIndex": COUNT, "level": re.compile("^(none|note|warning|error)$"),
            "message": MESSAGE, "occurrenceCount": COUNT,
            "locations": [{
                "physicalLocation?": {"artifactLocation": {"uri": URI, "uriBaseId?": TEXT}},
                "logicalLocations?": [{"fullyQualifiedName": TEXT, "kind": TEXT}]}],
            "properties": dict}],
        "properties": dict}]}


def shaped(value, shape, where):
    if isinstance(shape, dict):
        need(isinstance(value, dict), where)
        required = {k for k in shape if not k.endswith("?")}
        allowed = {k.rstrip("?"): v for k, v in shape.items()}
        need(required <= set(value) <= set(allowed), f"{where}: {set(value) ^ required}")
        for k, v in value.items():
            shaped(v, allowed[k], f"{where}.{k}")
    elif isinstance(shape, list):
        need(isinstance(value, list), where)
        for i, v in enumerate(value):
            shaped(v, shape[0], f"{where}[{i}]")
    elif isinstance(shape, re.Pattern):
        need(isinstance(value, str) and shape.match(value), f"{where}: {value!r}")
    else:
        need(isinstance(value, shape) and (shape is TRUTH or not isinstance(value, bool)), f"{where}: {value!r}")


def sarif(path):
    with open(path, encoding="utf-8") as f:
        log = json.load(f)
    shaped(log, SHAPE, "log")
    need(log["version"] == "2.1.0", "version")
    json.dumps(log, ensure_ascii=False).encode("utf-8")  # no lone surrogate
    for run in log["runs"]:
        rules = run["tool"]["driver"]["rules"]
        need(len({r["id"] for r in rules}) == len(rules), "a rule twice")
        for base in run.get("originalUriBaseIds", {}).values():
            need(base["uri"].endswith("/"), "a base URI ends in a slash")
        for r in run["results"]:
            need(rules[r["ruleIndex"]]["id"] == r["ruleId"], "ruleIndex")
            need(r["occurrenceCount"] >= 1 and r["message"]["text"], "empty result")


for name in sys.argv[1:]:
    try:
        (sarif if name.endswith(".sarif") else junit)(name)
    except SystemExit as e:
        raise SystemExit(f"{name}: {e}")
