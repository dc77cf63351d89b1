"""Measure django_schwartz and its peers: `python3 benchmarks/run.py --help`.

Makes a virtual environment for the harness, beside those of the peers, and becomes the session.
Any Python 3 can read this file; the session and the peers need 3.12 or newer.
"""

import glob
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HARNESS = os.path.join(ROOT, "benchmarks", ".cache", "venvs", "harness")
NAMES = ("python3.13", "python3.12", "python3.14", "python3")
REQUIREMENTS = ("psycopg[binary]~=3.3.0",)


def main(arguments: "list[str]") -> None:
    python = os.path.join(HARNESS, "bin", "python")
    if not succeeds(python, "-c", "import psycopg"):
        subprocess.check_call([new_enough_python(), "-m", "venv", "--clear", HARNESS])
        subprocess.check_call([python, "-m", "pip", "install", "-qq", *REQUIREMENTS])
    os.environ["PYTHONPATH"] = ROOT
    os.execv(python, [python, "-m", "benchmarks.session", *arguments])


def new_enough_python() -> str:
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    of_pyenv = glob.glob(os.path.join(pyenv, "versions", "3.*", "bin", "python"))
    for name in (sys.executable, *NAMES, *sorted(of_pyenv, reverse=True)):
        if succeeds(name, "-c", "import sys; sys.exit(sys.version_info < (3, 12))"):
            return name
    return sys.exit("Python 3.12 or newer is needed: the newest Django asks for it.")


def succeeds(*command: str) -> bool:
    try:
        return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


if __name__ == "__main__":
    main(sys.argv[1:])
