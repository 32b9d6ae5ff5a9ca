#!/bin/sh
# litellm 1.108.7: with stream_options.include_usage the tokens come in a chunk whose `choices` are not empty, as
# OpenAI's are, but hold one choice with an empty delta and no finish_reason, behind the chunk that had one. A reader
# that takes the finish reason of the last choice loses it; one that counts only chunks without choices counts nothing.
# Seen: finish reasons "None stop None", choices in the chunk with usage: 1. Needs no network beyond the package.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "litellm==1.108.7"
cat > "$folder/ask.py" <<'PY'
import litellm

chunks = [
    chunk.model_dump(exclude_none=True)
    for chunk in litellm.completion(
        model="openai/gpt-4o-mini",
        api_key="none",
        mock_response="OK",
        stream=True,
        stream_options={"include_usage": True},
        messages=[{"role": "user", "content": "hi"}],
    )
]
reasons = " ".join(str(chunk["choices"][0].get("finish_reason")) for chunk in chunks)
counted = [len(chunk["choices"]) for chunk in chunks if chunk.get("usage")]
print(f"finish reasons: {reasons}; choices in the chunk with usage: {counted}")
raise SystemExit(0 if reasons == "None stop None" and counted == [1] else 1)
PY
LITELLM_LOCAL_MODEL_COST_MAP=True "$folder/env/bin/python" "$folder/ask.py"
