"""`python -m kerasfer COMMAND ...`: the commands, where the folder of scripts is not on the path."""

from kerasfer.cli.main import main

if __name__ == "__main__":
    main()
