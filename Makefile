# The same words as in the README and CONTRIBUTING, for those who type make.
.PHONY: setup test check docs

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
