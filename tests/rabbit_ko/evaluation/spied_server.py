"""`transformers serve`, which also writes the ids of each prompt that it generates from, one JSON list a line.

python tests/rabbit_ko/evaluation/spied_server.py FILE serve MODEL --port 8000
"""

import json
import sys
from functools import wraps
from pathlib import Path
from typing import Any

from transformers import GenerationMixin
from transformers.cli.transformers import main

if __name__ == "__main__":
    file = Path(sys.argv.pop(1))
    generate = GenerationMixin.generate

    @wraps(generate)
    def spied(model: Any, *arguments: Any, **options: Any) -> Any:
        with file.open("a") as lines:
            lines.write(json.dumps(options["input_ids"][0].tolist()) + "\n")
        return generate(model, *arguments, **options)

    GenerationMixin.generate = spied
    main()
