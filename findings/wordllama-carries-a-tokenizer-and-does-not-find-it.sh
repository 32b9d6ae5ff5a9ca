#!/bin/sh
# wordllama 0.4.0.post1: the wheel carries weights and tokenizer, as its page says, but load() looks for the tokenizer in a
# folder "tokenizer" of the package, where the wheel has "tokenizers". So the first load() of each home asks the network for
# a file that is on the disk already, and on a closed network it fails; only the weights are found. Whoever names the
# package's own folder as cache_dir gets both, since the cache is looked up under the other name.
# Seen: disable_download=True raises FileNotFoundError for l2_supercat_tokenizer_config.json, which is in the wheel; with
# cache_dir=<the package's folder> the same call works and gives vectors of 256.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "wordllama==0.4.0.post1"
cat > "$folder/load.py" <<'PY'
from pathlib import Path

import wordllama
from wordllama import WordLlama

NAME = "l2_supercat_tokenizer_config.json"
package = Path(wordllama.__file__).parent
carried = [path.parent.name for path in package.rglob(NAME)]
try:
    WordLlama.load(disable_download=True)
    said = "loaded"
except FileNotFoundError as error:
    said = str(error)
shape = WordLlama.load(disable_download=True, cache_dir=package).embed(["a question"]).shape
print(carried, said, shape)
assert carried == ["tokenizers"], carried
assert NAME in said and "not found" in said, said
assert shape == (1, 256), shape
PY
HOME="$folder" "$folder/env/bin/python" "$folder/load.py"
