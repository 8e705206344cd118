"""Known faults of the wheels that are shipped and of the packages that are installed here, as pip-audit finds them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parent / "wheels.lock"
PIP_AUDIT = (sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off", "--timeout=10")
SHIPPED = ("--no-deps", "--disable-pip", f"--requirement={LOCK}")
SECONDS = 120


def main(ignored: Sequence[str]) -> int:
    """One line for each fault, or for why nothing is known; 1 where there is a fault."""
    failed = False
    for what, arguments in (("what is shipped", SHIPPED), ("what is installed here", ("--skip-editable",))):
        lines, found = judged(what, *asked(*arguments, *(f"--ignore-vuln={each}" for each in ignored)))
        print("\n".join(lines))
        failed |= found
    return int(failed)


def asked(*arguments: str) -> tuple[str, str]:
    """What pip-audit prints: its JSON, and the last line of what else it says."""
    try:
        done = subprocess.run([*PIP_AUDIT, *arguments], capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "", f"no answer within {SECONDS} s"
    return done.stdout, (done.stderr.strip().splitlines() or [""])[-1]


def judged(what: str, output: str, message: str) -> tuple[list[str], bool]:
    """The lines to print, and whether there is a known fault."""
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return [
            f"audit: skipped for {what}: the registry gave no advisories: {message[:200] or 'nothing was said'}"
        ], False
    known = [each for each in packages if "vulns" in each]
    faults = [(each, fault) for each in known for fault in each["vulns"]]
    if faults:
        return [_line(package, fault) for package, fault in faults], True
    if not known:
        return [
            f"audit: skipped for {what}: the registry keeps no advisories for any of {len(packages)} packages"
        ], False
    return [f"audit: no known fault in {what}: {len(known)} of {len(packages)} packages looked up"], False


def _line(package: dict[str, Any], fault: dict[str, Any]) -> str:
    names = " ".join([fault["id"], *fault.get("aliases", [])])
    mended = " or ".join(fault.get("fix_versions", [])) or "no version yet"
    return f"audit: {package['name']} {package['version']}: {names}; mended in {mended}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
