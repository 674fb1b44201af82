#!/usr/bin/env bash
# Takes the picture in the README from a running demo. Needs chromium.
#
# usage: careplan demo & tools/pictures.sh [URL of the demo]
set -euo pipefail
demo="${1:-http://127.0.0.1:8000}"
folder="$(cd "$(dirname "$0")/../docs" && pwd)"
profile="$(mktemp -d)"
trap 'rm -rf "$profile"' EXIT
chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
  --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$profile" --window-size=1000,1560 \
  --screenshot="$folder/plan.png" "$demo/plan/baclofen-tid" 2>/dev/null
echo "$folder/plan.png"
