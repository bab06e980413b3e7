"""The page for operators in a real browser: Debian's Chromium, driven by Playwright."""
