# The same words as in the README and CONTRIBUTING, for those who type make.
.PHONY: setup test check docs lock

setup:
	./setup.sh test

test:
	.venv/bin/python -m pytest

check:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

docs:
	.venv/bin/mkdocs build --strict

# The newest versions that pyproject.toml allows, but none younger than two weeks: what is broken is withdrawn by then.
# torch stays with CUDA 13.0, which more drivers run than run 13.2.
compile = echo 'torch<2.15' | .venv/bin/uv pip compile --quiet --universal --generate-hashes --upgrade --no-annotate \
	--exclude-newer P14D --custom-compile-command 'make lock' --constraints - pyproject.toml

lock:
	$(compile) --extra test --output-file requirements-test.lock
	$(compile) --constraints requirements-test.lock --extra all --extra build --output-file requirements.lock
