#!/usr/bin/env python3
"""Drives the dashboard in Chromium. TAP on stdout.

    browser.py URL ADMIN_KEY WORK_DIR [DIR_FOR_PICTURES]
"""
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.ui import WebDriverWait

url, admin, work = sys.argv[1:4]
shots = sys.argv[4] if len(sys.argv) > 4 else ""
number = failed = 0
HOSTILE = '<img src=x onerror="document.title=\'owned\'">'


def ok(what, holds, seen=None):
    global number, failed
    number += 1
    print(f"{'ok' if holds else 'not ok'} {number} - {what}", flush=True)
    if not holds:
        failed += 1
        print("#   seen: " + ascii(seen), flush=True)


def call(method, path, body=None, key=admin):
    request = urllib.request.Request(url + path, method=method,
                                     data=None if body is None else json.dumps(body).encode())
    request.add_header("x-api-key", key)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


options = webdriver.ChromeOptions()
options.binary_location = "/usr/bin/chromium"
for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--user-data-dir={work}/profile"):
    options.add_argument(flag)
options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
browser = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
browser.set_script_timeout(60)


def see(what, holds, seconds=60):
    """Waits until holds() is true; a page that draws itself anew in between is looked at again."""
    end, seen = time.monotonic() + seconds, None
    while time.monotonic() < end and not seen:
        try:
            seen = holds()
        except (StaleElementReferenceException, AttributeError):
            seen = None
        time.sleep(0.05)
    ok(what, bool(seen), seen or text()[:600])
    return seen


def text():
    return browser.find_element(By.TAG_NAME, "body").text


def press(look):
    """Clicks what @look finds; live views draw themselves anew, and then it is looked for again."""
    end = time.monotonic() + 60
    while True:
        try:
            look().click()
            return
        except (StaleElementReferenceException, NoSuchElementException):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def find(selector):
    found = browser.find_elements(By.CSS_SELECTOR, selector)
    return found[0] if found else None


def accept():
    """Says yes to what the page asks."""
    WebDriverWait(browser, 60).until(alert_is_present()).accept()


def visit(view):
    """Comes back when the view is drawn, or the page asks for the key instead."""
    browser.execute_async_script(
        "const [to, done] = arguments, page = document.getElementById('view');"
        "const look = () => page.hasAttribute('aria-busy') ? setTimeout(look, 10) : done();"
        "if (location.hash === to) return look();"
        "addEventListener('hashchange', look, { once: true }); location.hash = to;", "#/" + view)


def first_view():
    """Bytes that the page and all it asked for have had, once everything came."""
    sizes, end = {}, time.monotonic() + 60
    while time.monotonic() < end and not (sizes and all(sizes.values())):
        for line in browser.get_log("performance"):  # of the browser's own first page too
            message = json.loads(line["message"])["message"]
            if message["method"] == "Network.requestWillBeSent" and message["params"]["request"]["url"].startswith(url):
                sizes[message["params"]["requestId"]] = 0
            elif message["method"] == "Network.loadingFinished" and message["params"]["requestId"] in sizes:
                sizes[message["params"]["requestId"]] = message["params"]["encodedDataLength"]
        time.sleep(0.05)
    return sum(sizes.values())


def size(width, height=900):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})


def dark(on):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
        {"name": "prefers-color-scheme", "value": "dark" if on else "light"}]})


def walk():
    size(1280)
    browser.get(url + "/")
    see("a stranger sees the login", lambda: find("form.login #key"))
    loaded = first_view()
    ok("the first view is under 150 kB", 10000 < loaded < 150000, loaded)
    print(f"#   {int(loaded)} bytes")
    find("#key").send_keys("vtk_" + "A" * 43, Keys.ENTER)
    see("a wrong key is refused in words", lambda: "Invalid API key" in text())
    find("#key").clear()
    find("#key").send_keys(admin, Keys.ENTER)
    see("the key lets in", lambda: find("#top").is_displayed() and "first admin (admin)" in text())
    see("the stream is live", lambda: find("#link.live"))
    cookie = browser.get_cookies()
    ok("the cookie is HttpOnly and strict", len(cookie) == 1 and cookie[0]["httpOnly"] and cookie[0]["sameSite"] == "Strict"
       and admin not in json.dumps(cookie), cookie)
    ok("no script finds key or cookie", browser.execute_script(
        "return document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)") == "{}{}")

    # ---- live
    call("POST", "/api/actions", {"agent_id": "worker", "session_id": "s-1", "action_type": "file_read", "resource": "/tmp/seen-live"})
    see("a posted action appears without a reload", lambda: "/tmp/seen-live" in text())

    # ---- hostile names
    call("POST", "/api/actions", {"agent_id": HOSTILE, "agent_name": HOSTILE, "action_type": "file_write",
                                  "resource": HOSTILE + "\u202e\n"})
    see("a hostile name stands there as text", lambda: HOSTILE in text() and "\\u202e" in text())
    _, gate = call("POST", "/api/keys", {"name": "gate", "role": "agent"})
    gate = gate["key"]
    session = {"id": "s-1", "agent_id": "worker", "host": HOSTILE, "state": "running", "policy": "dev",
               "command": ["sh", "-c", HOSTILE], "started_at": "2026-01-01T00:00:00+00:00",
               "changes": [{"path": "/w/" + HOSTILE, "change": "modified"}]}
    call("POST", "/api/sessions", session, gate)
    see("a sandbox that reports itself appears", lambda: "s-1" in find("main table").text)
    for view in ("agents", "session/s-1", "agent/" + urllib.request.quote(HOSTILE, safe="")):
        visit(view)
        see(f"inert in view {view.split('/')[0]}", lambda: HOSTILE in text())
    ok("nothing of it became an element or ran", not browser.find_elements(By.CSS_SELECTOR, "main img")
       and "owned" not in browser.title, browser.title)
    call("POST", "/api/actions", {"agent_id": "worker", "session_id": "s-1", "action_type": "network_request", "resource": "api.example.org:443"})
    call("POST", "/api/actions", {"agent_id": "worker", "session_id": "s-1", "action_type": "database_write", "resource": "DELETE FROM t"})
    visit("session/s-1")
    see("a session shows changed files, hosts and statements",
        lambda: all(w in text() for w in ("/w/<img", "api.example.org:443", "DELETE FROM t")))

    call("POST", "/api/actions", {"agent_id": "worker", "session_id": "s-1", "action_type": "file_read", "resource": "/tmp/y", "payload": {
        "program": "/usr/bin/" + HOSTILE, "pid": 9, "ancestry": ["/usr/bin/make", "/bin/sh"]}})
    see("the process tree has the program below those that started it", lambda: browser.execute_script(
        "return [...document.querySelectorAll('.tree > li > ul > li > ul > li > code')].map(e => e.textContent)") == ["/usr/bin/" + HOSTILE])

    # ---- a gateway of the test's own, which answers what people order
    orders, stop = [], threading.Event()

    def gateway():
        while not stop.is_set():
            for order in call("GET", "/api/sessions/s-1/commands?wait=1", key=gate)[1]:
                orders.append(order)
                result = {"done": order["kind"]}
                if order["kind"] == "diff":
                    result = {"diff": "-old\n+" + HOSTILE} if order["body"].get("path") else {"changes": [
                        {"path": "/w/listed-now", "kind": "added", "program": "/bin/" + HOSTILE, "pid": 7}]}
                if order["kind"] == "rollback":
                    result = {"rolled_back": 1, "action_ids": [1], "message": "1 action undone"}
                if order["kind"] == "pause":
                    call("POST", "/api/sessions", dict(session, state="paused"), gate)
                call("POST", f"/api/sessions/s-1/commands/{order['id']}", {"ok": True, "result": result}, gate)
                if order["kind"] == "answer":
                    word = "allowed" if order["body"]["decision"] == "allow" else "denied"
                    print(f"#   {order['body']['request_id']}: {word}")

    thread = threading.Thread(target=gateway)
    thread.start()
    try:
        press(lambda: find('button[data-at="pause"]'))
        see("pause reaches the sandbox and its state comes back", lambda: [o["kind"] for o in orders] == ["pause"]
            and find("main .badge").text == "paused")
        press(lambda: browser.find_element(By.XPATH, "//button[.='Diff']"))
        see("a difference is asked of the sandbox and shown as text", lambda: HOSTILE in find("pre.diff").text)
        press(lambda: find('button[data-at="look"]'))
        see("changes are listed while it runs, with who wrote them",
            lambda: "/w/listed-now" in text() and "/bin/" + HOSTILE in text() and "pid 7" in text())
        press(lambda: find('button[data-at="rollback"]'))
        accept()
        accept()
        see("rollback reaches the sandbox", lambda: orders[-1]["kind"] == "rollback" and orders[-1]["body"]["last"] == 1)

        # ---- approvals by keyboard
        visit("approvals")
        for n, resource in (("q1", "/w/one"), ("q2", "/w/two"), ("q3", HOSTILE)):
            call("POST", "/api/sessions/s-1/approvals", {"request_id": n, "state": "pending", "request": {
                "type": "file_delete", "score": 0.5, "resource": resource, "argv": ["rm", HOSTILE]}}, gate)
        see("questions appear by themselves", lambda: len(browser.find_elements(By.CSS_SELECTOR, ".cards .card")) == 3)
        ok("with all that they ask for", '["rm","<img src=x' in find(".card dd").text, find(".card").text)
        press(lambda: find('.card button[data-at^="diff"]'))
        see("what was changed there so far is shown", lambda: "+" + HOSTILE in find(".card pre.diff").text)
        keys = find("body")
        keys.send_keys("j")
        see("j chooses the second", lambda: "/w/two" in find(".card[aria-current]").text)
        keys.send_keys("k")
        see("k goes back", lambda: "/w/one" in find(".card[aria-current]").text)
        keys.send_keys("a")
        see("a allows it", lambda: orders[-1]["kind"] == "answer" and orders[-1]["body"]["decision"] == "allow"
            and orders[-1]["body"]["request_id"] == "q1" and "/w/one" not in text())
        keys.send_keys("d")
        see("d denies the next", lambda: orders[-1]["body"]["decision"] == "deny"
            and orders[-1]["body"]["request_id"] == "q2" and "/w/two" not in text())
        states = {a["request_id"]: a["state"] for a in call("GET", "/api/approvals?state=all")[1]}
        ok("and so it is stored", states == {"q1": "allowed", "q2": "denied", "q3": "pending"}, states)
    finally:
        stop.set()
        thread.join(60)

    # ---- commit, once it has ended
    _, later = call("POST", "/api/sessions", dict(session, state="ended", ended_at="2026-01-01T01:00:00+00:00", exit_code=0, info={
        "settle_until": "2099-01-01T00:00:00+00:00"}), gate)
    visit("sessions")
    visit("session/s-1")
    see("an ended session can be committed or discarded, and nothing else",
        lambda: [b.text for b in browser.find_elements(By.CSS_SELECTOR, ".acts button")] == ["Commit", "Discard"])
    call("POST", "/api/sessions", dict(session, state="ended", info={"settle_until": "2026-01-01T01:15:00+00:00"}), gate)
    see("only for as long as its host listens", lambda: not find(".acts button"))

    # ---- the profile editor
    ask = {"agent_id": "worker", "action_type": "file_read", "resource": "/srv/secret"}
    ok("before the edit it is allowed", call("POST", "/api/check", ask)[1]["decision"] == "allow")
    visit("agent/worker")
    see("the profile is there", lambda: find("#profile textarea"))
    browser.find_elements(By.CSS_SELECTOR, "#profile textarea")[1].send_keys("/srv/*")
    press(lambda: find("#profile button.main"))
    see("it is saved", lambda: "Saved" in text())
    row = call("POST", "/api/check", ask)[1]
    ok("the next check is blocked", row["decision"] == "block" and
       row["reason"] == "Resource '/srv/secret' is blocked for this agent", row)

    # ---- alerts
    call("POST", "/api/alerts", {"agent_id": "worker", "message": "look " + HOSTILE, "severity": "high"})
    visit("alerts")
    button = see("an alert is there, as text", lambda: "look <img" in text() and find(f'button[aria-label^="Acknowledge: look"]'))
    call("POST", "/api/alerts", {"agent_id": "worker", "message": "came live", "severity": "low"})
    see("the next one comes by itself", lambda: "came live" in text())
    press(lambda: find('button[aria-label^="Acknowledge: look"]'))
    see("acknowledged, it goes", lambda: "look <img" not in text() and "came live" in text())
    see("and the count follows", lambda: find("#nav a[data-view=alerts] .count").text == "1")
    ok("and is so for the server", not [a for a in call("GET", "/api/alerts")[1] if a["message"].startswith("look")])

    flood = lambda n: call("POST", "/api/actions", [{"agent_id": "worker", "session_id": "s-1", "action_type": "file_read",
                                                     "resource": "/srv/secret"}] * n)
    flood(3)
    see("a flood is one alert with a count", lambda: "× 3" in text() and text().count("/srv/secret") == 1)
    flood(2)
    see("which grows before one's eyes", lambda: "× 5" in text() and text().count("/srv/secret") == 1)

    # ---- policies
    visit("policies")
    see("the form is there", lambda: find('form[aria-label="New policy"] input'))
    form = browser.find_elements(By.CSS_SELECTOR, 'form[aria-label="New policy"] input')
    form[0].send_keys("no-prod")
    form[1].send_keys("*listed*")
    press(lambda: browser.find_element(By.XPATH, "//button[.='Test against recorded actions']"))
    see("a policy is tried on what was recorded", lambda: "it matches 0; 0 of" in text())
    form[1].clear()
    form[1].send_keys("/tmp/seen*")
    press(lambda: browser.find_element(By.XPATH, "//button[.='Test against recorded actions']"))
    see("and says what it would have changed", lambda: "it matches 1; 1 of" in text() and call("GET", "/api/policies")[1] == [])
    form[1].clear()
    form[1].send_keys("*prod*")
    press(lambda: find('form[aria-label="New policy"] button'))
    see("a policy is made", lambda: "no-prod" in find("main table").text)
    prod = {"agent_id": "other", "action_type": "file_write", "resource": "/srv/prod.db"}
    ok("it bites", call("POST", "/api/check", prod)[1]["decision"] == "block")
    press(lambda: find('button[aria-label="Disable no-prod"]'))
    see("disabled", lambda: find('button[aria-label="Enable no-prod"]'))
    ok("it does not", call("POST", "/api/check", prod)[1]["policy_matched"] is None)
    press(lambda: find('button[aria-label="Delete no-prod"]'))
    accept()
    see("deleted", lambda: "no-prod" not in text() and call("GET", "/api/policies")[1] == [])

    # ---- usage, keys
    visit("usage")
    see("usage is drawn", lambda: find("svg.bars rect") and "database_write" in text())
    visit("keys")
    see("keys are listed", lambda: "first admin" in text())
    find('form[aria-label="New key"] input').send_keys("eyes")
    browser.execute_script("document.querySelector('form[aria-label=\"New key\"] select').value = 'viewer'")
    press(lambda: find('form[aria-label="New key"] button'))
    see("a new key is shown once", lambda: find(".secret") and find(".secret").text.startswith("vtk_"))
    viewer = find(".secret").text
    ok("and works in its role", call("GET", "/api/agents", key=viewer)[0] == 200 and call("GET", "/api/keys", key=viewer)[0] == 403)

    # ---- what the page may not do, and its own errors
    ok("an inline script does not run", browser.execute_script(
        "const s = document.createElement('img'); document.body.append(s);"
        "try { s.insertAdjacentHTML('afterend', '<b>x</b>'); return 'made'; } catch (e) { return e.name; } finally { s.remove(); }")
       == "TypeError")
    status = browser.execute_script("return fetch('/api/policies', {method: 'POST', body: '{\"name\":\"x\",\"effect\":\"allow\"}'}).then(r => r.status)")
    ok("the cookie without the token changes nothing", status == 403 and call("GET", "/api/policies")[1] == [], status)
    for name in ("sessions", "session/s-1", "approvals", "alerts", "agents", "agent/worker", "policies", "usage", "keys"):
        size(360)
        visit(name)
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        ok(f"{name} fits into 360 pixels", wide <= 360, wide)
        unnamed = browser.execute_script(
            "return [...document.querySelectorAll('main button, main input, main select, main textarea, main svg')].filter(e => !e.closest('[hidden]')"
            " && !(e.textContent.trim() && e.tagName === 'BUTTON') && !e.getAttribute('aria-label') && !(e.labels && e.labels.length)).map(e => e.outerHTML)")
        ok(f"{name}: every control has a name", unnamed == [], unnamed)
        picture(name.replace("/", "-"))
    size(1280)
    press(lambda: browser.find_element(By.ID, "logout"))
    see("logged out", lambda: find("form.login"))
    browser.get(url + "/#/keys")
    see("and it stays so", lambda: find("form.login") and "first admin" not in text())
    find("#key").send_keys(viewer, Keys.ENTER)
    see("a viewer gets in", lambda: "eyes (viewer)" in text())
    visit("agent/worker")
    see("and may only look", lambda: find("#profile") and not find("#profile button"))
    call("DELETE", "/api/keys/" + [k for k in call("GET", "/api/keys")[1] if k["name"] == "eyes"][0]["id"])
    visit("alerts")
    see("a revoked key's login is over at once", lambda: find("form.login"))
    errors = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE" and " 401 " not in e["message"] and " 403 " not in e["message"]
              and "TrustedHTML" not in e["message"]]
    ok("the browser's console has no error", not errors, errors)


def picture(name):
    """Kept for a person to look at: narrow and wide, light and dark."""
    if not shots:
        return
    for width in (360, 1280):
        for night in (False, True):
            size(width)
            dark(night)
            time.sleep(0.1)
            browser.save_screenshot(os.path.join(shots, f"{name}-{width}-{'dark' if night else 'light'}.png"))
    dark(False)
    size(1280)


try:
    walk()
except (WebDriverException, AttributeError, IndexError, TypeError) as error:
    ok("the walk comes to its end", False, f"{type(error).__name__} line {sys.exc_info()[2].tb_next.tb_lineno}: {error}")
else:
    ok("the walk comes to its end", True)
browser.quit()
print(f"1..{number}")
sys.exit(1 if failed else 0)
