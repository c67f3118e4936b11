# needs-long
# npm ci from a cache, then the tests of what was installed.
set -e
cp -r "$FIXTURES/npm/project" p && cp -r "$FIXTURES/npm/cache" cache
cd p
npm ci --offline --cache ../cache --no-audit --no-fund --loglevel=error --no-update-notifier | grep -o 'added [0-9]*'
find node_modules -type f | wc -l
find node_modules -type l | sort | head -n 20
npm test --silent 2>&1 | grep -E 'passing|failing' | sed 's/ *(.*//'
./node_modules/.bin/tsc --version
if ./node_modules/.bin/prettier --check package.json >/dev/null 2>&1; then echo formatted; else echo unformatted; fi
rm -rf node_modules && ls
