"""`python -m platform_cli` is `wmctl`, for paths where a console script cannot start."""

from platform_cli.main import run

if __name__ == "__main__":
    run()
