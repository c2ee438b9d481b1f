"""An agent that does not behave: `python lying_agent.py MODE zf agent`.

`again` sends each result twice, `other` sends another one after it, `changed` changes a file that
the list names, `strange` says that another task has ended, `greedy` asks for what is not its own.
"""

import os
import sys
from pathlib import Path

from zf.lean.records import replace
from zf.work.agent import agent, frames
from zf.work.agent.saying import result

MODE = sys.argv[1]


class Liar(agent.Agent):
    def _tell_end(self, event):
        tree = f"{self._run_dir}/{self._under_way.task}"
        log = Path(tree, "20-logs/step-0.log")
        token = self._under_way.token
        if MODE == "changed":
            log.write_text("not what was printed\n")
        if MODE == "strange":
            event = replace(event, task="another")
        if MODE == "greedy":
            self._say(frames.WANT, {"blobs": ["r/../../../etc"]})
        if MODE == "strange":
            self._queue.append(result(tree, token, event, plain=True))
            self._under_way = None
            return
        super()._tell_end(event)
        if MODE in {"again", "other"}:
            self._queue.append(self._second(tree, log, token, event))

    def _second(self, tree, log, token, event):
        if MODE == "other":
            log.write_text("something else\n")
        yield from result(tree, token, event, plain=True)


agent.Agent = Liar
sys.exit(agent.serve(os.environ))
