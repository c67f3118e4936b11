"""Asks a control plane: api.py URL KEYFILE METHOD PATH [BODY]; api.py URL KEYFILE count SESSION prints
the number of actions, of different ids among them, and the files created."""
import json
import sys
import urllib.error
import urllib.request

url, keyfile, method, path = sys.argv[1:5]
key = open(keyfile).read().strip()


def ask(verb, where, body=None):
    request = urllib.request.Request(url + where, method=verb, data=body and body.encode(),
                                     headers={"x-api-key": key})
    try:
        with urllib.request.urlopen(request, timeout=70) as answer:
            return answer.status, json.load(answer), answer.headers.get("X-Next-Cursor")
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode(), None


if method == "count":
    rows, cursor = [], None
    while True:
        _, more, cursor = ask("GET", "/api/actions?limit=1000&session_id=" + path +
                              ("&cursor=" + cursor if cursor else ""))
        rows += more
        if not cursor:
            break
    ids = {r["action_id"] for r in rows}
    created = {r["resource"] for r in rows if r["payload"]["op"] == "create"}
    print(len(rows), len(ids), len(created))
else:
    status, answer, _ = ask(method, path, sys.argv[5] if len(sys.argv) > 5 else None)
    print(status, json.dumps(answer))
