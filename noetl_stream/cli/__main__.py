"""`python -m noetl_stream.cli` is `noetl-stream`."""

from noetl_stream.cli.main import main

if __name__ == "__main__":
    main()
