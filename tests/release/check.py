"""Build every distribution, install each in a fresh environment, serve, ask and fit.

    python -m tests.release.check STORE MODEL

STORE holds a model named MODEL. The server's environment holds its wheel alone, the client's the
client's wheel alone, and that of the estimators their wheel and the server's with the extra
`train`, so that nothing of the working tree is found by chance. Takes minutes: it downloads what
they need, torch too.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

SCRIPTS = Path(__file__).parent
ROOT = SCRIPTS.parents[1]
CLIENT = ROOT / "service" / "client"
ESTIMATORS = ROOT / "training" / "estimators"

# MB that the client may add to an environment beside numpy.
LARGEST_CLIENT = 15.0
SECONDS_TO_START = 60.0


def build(folder: Path, source: Path) -> Path:
    """The wheel of a distribution, built from its sdist; both lie in the folder."""
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def environment(folder: Path, *packages: str) -> Path:
    """The Python of a fresh environment with these packages."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def check_contents(wheel: Path, sdist: Path) -> None:
    """See that the server's wheel holds its packages and recipes, and nothing else.

    Tests, the client and the estimators are no part of it.
    """
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"models", "service", "training"}, tops
    recipes = {path.name for path in (ROOT / "training" / "recipes").glob("*.toml")}
    assert recipes == {Path(name).name for name in names if name.endswith(".toml")}
    assert "service/client/__init__.py" in names
    assert not [name for name in names if "bijecta_" in name]
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("/LICENSE") for name in archive.getnames())


def megabytes(python: Path) -> float:
    """What the packages of an environment take, without pip, setuptools and numpy."""
    (packages,) = (python.parents[1] / "lib").glob("python*/site-packages")
    skipped = re.compile(r"(pip|setuptools|numpy|_distutils_hack|pkg_resources|distutils)")
    files = (f for f in packages.rglob("*") if f.is_file())
    kept = (f for f in files if not skipped.match(f.relative_to(packages).parts[0]))
    return sum(f.stat().st_size for f in kept if f.suffix != ".pyc") / 1e6


def served(python: Path, store: Path, log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A server of that environment, ready, and its address."""
    command = [str(python.parent / "bijecta"), "serve", "--store", str(store), "--port", "0"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file, cwd=log.parent)
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            try:
                urllib.request.urlopen(f"{found[0]}/health/ready", timeout=5).close()
            except OSError:
                pass
            else:
                return process, found[0]
        time.sleep(0.1)
    process.kill()
    raise SystemExit(f"the server did not start:\n{log.read_text()}")


def main(store: Path, model: str) -> None:
    """Build, install, serve, ask, fit; prints what was found."""
    os.environ.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder / "server", ROOT)
        (sdist,) = (folder / "server").glob("*.tar.gz")
        check_contents(wheel, sdist)
        server = environment(folder / "server-env", f"{wheel}[arrow]")
        client = environment(folder / "client-env", str(build(folder / "client", CLIENT)))
        size = megabytes(client)
        print(
            f"the client adds {size:.1f} MB beside numpy; the server has {megabytes(server):.0f} MB"
        )
        assert size <= LARGEST_CLIENT
        process, url = served(server, store.resolve(), folder / "server.log")
        try:
            ask = [str(client), str(SCRIPTS / "ask.py"), url, model]
            subprocess.run(ask, cwd=folder, check=True)
        finally:
            process.terminate()
            process.wait(timeout=40)
        estimators = str(build(folder / "estimators", ESTIMATORS))
        training = environment(folder / "training-env", f"{wheel}[train]", estimators)
        subprocess.run([str(training), str(SCRIPTS / "fit.py")], cwd=folder, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
