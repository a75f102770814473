"""What Asterisk runs: the dialplan as data, and the names it shares with our code.

`names` is the only place where a context or channel variable is spelt, `render` prints extensions.conf
for an operator, and the samples beside them set up the manager interface and a carrier's trunk.
"""

from dialplan.render import render

__all__ = ["render"]
