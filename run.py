"""Run the demo or the tests with nothing but Python: `python3 run.py demo`, `python3 run.py test`.

Makes a virtual environment beside this file, installs the project there with the extra named as
the command, and becomes the command; further arguments are the command's. DJANGO=5.2 in the
environment picks a version of Django. Any Python 3 can read this file: one that is too old hands
over to a newer one, or says so.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from urllib.parse import urljoin
from urllib.request import urlopen

COMMANDS = {"demo": ["example_project/manage.py", "demo"], "test": ["-m", "pytest"]}
ROOT = os.path.dirname(os.path.abspath(__file__))
IS_NEW_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 11))"
PIP_INSTALL = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def main(command="", *arguments):
    if command not in COMMANDS:
        sys.exit("usage: python3 run.py demo|test [arguments]")
    os.chdir(ROOT)
    if sys.version_info < (3, 11):
        become(newer_python(), "run.py", command, *arguments)
    become(python_with_all_for(command), *COMMANDS[command], *arguments)


def newer_python():
    for name in ("python3.13", "python3.12", "python3.11", "python3.14", "python3"):
        for folder in os.get_exec_path():
            python = os.path.join(folder, name)
            if succeeds(python, "-c", IS_NEW_ENOUGH):
                return python
    sys.exit("Python 3.11 or newer is needed; this is %d.%d." % sys.version_info[:2])


def python_with_all_for(command):
    """Return the python of the environment, which is made, or renewed after a change, first."""
    django = os.environ.get("DJANGO")
    folder = ".venv-%d.%d" % sys.version_info[:2] + ("-django" + django if django else "")
    python = os.path.join(folder, "Scripts" if os.name == "nt" else "bin", "python")
    stamp = os.path.join(folder, "installed-for-" + command)
    wanted = hashlib.sha256((ROOT + contents("pyproject.toml")).encode()).hexdigest()
    if contents(stamp) == wanted and succeeds(python, "-c", ""):
        return python
    print("Installing what the %s needs in %s, once." % (command, folder), flush=True)
    if not succeeds(python, "-m", "pip", "--version"):
        venv.create(folder, clear=True, symlinks=os.name != "nt")
        install_pip(python)
    release = ["Django~=%s.0" % django] if django else []
    run(python, *PIP_INSTALL, "--editable", ".[%s]" % command, *release)
    with open(stamp, "w") as file:
        file.write(wanted)
    return python


def install_pip(python):
    """Use ensurepip, which Debian leaves out; else the pip of this Python; else the one on PyPI."""
    if succeeds(python, "-m", "ensurepip"):
        return
    if succeeds(sys.executable, "-m", "pip", "--python", python, "install", "pip"):
        return
    with urlopen("https://pypi.org/pypi/pip/json") as page, tempfile.TemporaryDirectory() as folder:
        (wheel,) = [file for file in json.load(page)["urls"] if file["filename"].endswith(".whl")]
        path = os.path.join(folder, wheel["filename"])
        with urlopen(urljoin(page.url, wheel["url"])) as source, open(path, "wb") as target:
            target.write(source.read())
        run(python, os.path.join(path, "pip"), "install", "--quiet", path)


def contents(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def succeeds(*command):
    try:
        return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def run(*command):
    if subprocess.call(command):
        sys.exit("This failed: " + " ".join(command))


def become(*command):
    """Leave exit code and Ctrl-C to the command; on Windows exec would return to the prompt."""
    if os.name == "nt":
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
