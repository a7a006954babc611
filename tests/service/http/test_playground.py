"""The page at `/` comes whole, from here alone, to whoever asks; a browser looks elsewhere."""

import re
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from models.families import FAMILIES, TYPED_FAMILIES
from service.http.app import create_app
from service.playground.assets import FOLDER, MEDIA_TYPES
from tests.helpers.api_keys import add_key
from tests.helpers.asgi import make_server
from tests.helpers.http import assert_problem, metric

MAX_BYTES = 600_000
NAMES = sorted(
    path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.suffix in MEDIA_TYPES
)
LIBRARY = "uplot-"


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A server whose models are not loaded: the page needs none."""
    folder = tmp_path_factory.mktemp("store")
    return TestClient(create_app(make_server(folder)))


def assert_page(answer: httpx.Response, name: str) -> None:
    assert answer.status_code == 200, name
    assert answer.content == (FOLDER / name).read_bytes(), name
    assert answer.headers["content-type"] == MEDIA_TYPES[Path(name).suffix]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "accept-encoding" in answer.headers["vary"].lower()


def test_every_file_is_answered_as_what_it_is(http: TestClient) -> None:
    for name in NAMES:
        assert_page(http.get(f"/playground/{name}"), name)
    assert_page(http.get("/"), "index.html")


def test_a_file_that_a_browser_has_is_not_sent_again(http: TestClient) -> None:
    answer = http.get("/")
    tag = answer.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = http.get("/", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    assert http.get("/", headers={"If-None-Match": '"other"'}).status_code == 200
    assert http.get("/playground/style.css").headers["etag"] != tag


def test_head_answers_without_the_page(http: TestClient) -> None:
    for accepted in ("gzip", ""):
        headers = {"accept-encoding": accepted, "x-request-id": "one"}
        answer = http.head("/", headers=headers)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers == http.get("/", headers=headers).headers
    assert int(answer.headers["content-length"]) == (FOLDER / "index.html").stat().st_size


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip, deflate, br", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("*;q=0, gzip;q=1.0", True),
        ("", False),
        ("br", False),
        ("identity, gzip;q=0", False),
        ("gzip; q=0.000, *", False),
    ],
)
def test_files_are_compressed_for_who_takes_it(
    http: TestClient, accepted: str, is_compressed: bool
) -> None:
    for path in ("/", "/docs", "/playground/js/main.js"):
        answer = http.get(path, headers={"accept-encoding": accepted})
        plain = http.get(path, headers={"accept-encoding": "identity"})
        assert answer.content == plain.content  # after httpx has decompressed it
        assert (answer.headers.get("content-encoding") == "gzip") is is_compressed
        assert (answer.headers["etag"] == plain.headers["etag"]) is not is_compressed
        if is_compressed:
            sizes = [int(each.headers["content-length"]) for each in (answer, plain)]
            assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize(
    "path",
    ["none.js", "", "../assets.py", "..%2fassets.py", "%2e%2e/assets.py", "js", "js//main.js"],
)
def test_what_is_no_file_of_the_page_is_not_found(http: TestClient, path: str) -> None:
    assert_problem(http.get(f"/playground/{path}"), 404, "Not Found")


def test_nothing_can_be_posted_to_it(http: TestClient) -> None:
    assert http.post("/").status_code == 405


def test_a_setting_turns_it_off(tmp_path: Path) -> None:
    off = TestClient(create_app(make_server(tmp_path, playground=False)))
    for path in ("/", "/playground/style.css"):
        assert off.get(path).status_code == 404
    assert off.get("/health/live").status_code == 200


def test_below_a_root_path_its_addresses_are_below_it(tmp_path: Path) -> None:
    below = TestClient(create_app(make_server(tmp_path, root_path="/flows")))
    for path in ("/", "/flows", "/flows/"):  # a proxy may take the path off
        answer = below.get(path)
        assert answer.status_code == 200
        assert '<base href="/flows/" />' in answer.text
    assert_page(below.get("/flows/playground/js/main.js"), "js/main.js")


def test_it_takes_no_key_and_has_a_label_of_its_own(tmp_path: Path) -> None:
    (store := tmp_path / "store").mkdir()
    key = add_key(tmp_path / "keys.json", scopes=["metrics"])
    with TestClient(create_app(make_server(store, keys=tmp_path / "keys.json"))) as keyed:
        for path in ("/", "/playground/js/main.js", "/playground/none"):
            assert keyed.get(path).status_code in (200, 404), path
        assert keyed.get("/models").status_code == 401
        keyed.headers["authorization"] = f"Bearer {key}"
        for code, count in (("200", 2), ("404", 1)):
            labels = {"endpoint": "playground", "code": code}
            assert metric(keyed, "bijecta_requests_total", **labels) == count


def test_what_its_files_name_is_there() -> None:
    index = (FOLDER / "index.html").read_text()
    named = re.findall(r'(?:href|src)="([^"]+)"', index)
    assert {name.removeprefix("playground/") for name in named} - {"docs"} <= {*NAMES}
    scripts = re.findall(r'<script[^>]* src="playground/([^"]+)"', index)
    preloaded = re.findall(r'rel="modulepreload" href="playground/([^"]+)"', index)
    seen, of_page = [*scripts], {"js/main.js"}
    for name in seen:
        folder = (FOLDER / name).parent
        text = (FOLDER / name).read_text()
        imported = re.findall(r'^import .*?"([^"]+)";', text, re.M | re.S)
        workers = re.findall(r'new Worker\(new URL\("([^"]+)", import.meta.url\)', text)
        for target in imported + workers:
            path = (folder / target).resolve()
            assert target.startswith("."), (name, target)
            assert path.is_file(), (name, target)
            module = path.relative_to(FOLDER).as_posix()
            if name in of_page and target in imported:
                of_page.add(module)
            if module not in seen:
                seen.append(module)
    assert {*seen} == {name for name in NAMES if name.endswith(".js")}, (
        "a module that nobody imports"
    )
    assert sorted(preloaded) == sorted(of_page - {"js/main.js"}), (
        "see index.html's preloaded modules"
    )


def test_its_files_name_no_other_server_and_no_code_or_style_of_a_line() -> None:
    for name in NAMES:
        if name.startswith(LIBRARY):  # names its home in a remark; test_page_libraries.py
            continue
        text = (FOLDER / name).read_text()
        outside = {*re.findall(r"(?:https?:)?//[a-z0-9][\w.-]*\.[a-z]+[^\s\"']*", text)}
        assert outside <= {"http://www.w3.org/2000/svg"}, name  # the name of a vocabulary
        assert not re.search(
            r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=\"|innerHTML|eval\(", text
        ), name


def test_it_has_words_for_every_family() -> None:
    words = (FOLDER / "js" / "families.js").read_text(encoding="utf-8")
    described = re.findall(r'^  "?([a-z-]+)"?: \["', words, re.MULTILINE)
    assert sorted(described) == sorted([*FAMILIES, *TYPED_FAMILIES])


def test_it_is_small() -> None:
    loaded = [FOLDER / name for name in NAMES]
    assert sum(path.stat().st_size for path in loaded) < MAX_BYTES
