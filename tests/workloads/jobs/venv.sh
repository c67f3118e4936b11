# A virtual environment and pip from local wheels.
set -e
/usr/bin/python3 -m venv env
./env/bin/pip install -q --no-index --find-links "$FIXTURES/wheels" --disable-pip-version-check upperpart
./env/bin/pip list --disable-pip-version-check 2>/dev/null | grep part
./env/bin/upperpart-run
./env/bin/python -c 'import sys, upperpart; print(sys.prefix != sys.base_prefix)'
./env/bin/pip uninstall -qy upperpart --disable-pip-version-check && ./env/bin/python -c 'import upperpart' 2>&1 | tail -n 1
