#!/bin/sh
# Make sure there is a Chromium for the page's tests: the one on the machine, else the system's
# package where we may install it, else Playwright's own download. Usage: chromium.sh PYTHON
set -eu

works() {
    for name in "${CONCORD_CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
        /Applications/Chromium.app/Contents/MacOS/Chromium; do
        # Asking for the version tells a browser from the empty shell some systems install under its name.
        if [ -n "$name" ] && "$name" --version >/dev/null 2>&1; then return 0; fi
    done
    return 1
}

downloaded() {
    for folder in "${PLAYWRIGHT_BROWSERS_PATH:-}" "$HOME/.cache/ms-playwright" "$HOME/Library/Caches/ms-playwright"; do
        if [ -n "$folder" ] && ls -d "$folder"/chromium-*/ >/dev/null 2>&1; then return 0; fi
    done
    return 1
}

if works || downloaded; then exit 0; fi

if command -v apt-get >/dev/null 2>&1; then
    as_root=
    if [ "$(id -u)" != 0 ]; then as_root="sudo -n"; fi
    if [ -z "$as_root" ] || sudo -n true 2>/dev/null; then
        echo "Installing chromium with apt-get ..."
        { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends chromium; } >/dev/null || true
        if works; then exit 0; fi
    fi
fi

echo "Downloading Playwright's Chromium ..."
"$1" -m playwright install chromium
