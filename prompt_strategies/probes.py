"""Messages whose words no template writes, to find by rendering what a template does with them."""

import json
import re

# Words that no template writes, for the contents of probes.
ASKED, SAID, ASKED_AGAIN, SAID_AGAIN, TOLD = "qx1zq", "ax1za", "qx2zq", "ax2za", "sx1zs"
THOUGHT, TOOL, GIVEN, RESULT = "tx1zt", "fx1zf", "vx1zv", "rx1zr"
CONTENTS = re.compile("|".join((ASKED, SAID, ASKED_AGAIN, TOLD)))
SYSTEM = {"role": "system", "content": TOLD}
QUESTION = {"role": "user", "content": ASKED}
ANSWER = {"role": "assistant", "content": SAID}
QUESTION_AGAIN = {"role": "user", "content": ASKED_AGAIN}
ANSWER_AGAIN = {"role": "assistant", "content": SAID_AGAIN}
THINKING = {**ANSWER, "reasoning_content": THOUGHT}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": json.dumps(
        [{"id": "call00001", "type": "function", "function": {"name": TOOL, "arguments": {GIVEN: GIVEN}}}]
    ),
}
TOOL_RESULT = {"role": "tool", "content": RESULT, "tool_call_id": "call00001"}
_DEFINITION = {"name": TOOL, "description": TOOL, "parameters": {"type": "object", "properties": {}}}
TOOLS = json.dumps([{"type": "function", "function": _DEFINITION}])
