#!/bin/sh
# langmem 0.0.30 (langchain 1.5.2): ReflectionExecutor is made for reflecting when a conversation has come to rest: each
# submit for a thread takes the one before it back. It does for the first two messages. When the worker throws the first
# away, it forgets what it knows of the thread, which is the second by then: the third takes nothing back, and the second
# runs beside it, in the middle of the conversation. So every pair of messages costs one call of a model more than the delay
# promises, and memories are made of half a talk. Two messages, which is what a test sends, are right.
# Seen, one thread and a delay of 4 seconds: two messages, ran [2]; three, two seconds before the last, cancelled True False
# False, ran [2, 3].
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "langmem==0.0.30" "langchain==1.5.2" "langgraph==1.2.24" \
    > /dev/null 2>&1
cat > "$folder/reflect.py" <<'PY'
import time

from langchain_core.runnables import Runnable
from langgraph.store.memory import InMemoryStore
from langmem import ReflectionExecutor


class Reflector(Runnable):
    namespace = ("memories",)

    def __init__(self):
        self.ran = []

    def invoke(self, payload, config=None, **_):
        self.ran.append(payload["message"])


def reflected(messages):
    reflector = Reflector()
    executor = ReflectionExecutor(reflector, store=InMemoryStore())
    sent = []
    for message in messages:
        if message == 3:
            time.sleep(2)
            assert not any(future.done() and not future.cancelled() for future in sent), "slept too long"
        talk = {"configurable": {"thread_id": "t"}}
        sent.append(executor.submit({"message": message}, config=talk, after_seconds=4))
    sent[-1].result(timeout=60)
    executor.shutdown(wait=False)
    print([future.cancelled() for future in sent], reflector.ran)
    return reflector.ran


assert reflected([1, 2]) == [2]
assert reflected([1, 2, 3]) == [2, 3]
PY
"$folder/env/bin/python" -W ignore "$folder/reflect.py"
