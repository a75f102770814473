"""`trunx ivr check`: an IVR document through the same doors as `POST /ivr`, without a server."""

import sys
from pathlib import Path
from typing import NoReturn

from trunx.cli.terminal import StopError, out
from trunx.domain.document import IvrDocument
from trunx.domain.ivr import InvalidTreeError, build
from trunx.domain.lint import EVERYTHING, warnings
from trunx.domain.strict_json import JsonError, loads
from trunx.web.bodies import validated
from trunx.web.problems import ProblemError


def check_file(file: str) -> None:
    """Prints what is wrong with the document in `file` (`-`: standard input); exits 1 on errors."""
    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise StopError(f"{file} cannot be read: {error.strerror}", 2) from None
    try:
        document = validated(loads(text), IvrDocument)
        tree = build(document)
    except JsonError as error:
        _refused([("", str(error))])
    except ProblemError as problem:
        _refused([(fault.pointer or "", fault.message) for fault in problem.errors])
    except InvalidTreeError as error:
        _refused([(problem.pointer, problem.message) for problem in error.problems])
    # What an account has is the server's to know.
    for warning in warnings(tree, EVERYTHING):
        out.print(f"warning  {warning.code}: {warning.message}", soft_wrap=True)
    out.print(f"{tree.id}: {len(tree.nodes)} nodes, a call enters at {tree.start!r}. It can be saved.")


def _refused(faults: list[tuple[str, str]]) -> NoReturn:
    for place, message in faults:
        out.print(f"error  {place or '(the document)'}: {message}", soft_wrap=True)
    raise StopError(f"{len(faults)} error{'s' if len(faults) > 1 else ''}: it cannot be saved")
