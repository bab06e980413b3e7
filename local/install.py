"""`python3 local/install.py requirements.txt`: makes `.venv` and installs pinned packages into it.

Run by the machine's own Python, so it knows only the standard library, and is plain enough for one that is too old to
say so. What was installed is remembered in the environment: a second run with the same pins does nothing.
"""

import hashlib
import os
import subprocess
import sys
import time

OLDEST = (3, 11)
VENV = ".venv"
PYTHON = os.path.join(VENV, "bin", "python")
WITHOUT_PIP = "No pip in this Python: install it (Debian: apt-get install python3-venv) and try again."


def main(requirements: str) -> int:
    """Installs the pins of that file. Returns the exit code."""
    if sys.version_info < OLDEST:
        say(f"Python 3.11 or newer is needed, and this is {sys.version.split()[0]}. Another: make PYTHON=python3.13 …")
        return 1
    stamp = os.path.join(VENV, "installed-" + os.path.basename(requirements))
    wanted = fingerprint(requirements)
    if os.path.exists(PYTHON) and read(stamp) == wanted:
        return 0
    if not os.path.exists(PYTHON) and not make_environment():
        say(WITHOUT_PIP)
        return 1
    code = install(requirements)
    if code == 0:
        with open(stamp, "w") as file:
            file.write(wanted)
    return code


def fingerprint(requirements: str) -> str:
    """A hash of the pins, of the files that this one includes as well."""
    return hashlib.sha256(with_included(requirements).encode()).hexdigest()


def with_included(requirements: str) -> str:
    """The text of a requirements file, and of those it includes."""
    text = read(requirements)
    for line in text.splitlines():
        if line.startswith("-r "):
            text += with_included(os.path.join(os.path.dirname(requirements), line[3:].strip()))
    return text


def make_environment() -> bool:
    """Makes the environment; without a pip of its own where this Python lacks `ensurepip`, as Debian's may."""
    say(f"Making {VENV} with Python {sys.version.split()[0]}")
    for options in ([], ["--without-pip"]):
        done = subprocess.run([sys.executable, "-m", "venv", "--clear", *options, VENV], capture_output=True)
        if done.returncode == 0:
            return True
    return False


def install(requirements: str) -> int:
    """Runs pip, shows how far it is, and everything it said if it fails. Returns its exit code."""
    pip = [PYTHON, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True).returncode:
        pip = [sys.executable, "-m", "pip", "--python", PYTHON]
    started = time.monotonic()
    process = subprocess.Popen(
        [*pip, "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off", "-r", requirements],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    say(f"Installing the pinned packages of {requirements}")
    lines, packages = [], 0
    for line in process.stdout or ():
        lines.append(line)
        if line.startswith("Collecting "):
            packages += 1
            show(packages, line.split()[1])
        elif line.startswith("Installing collected"):
            show(packages, "writing them")
    code = process.wait()
    if sys.stdout.isatty():
        sys.stdout.write("\r\033[K")
    if code:
        sys.stdout.writelines(lines)
        say(f"pip could not install {requirements}: its output is above.")
        return code
    say(f"Installed in {time.monotonic() - started:.0f} s")
    return 0


def show(packages: int, what: str) -> None:
    """A line that is overwritten, on a terminal."""
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\033[K  {packages:3d} packages: {what}")
        sys.stdout.flush()


def say(line: str) -> None:
    """A line that stays."""
    print(line, flush=True)


def read(path: str) -> str:
    """The text of a file, empty when there is none."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
