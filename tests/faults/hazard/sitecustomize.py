"""On the path of the workers of these tests: recordings and moments at which a real process dies or hangs.

*kills-its-decoder*     the process that opens it dies of a signal, as by a fault of its decoder
*hangs-its-decoder*     the process that opens it does not come back
OUT.hold                while this folder is there, the next process that has written a shard to OUT and not
                        yet given it its name stops there, its number in OUT.held
"""

import os
import signal
import sys
import time
from pathlib import Path


def meet(event: str, arguments: tuple[object, ...]) -> None:
    """What Python tells before it opens or renames a file."""
    if event == "open" and isinstance(arguments[0], str | os.PathLike):
        path = str(arguments[0])
        if "kills-its-decoder" in path:
            signal.raise_signal(signal.SIGSEGV)  # in this thread, which goes no further
        if "hangs-its-decoder" in path:
            time.sleep(3600)
    elif event == "os.rename":
        target = Path(str(arguments[1]))
        if target.parent.name == "calls":
            hold(str(target.parent.parent))


def hold(out: str) -> None:
    """Stop here, where it is asked for and no other process was first."""
    try:
        Path(f"{out}.hold").rmdir()  # one process can
    except OSError:
        return
    told = Path(f"{out}.{os.getpid()}")
    told.write_text(str(os.getpid()))
    told.rename(f"{out}.held")
    time.sleep(3600)


sys.addaudithook(meet)
