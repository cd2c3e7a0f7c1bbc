"""What people do in Chromium; its console has to stay empty, and the site must ask nobody else for anything."""

import base64
import hmac
import json
import mailbox
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from person import SITE
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

URL = SITE["url"]
VERIFIER = "v" * 48
CHALLENGE = "4A01DUGx7AT8ouWhbPhYzuvyoNDA2r8CzlD81Yz8KbQ"
SURE = "Yes, I\N{RIGHT SINGLE QUOTATION MARK}m sure"
PICTURES = os.environ.get("PICTURES")  # a folder for screenshots


class Browser(Chrome):
    """Chromium with a few verbs."""

    def log_in(self, user: str, password: str = SITE["password"]) -> None:
        """Fill in the form that is shown."""
        self.fill(username=user, password=password)
        self.press("Log in")

    def fill(self, **fields: str) -> None:
        """Type into fields, or choose from them."""
        for name, value in fields.items():
            field = self.find_element(By.NAME, name)
            if field.tag_name == "select":
                Select(field).select_by_value(value)
            else:
                field.clear()
                field.send_keys(value)

    def press(self, text: str, beside: str = "") -> None:
        """Press a button, or follow a link, and wait for the page that comes."""
        before = self.find_element(By.TAG_NAME, "html")
        form = f"//form[contains(., '{beside}')]" if beside else ""
        paths = [f"{form}//button[normalize-space()='{text}']", f"//input[@type='submit'][@value='{text}']"]
        paths += [f"//a[normalize-space()='{text}']"]
        found = [element for path in paths for element in self.find_elements(By.XPATH, path)]
        assert found, f"{text!r} isn't on {self.current_url}: {self.text}"
        found[0].click()
        WebDriverWait(self, 30).until(lambda _: self._is_new(before))

    def _is_new(self, before: object) -> bool:
        return (
            self.find_element(By.TAG_NAME, "html") != before
            and self.execute_script("return document.readyState") == "complete"
        )

    @property
    def text(self) -> str:
        """What is to be read."""
        return self.find_element(By.TAG_NAME, "body").text

    def picture(self, name: str) -> None:
        """Keep what is shown, for the docs."""
        if PICTURES:
            self.save_screenshot(f"{PICTURES}/{name}.png")


@pytest.fixture
def browser() -> Iterator[Browser]:
    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,760"):
        options.add_argument(argument)
    options.accept_insecure_certs = True
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Browser(options, ChromeService("/usr/bin/chromedriver"))
    try:
        yield browser
        # At that level it recommends things.
        assert [line for line in browser.get_log("browser") if line["level"] != "DEBUG"] == []
        events = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        others = [url for url in asked if urlsplit(url).hostname not in (urlsplit(URL).hostname, "127.0.0.1", None)]
        assert asked
        assert others == []
    finally:
        browser.quit()


def journal(unit: str, since: float, text: str) -> str:
    """Wait for a line of a unit, and return what it has said so far."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        command = ["journalctl", f"--unit={unit}", f"--since=@{int(since)}", "--output=cat"]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        if text in said:
            return said
        time.sleep(1)
    raise AssertionError(f"{unit} didn't say {text!r}")


def test_the_tutorials_clicks(browser: Browser) -> None:
    browser.get(f"{URL}/admin/")
    browser.log_in("admin", SITE["admin_password"])
    begin = time.time()
    browser.get(f"{URL}/admin/django_celery_beat/intervalschedule/add/")
    browser.fill(every="10", period="seconds")
    browser.press("Save")
    assert "was added successfully" in browser.text
    browser.get(f"{URL}/admin/django_celery_beat/periodictask/add/")
    interval = Select(browser.find_element(By.NAME, "interval")).options[-1].get_attribute("value")
    browser.fill(name="made in a browser", regtask="tutorial.tasks.clear_tokens", interval=interval)
    browser.press("Save")
    assert "was added successfully" in browser.text
    browser.get(f"{URL}/admin/django_celery_beat/periodictask/")
    browser.picture("admin-periodic-tasks")

    journal("tutorial-beat", begin, "Sending due task made in a browser (tutorial.tasks.clear_tokens)")
    journal("tutorial-worker", begin, "Task tutorial.tasks.clear_tokens[")
    browser.get(f"{URL}/admin/django_celery_beat/periodictask/")
    browser.press("made in a browser")
    browser.press("Delete")
    browser.press(SURE)
    browser.get(f"{URL}/admin/django_celery_beat/intervalschedule/{interval}/delete/")
    browser.press(SURE)
    assert "was deleted successfully" in browser.text


@pytest.fixture
def client() -> Iterator[int]:
    """A native app's port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b'<link rel="icon" href="data:,">Thank you.')

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


def test_an_application_is_registered_refused_and_let_in(browser: Browser, client: int) -> None:
    callback = f"http://127.0.0.1:{client}/callback"
    browser.get(f"{URL}/o/applications/")
    browser.log_in("someone")
    browser.press("Click here")
    browser.fill(
        name="Shop",
        client_type="public",
        authorization_grant_type="authorization-code",
        redirect_uris="http://127.0.0.1/callback",
        algorithm="RS256",
    )
    client_id = browser.find_element(By.NAME, "client_id").get_attribute("value")
    browser.press("Save")
    assert client_id in browser.page_source
    application = browser.current_url
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": callback,
        "scope": "openid profile read",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "s",
    }
    consent = f"{URL}/o/authorize/?{urlencode(query)}"

    browser.get(consent)
    assert "Know your name" in browser.text
    browser.picture("consent")
    browser.press("Cancel")
    assert browser.current_url.startswith(f"{callback}?error=access_denied&state=s")

    browser.get(consent)
    browser.press("Authorize")
    assert browser.text == "Thank you."
    answer = {name: values[0] for name, values in parse_qs(urlsplit(browser.current_url).query).items()}
    data = {"grant_type": "authorization_code", "client_id": client_id, "redirect_uri": callback}
    data |= {"code": answer["code"], "code_verifier": VERIFIER}
    tokens = requests.post(f"{URL}/o/token/", data, timeout=60).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert requests.get(f"{URL}/api/hello", headers=bearer, timeout=60).text == "Hello, OAuth2!"

    browser.get(URL)
    browser.press("What acts for you")
    browser.press("Take back", beside="Shop")
    assert requests.get(f"{URL}/api/hello", headers=bearer, timeout=60).status_code == 401
    browser.get(application)
    browser.press("Delete")
    browser.press("Delete")


def test_a_forgotten_password_is_reset_by_mail(browser: Browser) -> None:
    browser.get(f"{URL}/accounts/login/")
    browser.press("Forgotten the password?")
    box = mailbox.Maildir("/opt/clients/mail")
    box.clear()
    browser.fill(email="forgetful@example.org")
    browser.press("Reset My Password")
    [message] = box
    assert message["To"] == "forgetful@example.org"
    link = re.search(rf"{URL}/\S+", str(message.get_payload()))
    assert link
    browser.get(link[0])
    browser.fill(password1="a newer horse", password2="a newer horse")
    browser.press("Change Password")
    browser.get(f"{URL}/accounts/login/")
    browser.log_in("forgetful", "a newer horse")
    assert "Log out forgetful" in browser.text
    browser.press("Log out forgetful")
    assert "Log in" in browser.text


def code(secret: str) -> str:
    """Return what a phone shows (RFC 6238)."""
    moment = int(time.time() // 30).to_bytes(8, "big")
    digest = hmac.digest(base64.b32decode(secret), moment, "sha1")
    start = digest[-1] & 15
    return f"{(int.from_bytes(digest[start : start + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"


def next_code(secret: str) -> Callable[[], str]:
    """Return what gives another code at each call, as each is good once."""
    used: set[str] = set()

    def another() -> str:
        while (one := code(secret)) in used:
            time.sleep(1)
        used.add(one)
        return one

    return another


def test_a_second_factor(browser: Browser) -> None:
    browser.get(f"{URL}/accounts/login/")
    browser.log_in("phone")
    browser.press("Second factor")
    browser.press("Activate")
    browser.fill(password=SITE["password"])
    browser.press("Confirm")
    secret = browser.find_element(By.CSS_SELECTOR, "#authenticator_secret, input[disabled]").get_attribute("value")
    picture = browser.find_element(By.CSS_SELECTOR, "main img")
    assert int(picture.get_attribute("naturalWidth")) > 0, "the code for the phone's camera is shown"
    shown = next_code(secret)
    browser.fill(code=shown())
    browser.press("Activate")
    browser.press("Log out phone")

    browser.get(f"{URL}/accounts/login/")
    browser.log_in("phone")
    assert "Log out phone" not in browser.text, "the password alone is not enough"
    browser.fill(code=shown())
    browser.press("Sign In")
    assert "Log out phone" in browser.text
