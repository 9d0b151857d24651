#!/usr/bin/env bash
# Proves the path on a graphics card in one call of at most ten minutes, on a machine that has torch and a card and may
# have nothing else:   bash workflow/gpu_check.sh [--out FILE]
# A rehearsal without a card:   bash workflow/gpu_check.sh --device cpu --quick
# What else is missing is installed into a folder that goes again: from WHEELS=<folder of wheels>, else from the index.
set -euo pipefail
cd "$(dirname "$0")/.."

sees_a_card() { "$1" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2> /dev/null; }
has_torch() { "$1" -c 'import torch' 2> /dev/null; }
found=
for suits in sees_a_card has_torch; do
  for python in ${PYTHON:+"$PYTHON"} .venv/bin/python python3 python; do
    if [ -z "$found" ] && command -v "$python" > /dev/null && "$suits" "$python"; then found=$python; fi
  done
done
[ -n "$found" ] || { echo 'no Python with torch here: install torch, or name one by PYTHON=' >&2; exit 2; }

site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
missing=$("$found" - workflow/gpu_check/packages.txt << 'END'
import importlib.metadata, sys
for name in open(sys.argv[1], encoding="utf-8").read().split():
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        print(name)
END
)
if [ -n "$missing" ]; then
  if [ -n "${WHEELS:-}" ]; then from=(--no-index --find-links "$WHEELS"); else from=(-c requirements.lock); fi
  echo "installing for this call:" $missing
  # without what they need: torch, whose build fits the card, stays as it is
  # shellcheck disable=SC2086
  "$found" -m pip install -q --disable-pip-version-check --no-deps --target "$site" "${from[@]}" $missing
fi
TQDM_DISABLE=1 PYTHONPATH="$PWD:$site${PYTHONPATH:+:$PYTHONPATH}" "$found" -m workflow.gpu_check "$@"
