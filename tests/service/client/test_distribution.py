"""The client is a distribution of its own, and needs nothing of the server."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "service" / "client"

SERVER = {
    "torch",
    "onnxruntime",
    "fastapi",
    "starlette",
    "uvicorn",
    "pydantic",
    "orjson",
    "service",
}


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_it_imports_nothing_of_the_server() -> None:
    done = run(f"import sys, bijecta_client\nprint({SERVER!r} & set(sys.modules))")
    assert done.stdout == "set()\n", done.stderr


def test_what_it_imports_is_what_it_says_that_it_needs() -> None:
    imported = set()
    for path in (FOLDER / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).partition(".")[0])
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"\W", line)[0] for line in project["dependencies"]}
    assert imported - sys.stdlib_module_names - {"bijecta_client"} == needed
    assert needed == {"anyio", "httpx", "numpy"}


def test_its_former_name_still_works_and_says_so() -> None:
    done = run(
        "import warnings; warnings.simplefilter('always')\n"
        "import service.client, bijecta_client\n"
        "print(service.client.Client is bijecta_client.Client)"
    )
    assert done.stdout == "True\n"
    assert "service.client is now bijecta_client" in done.stderr
    without = run("import sys; sys.modules['bijecta_client'] = None; import service.client")
    assert "pip install ./service/client" in without.stderr
    # the server does without
    done = run("import sys; sys.modules['bijecta_client'] = None; import service.http")
    assert done.returncode == 0, done.stderr
