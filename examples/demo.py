#!/usr/bin/env python3
"""Runs the demonstration of README.md at a terminal and prints the picture of it:

    PATH="$PWD/target/release:$PATH" python3 examples/demo.py >examples/demo.svg

Each line of the page's first block is given to a shell that has a terminal. What stands there afterwards is
drawn as it was said; only PIDs, times and the folder of the lock file are made the same in every run.
"""

import html
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time

PAGE = pathlib.Path(__file__).parent.parent / "README.md"
MARK = "<!-- demonstration -->\n"
LOCK = "/tmp/demo.lock"


def main():
    commands = PAGE.read_text().split(MARK)[1].strip("\n").split("\n\n")[0]
    shells = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            screen = [
                line
                for command in commands.splitlines()
                for line in run(command.strip(), folder, shells)
            ]
        finally:
            for shell in shells:
                try:
                    os.killpg(shell.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
    sys.stdout.write(picture(screen))


def run(command, folder, shells):
    """The lines that a command leaves on the screen, with the command itself."""
    lock = f"{folder}/demo.lock"
    terminal, end = pty.openpty()
    shell = subprocess.Popen(
        ["sh", "-c", command.replace(LOCK, lock)],
        stdin=end, stdout=end, stderr=end, start_new_session=True,
    )
    shells.append(shell)
    shell.wait()
    # The next line is for the time when the job runs.
    if command.endswith("&"):
        wait_for(f": {command.split(LOCK)[1].strip(' &')}", lock)
    os.set_blocking(terminal, False)
    try:
        said = os.read(terminal, 65536).decode()
    except BlockingIOError:
        said = ""
    os.close(terminal)
    os.close(end)
    said = said.replace(lock, LOCK)
    said = re.sub(r"\bPID \d+", "PID 21488", said)
    said = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-11-28 01:14:09", said)
    said = re.sub(r"\bfor \d+s", "for 7s", said)
    return [f"$ {command}", *said.splitlines()]


def wait_for(state, lock):
    """Waits until --status says so."""
    asked = ["nonoverlap", "--status", lock]
    for _ in range(1000):
        said = subprocess.run(asked, capture_output=True, text=True).stdout
        if state in said:
            return
        time.sleep(0.01)
    sys.exit(f"no {state!r} in {said!r}")


def picture(screen):
    """A dark screen with these lines in an SVG."""
    width = 18 + 8.4 * max(map(len, screen))
    height = 24 + 20 * len(screen)
    drawn = ""
    for number, line in enumerate(screen):
        # A letter is 8.4 wide, whatever the font.
        place = f'x="12" y="{27 + 20 * number}" textLength="{8.4 * len(line):.1f}"'
        color = "#8ae234" if line.startswith("$ ") else "#eeeeec"
        drawn += f'<text {place} fill="{color}">{html.escape(line)}</text>\n'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}"'
        f' viewBox="0 0 {width:.0f} {height}" font-family="monospace" font-size="14" xml:space="preserve">\n'
        f'<rect width="100%" height="100%" rx="6" fill="#2e3436"/>\n{drawn}</svg>\n'
    )


main()
